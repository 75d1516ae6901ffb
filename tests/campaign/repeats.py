"""Repeats: side effects that happened more than once, each with the fault that explains it.

What explains a repeat is something that happened to *this* attempt while it was out: from its begin until its result
was published and could be acked. An actor worker's death explains only repeats of inline steps that it ran
itself: other work was queued, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec

from .audit import Case
from .effects import Line, begins_by_attempt

HANDOUT_US: Final = 500_000
"""A delivery may wait so long in a busy worker's socket before the step begins."""

ACK_US: Final = 500_000
"""From the moment that a result is seen on the wire until its ack has surely left and been written down: a busy machine
needs some time for the first, the server writes acks down ten times a second and forgets the others by kill -9.
"""

ANSWER_US: Final = 5_000_000
"""So long a step worker asks whether work that a server has brought back is done, before it runs it: two copies of it may
begin one after the other then, where every actor worker was away meanwhile.
"""

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
        for index, (first, second) in enumerate(pairwise(begins)):
            cause = _cause(case, first, second)
            # What has made two copies of the work may explain both: a worker that asked in vain begins so much later.
            since_us = second.at_us - ANSWER_US - ACK_US
            causes = (_cause(case, earlier, second, since_us=since_us) for earlier in begins[:index] if not cause)
            yield Repeat(first=first, second=second, cause=cause or next(filter(None, causes), ""))


def unexplained(case: Case) -> list[str]:
    """A side effect is repeated only where a fault explains it."""
    return [str(repeat) for repeat in repeats(case) if not repeat.cause]


def _cause(case: Case, first: Line, second: Line, *, since_us: int = 0) -> str:
    if _is_queued_again(case, first, second):
        return _zombie(case, first, second)
    from_us, until_us = first.at_us - HANDOUT_US, min(second.at_us, _published_us(case, first) + ACK_US)
    for fault in case.faults:
        if max(fault.at_us, fault.until_us) < since_us:
            continue
        window = f" ({fault.window})" if fault.window else ""
        after_ms = (fault.at_us - first.at_us) / 1000
        if (
            fault.kind != "server"
            and fault.what == "kill"
            and fault.pid == first.pid
            and from_us < fault.at_us <= until_us
        ):
            had = "after its effect" if _has_ended(case, first, fault.at_us) else "before its effect"
            return f"its worker {fault.pid} was killed {after_ms:.0f} ms into the attempt, {had}{window}"
        if fault.kind == "server" and fault.at_us <= until_us and fault.until_us >= from_us:
            return f"the server was {fault.what}ed {after_ms:.0f} ms into the attempt{window}"
    return _zombie(case, first, second)


def _is_queued_again(case: Case, first: Line, second: Line) -> bool:
    """Tells whether an actor worker put the attempt into its queue once more before it began again.

    Counted, not ordered: what is seen on the wire is written down some milliseconds after it happened.
    """
    queued = case.queued.get((first.workflow, first.run, first.command, first.attempt), [])
    return sum(at_us < second.at_us for at_us in queued) > 1


def _zombie(case: Case, first: Line, second: Line) -> str:
    for fault in case.faults:
        if fault.what == "pause" and fault.at_us <= second.at_us and fault.until_us >= first.at_us:
            return f"actor worker {fault.pid} was paused for {(fault.until_us - fault.at_us) / 1e6:.1f} s, beyond its lease"
    return ""


def _published_us(case: Case, line: Line) -> int:
    """When the attempt's result was seen on the wire; never, where it was not."""
    seen = case.results.get((line.workflow, line.run, line.command, line.attempt), [])
    return next((at_us for pid, at_us in seen if pid == line.pid and at_us >= line.at_us), NEVER_US)


def _has_ended(case: Case, begun: Line, before_us: int) -> bool:
    place = (begun.workflow, begun.run, begun.command, begun.attempt, begun.pid)
    return any(
        line.phase == "end"
        and begun.at_us <= line.at_us <= before_us
        and (line.workflow, line.run, line.command, line.attempt, line.pid) == place
        for line in case.lines
    )
