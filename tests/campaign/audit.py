"""The audit: what a campaign did, heard and left, in one place; and the table of invariants that must hold.

An invariant is a function from a case to the list of its violations. Numbers are those of ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from jetrun.actors.names import RunKey

from .effects import Line
from .faults import Fault
from .plans import Plan
from .run_logs import Remains, RunLog
from .sender import Try


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the audit looks at."""

    app: str
    plans: dict[RunKey, Plan]
    tries: list[Try]
    acked: set[str]
    faults: list[Fault]
    lines: list[Line]
    remains: Remains
    results: dict[tuple[str, str, int, int], list[tuple[int, int]]]
    """When a result of an attempt was seen on the wire, and from whom."""
    queued: dict[tuple[str, str, int, int], list[int]]
    """When an attempt was seen on its way into a queue."""
    deaths: list[str]
    lease_us: int
    """Ack wait of the work queues."""
    told: dict[RunKey, str]
    """What clients are told of ended runs: status, or what is wrong with the answer."""
    answers: dict[str, str]
    """What clients are told of updates, by id: the answer as JSON, or the error's code; asked twice each, under the same id."""

    def logs(self) -> Iterator[RunLog]:
        """Yields the logs of all runs."""
        yield from self.remains.logs.values()

    def log_of(self, key: RunKey) -> RunLog:
        """Returns a run's log; empty where it has none."""
        return self.remains.logs.get(key, RunLog(key=key, entries=[]))

    def log_behind(self, line: Line) -> RunLog:
        """Returns the log of the run whose step wrote the line."""
        return self.log_of(RunKey(line.workflow, line.run))


Check = Callable[[Case], list[str]]


class Invariant(NamedTuple):
    """Something that holds after every campaign."""

    number: str
    promise: str
    check: Check


class Finding(NamedTuple):
    """An invariant and where it was broken."""

    invariant: Invariant
    violations: list[str]


def check_all(case: Case, invariants: Sequence[Invariant]) -> list[Finding]:
    """Checks every invariant; one that cannot be checked is broken."""
    found: list[Finding] = []
    for invariant in invariants:
        try:
            violations = invariant.check(case)
        except Exception as error:
            violations = [f"the check itself failed: {error!r}"]
        found.append(Finding(invariant, violations))
    return found
