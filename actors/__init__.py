"""What an actor is: the authoring API, and the pure core that folds messages into decisions.

Nothing here does I/O or reads a clock; `streams` performs what is decided here.
"""

from __future__ import annotations

from .attempt import Attempt, attempt
from .child import ChildHandle, start_child
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
    NotInWorkflow,
    RetryableError,
    SagaError,
    StepFailed,
    WorkerLost,
)
from .hook import HookStream, TypedHook, define_hook, hook, hook_stream
from .hook_token import HookToken
from .link import continue_as_new
from .primitives import RunInfo, deprecate_patch, info, now, patched, random, shield, sleep, uuid4
from .saga import Saga, saga
from .schedule import Overlap, Schedule
from .schedule_times import ScheduleSpec
from .step import Step, step
from .workflow import Call, Workflow, call, workflow

__all__ = [
    "Attempt",
    "Call",
    "ChildFailed",
    "ChildHandle",
    "CompensationFailure",
    "DefinitionError",
    "FatalError",
    "HookExpired",
    "HookStream",
    "HookToken",
    "InvalidDuration",
    "InvalidName",
    "InvalidValue",
    "JetrunError",
    "NotDeterministic",
    "NotDurable",
    "NotInWorkflow",
    "Overlap",
    "RetryableError",
    "RunInfo",
    "Saga",
    "SagaError",
    "Schedule",
    "ScheduleSpec",
    "Step",
    "StepFailed",
    "TypedHook",
    "WorkerLost",
    "Workflow",
    "attempt",
    "call",
    "continue_as_new",
    "define_hook",
    "deprecate_patch",
    "hook",
    "hook_stream",
    "info",
    "now",
    "patched",
    "random",
    "saga",
    "shield",
    "sleep",
    "start_child",
    "step",
    "uuid4",
    "workflow",
]
