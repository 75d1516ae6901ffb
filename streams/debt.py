"""Debt: one run's owed effects on their way, and whether they leave something to take back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..actors.decision import Owed
from ..actors.messages import Parent
from ..actors.names import RunKey
from ..actors.records import LinkMark, Summary
from .letters import Letter


class Debt(msgspec.Struct, frozen=True):
    """One run's owed effects on their way."""

    key: RunKey
    owed: Owed
    now_us: int
    summary: Summary
    is_repeat: bool = False
    is_old: bool = False
    """The run may have left entries in INDEX, and timers of the engine's own, that `owed` does not tell."""
    has_deadline: bool = False
    """The workflow has a `max_duration`: its timer waits since the start."""
    log_seq: int = 0
    """Of the record that owes."""
    parent: Parent | None = None
    """Who is told of the run's end."""
    letters: Sequence[Letter] = ()
    """At hand for the run: dead letters made of them keep their headers."""
    link: LinkMark | None = None
    """The new one, where the decision ends a link."""


def may_leave_something(debt: Debt) -> bool:
    """Tells whether there may be something to take back; most runs end with nothing open."""
    owed = debt.owed
    if owed.closed_steps or owed.closed_timers or owed.is_unparked:
        return True
    if owed.outcome is not None and debt.link is not None:
        return True
    return (owed.outcome is not None or owed.is_continued) and (debt.is_repeat or debt.is_old or debt.has_deadline)
