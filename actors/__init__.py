"""What an actor is: the authoring API, and the pure core that folds messages into decisions.

Nothing here does I/O or reads a clock; `streams` performs what is decided here.
"""

from __future__ import annotations

from .attempt import Attempt, attempt
from .child import ChildHandle, start_child
from .completion import complete_later
from .errors import (
    ChildFailed,
    CompensationFailure,
    DefinitionError,
    FatalError,
    HookExpired,
    InvalidDuration,
    InvalidName,
    InvalidValue,
    JetrunError,
    NotDeterministic,
    NotDurable,
    NotInStep,
    NotInWorkflow,
    ReadOnly,
    RetryableError,
    SagaError,
    StepFailed,
    WorkerLost,
)
from .graph_builder import Graph
from .graph_dropped import GraphDropped
from .graph_problem import GraphInvalid
from .graph_retry import GraphRetry
from .graph_workflow import GraphWorkflow, graph_call, load_graph
from .hook import HookStream, TypedHook, define_hook, hook, hook_stream
from .hook_token import HookToken
from .link import continue_as_new
from .primitives import RunInfo, deprecate_patch, info, now, patched, random, set_status, shield, sleep, uuid4
from .query import QueryCall, QueryDefinition, define_query
from .saga import Saga, saga
from .schedule import Overlap, Schedule
from .schedule_times import ScheduleSpec
from .step import Step, step
from .step_options import StepOptions
from .update import UpdateCall, UpdateDefinition, define_update, updates_done
from .workflow import Call, Workflow, call, workflow

__all__ = [
    "Attempt",
    "Call",
    "ChildFailed",
    "ChildHandle",
    "CompensationFailure",
    "DefinitionError",
    "FatalError",
    "Graph",
    "GraphDropped",
    "GraphInvalid",
    "GraphRetry",
    "GraphWorkflow",
    "HookExpired",
    "HookStream",
    "HookToken",
    "InvalidDuration",
    "InvalidName",
    "InvalidValue",
    "JetrunError",
    "NotDeterministic",
    "NotDurable",
    "NotInStep",
    "NotInWorkflow",
    "Overlap",
    "QueryCall",
    "QueryDefinition",
    "ReadOnly",
    "RetryableError",
    "RunInfo",
    "Saga",
    "SagaError",
    "Schedule",
    "ScheduleSpec",
    "Step",
    "StepFailed",
    "StepOptions",
    "TypedHook",
    "UpdateCall",
    "UpdateDefinition",
    "WorkerLost",
    "Workflow",
    "attempt",
    "call",
    "complete_later",
    "continue_as_new",
    "define_hook",
    "define_query",
    "define_update",
    "deprecate_patch",
    "graph_call",
    "hook",
    "hook_stream",
    "info",
    "load_graph",
    "now",
    "patched",
    "random",
    "saga",
    "set_status",
    "shield",
    "sleep",
    "start_child",
    "step",
    "updates_done",
    "uuid4",
    "workflow",
]
