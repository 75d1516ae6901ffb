"""What services import to start, watch and steer runs."""

from __future__ import annotations

from ..actors.errors import (
    BadConfiguration,
    BrokerError,
    InvalidName,
    InvalidValue,
    JetrunError,
    MessageRefused,
    NotProvisioned,
    OutcomeUnknown,
    QueryFailed,
    RunCancelled,
    RunConflict,
    RunEnded,
    RunError,
    RunFailed,
    RunNotFound,
    RunTerminated,
    ServerLost,
    UpdateFailed,
    UpdateRefused,
)
from ..actors.events import Event
from ..actors.graph_workflow import graph_call
from ..actors.hook import TypedHook, define_hook
from ..actors.hook_token import HookToken
from ..actors.schedule_times import ScheduleSpec
from ..actors.workflow import Call, call
from ..streams.dead_letter import DeadLetter
from .client import Client
from .fleet import QueueLoad, QueueState, Worker
from .graph_status import GraphStatus
from .handle import RunHandle
from .hooks import WaitingHook
from .reader import RunEvent
from .schedule_status import ScheduleStatus
from .schedules import Schedules
from .settings import Settings
from .status import RunStatus, RunSummary

__all__ = [
    "BadConfiguration",
    "BrokerError",
    "Call",
    "Client",
    "DeadLetter",
    "Event",
    "GraphStatus",
    "HookToken",
    "InvalidName",
    "InvalidValue",
    "JetrunError",
    "MessageRefused",
    "NotProvisioned",
    "OutcomeUnknown",
    "QueryFailed",
    "QueueLoad",
    "QueueState",
    "RunCancelled",
    "RunConflict",
    "RunEnded",
    "RunError",
    "RunEvent",
    "RunFailed",
    "RunHandle",
    "RunNotFound",
    "RunStatus",
    "RunSummary",
    "RunTerminated",
    "ScheduleSpec",
    "ScheduleStatus",
    "Schedules",
    "ServerLost",
    "Settings",
    "TypedHook",
    "UpdateFailed",
    "UpdateRefused",
    "WaitingHook",
    "Worker",
    "call",
    "define_hook",
    "graph_call",
]
