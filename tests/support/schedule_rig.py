"""A rig for schedules: their times and orders by hand, and what they decide about runs."""

from __future__ import annotations

from typing import Any

import msgspec

from jetrun.actors import Overlap, Schedule, ScheduleSpec
from jetrun.actors.commands import CancelChild, StartChild
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.schedule import Order, ScheduledCall, ScheduleState
from jetrun.actors.schedule_run import SCHEDULES, state_in
from support.log_rig import LogRig

EVERY_MINUTE = ScheduleSpec(every="1m")


class ScheduleRig(LogRig):
    """A schedule `s` that starts the workflow `job`; it begins at 08:00, and time is told in seconds since."""

    def __init__(self, *, evict: bool = False, check: bool = True) -> None:
        super().__init__(SCHEDULES, run="s", evict=evict, check=check)

    def begin(self, spec: ScheduleSpec = EVERY_MINUTE, overlap: Overlap = "skip", catch_up: str = "1h") -> None:
        schedule = Schedule(spec=spec, overlap=overlap, catch_up=catch_up)
        self.start(msgspec.to_builtins(ScheduleState(call=ScheduledCall(workflow="job"), schedule=schedule)), at_s=0)

    def order(self, order: Any, *, at_s: float | None = None) -> None:
        self.hook("order", msgspec.to_builtins(Order(order=order)), at_s=at_s)

    @property
    def children(self) -> list[StartChild]:
        return [c for record in self.records for c in record.commands if isinstance(c, StartChild)]

    @property
    def started(self) -> list[str]:
        """The ids of the runs that were started, without what all have in common."""
        return [child.run.removeprefix("s-20270115T") for child in self.children]

    @property
    def cancels(self) -> list[CancelChild]:
        return [c for record in self.records for c in record.commands if isinstance(c, CancelChild)]

    @property
    def state(self) -> ScheduleState:
        state = state_in("app", self.key, self.records, self.objects)
        assert state is not None
        return state

    def end(self, index: int, *, at_s: float, status: str = "completed", error: ErrorInfo | None = None) -> None:
        """Tells of the end of the run that was started as the index says."""
        self.child(self.children[index].n, error, status=status, at_s=at_s)
