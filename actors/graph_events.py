"""What happens to a graph run from outside its interpreter; every event is one step of it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from .errors import ErrorInfo
from .graph_moves import TaskStatus


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """The run begins."""

    input: dict[str, object] = {}
    start: tuple[str, ...] = ()
    """Where; empty for the definition's own entry points."""


class ActionEnded(msgspec.Struct, frozen=True, kw_only=True):
    """What an activation has asked for has come to its end."""

    id: int
    index: int | None = None
    """The item's, where it has items."""
    status: TaskStatus
    result: object = None
    error: ErrorInfo | None = None
    is_final: bool = False
    """Trying again cannot help."""


class DelayEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The time has come for an activation's next attempt."""

    id: int


class TimeUp(msgspec.Struct, frozen=True, kw_only=True):
    """The run has reached the limit of its duration."""


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """The run was asked to stop."""

    reason: str = ""


class GoOn(msgspec.Struct, frozen=True, kw_only=True):
    """A new link of the run's chain begins: what was held back starts."""


GraphEvent: TypeAlias = Beginning | ActionEnded | DelayEnded | TimeUp | Cancelled | GoOn
