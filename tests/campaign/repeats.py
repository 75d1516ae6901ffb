"""Repeats: side effects that happened more than once, each with the fault that explains it.

What explains a repeat is something that happened to *this* attempt while it was out: from its begin until its result
was published and could be acked. An actor worker's death explains nothing: the work was queued, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec

from .audit import Case
from .effects import Line, begins_by_attempt
from .watch import Handout

ACK_US: Final = 250_000
"""From the moment that an ack is seen on the wire until the server has surely written it down: it does so ten times a
second, and an ack that was not written is forgotten by kill -9."""

UNSEEN_US: Final = 500_000
"""Where neither delivery nor ack was seen (the watch had lost its server, too): this much before the begin, and after
the result."""


SEEN_LATE_US: Final = 20_000
"""The watch may see a delivery a little later than the worker does."""

NEVER_US: Final = 1 << 62


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """One begin that had been there before."""

    first: Line
    second: Line
    cause: str
    """The fault; empty where nothing explains it."""

    def __str__(self) -> str:
        after_s = (self.second.at_us - self.first.at_us) / 1e6
        what = f"{self.first.workflow}/{self.first.run} step {self.first.command} ({self.first.step})"
        return f"{what} attempt {self.first.attempt} again after {after_s:.1f} s: {self.cause or 'NO EXPLANATION'}"


def repeats(case: Case) -> Iterator[Repeat]:
    """Finds every repeat."""
    for begins in begins_by_attempt(case.lines).values():
        for first, second in pairwise(begins):
            yield Repeat(first=first, second=second, cause=_cause(case, first, second))


def unexplained(case: Case) -> list[str]:
    """A side effect is repeated only where a fault explains it."""
    return [str(repeat) for repeat in repeats(case) if not repeat.cause]


def _cause(case: Case, first: Line, second: Line) -> str:
    before, after = _handout(case, first), _handout(case, second)
    if before is not None and after is not None and before.seq != after.seq:
        return _zombie(case, first, second)  # work that was put into the queue a second time
    from_us = before.at_us if before is not None else first.at_us - UNSEEN_US
    until_us = min(second.at_us, _settled_us(case, first, before))
    for fault in case.faults:
        window = f" ({fault.window})" if fault.window else ""
        after_ms = (fault.at_us - first.at_us) / 1000
        if fault.kind == "steps" and fault.pid == first.pid and first.at_us <= fault.at_us <= until_us:
            had = "after its effect" if _has_ended(case, first, fault.at_us) else "before its effect"
            return f"step worker {fault.pid} was killed {after_ms:.0f} ms into the attempt, {had}{window}"
        if fault.kind == "server" and fault.at_us <= until_us and fault.until_us >= from_us:
            return f"the server was killed {after_ms:.0f} ms into the attempt{window}"
    return _zombie(case, first, second)


def _zombie(case: Case, first: Line, second: Line) -> str:
    for fault in case.faults:
        if fault.what == "pause" and fault.at_us <= second.at_us and fault.until_us >= first.at_us:
            return f"actor worker {fault.pid} was paused for {(fault.until_us - fault.at_us) / 1e6:.1f} s, beyond its lease"
    return ""


def _handout(case: Case, line: Line) -> Handout | None:
    """Finds the delivery that began the attempt: the last one before it."""
    seen = case.handed_out.get((line.workflow, line.run, line.command, line.attempt), [])
    return next((handout for handout in reversed(seen) if handout.at_us <= line.at_us + SEEN_LATE_US), None)


def _settled_us(case: Case, line: Line, handout: Handout | None) -> int:
    """When the attempt's ack was surely kept; never, where none was seen."""
    if handout is not None and handout.seq in case.work_acked:
        return max(case.work_acked[handout.seq], line.at_us) + ACK_US
    seen = case.results.get((line.workflow, line.run, line.command, line.attempt), [])
    return next((at_us + UNSEEN_US for pid, at_us in seen if pid == line.pid and at_us >= line.at_us), NEVER_US)


def _has_ended(case: Case, begun: Line, before_us: int) -> bool:
    place = (begun.workflow, begun.run, begun.command, begun.attempt, begun.pid)
    return any(
        line.phase == "end"
        and begun.at_us <= line.at_us <= before_us
        and (line.workflow, line.run, line.command, line.attempt, line.pid) == place
        for line in case.lines
    )
