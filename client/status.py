"""Status: a run in short, as its last record (`RunStatus`) or the index (`RunSummary`) tells it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ..actors.errors import ErrorInfo
from ..actors.names import RunKey
from ..actors.records import ENDED, OpenWait, Parked, Record, Status, Summary

StatusWord: TypeAlias = Status | Literal["early"]
"""`early`: messages wait for the start of a run that has not come yet."""


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands, read from its log."""

    workflow: str
    run_id: str
    status: StatusWord
    at_us: int
    """The run's time: what its `now()` returned last."""
    started_at_us: int = 0
    ended_at_us: int = 0
    """0 while it goes on."""
    records: int
    commands: int = 0
    steps_open: int = 0
    timers_open: int = 0
    children_open: int = 0
    hooks_open: list[OpenWait] = []
    failures: int = 0
    """Failed attempts of steps."""
    parked: Parked | None = None
    """Why it cannot decide, and when it is tried again."""
    error: ErrorInfo | None = None
    """Of a run that failed."""
    parent: RunKey | None = None
    """The run that has started this one as its child."""
    reason: str = ""
    """As given with `cancel` or `terminate`."""
    link: int = 1
    """Which link of its chain: one more with each `continue_as_new`."""

    @property
    def is_ended(self) -> bool:
        """Tells whether nothing will follow."""
        return self.status in ENDED

    @classmethod
    def of(cls, key: RunKey, record: Record) -> RunStatus:
        """Reads the status from a run's last record."""
        summary, outcome = record.summary, record.outcome
        parent = record.start.parent if record.start is not None else None
        return cls(
            workflow=key.workflow,
            run_id=key.run,
            status=summary.status,
            at_us=record.at_us,
            started_at_us=summary.started_at_us,
            ended_at_us=summary.ended_at_us,
            records=record.k,
            commands=summary.commands,
            steps_open=summary.steps_open,
            timers_open=summary.timers_open,
            children_open=summary.children_open,
            hooks_open=summary.hooks_open,
            failures=summary.failures,
            parked=record.parked,
            error=None if outcome is None else outcome.error,
            parent=RunKey(parent.workflow, parent.run) if parent is not None else None,
            reason="" if outcome is None else outcome.reason,
            link=_link_of(record),
        )


def _link_of(record: Record) -> int:
    if record.continued is not None and record.outcome is None:
        return record.continued.link  # with this record the next one has begun
    return record.link.n if record.link is not None else 1


class RunSummary(Summary, frozen=True, kw_only=True):
    """A line of a list: what the index holds of a run. A cache that may be a moment behind the log (R20)."""

    workflow: str
    run_id: str = msgspec.field(name="run")
