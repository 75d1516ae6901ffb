"""The state of a graph run: its live activations, open joins and variables; what has ended is not kept.

Size is that of what is live, however many rounds a loop has made.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from .errors import ErrorInfo
from .graph_moves import FinalStatus, TaskStatus


class Scope(msgspec.Struct, frozen=True):
    """Variables as one branch sees them. Branches share them: only an own copy is changed in place."""

    values: dict[str, object] = {}
    versions: dict[str, int] = {}
    """Of each variable the number of the publish that has set it, in the run's order."""
    base: Scope | None = None
    """What the branch began with, at the run's beginning or at a join; None where this is one."""
    changed: frozenset[str] = frozenset()
    """Variables that were published since: where branches of one base meet, nothing else has to be looked at."""

    def with_values(self, published: dict[str, object], version: int) -> Scope:
        """Returns it with variables set."""
        return Scope(
            {**self.values, **published},
            {**self.versions, **dict.fromkeys(published, version)},
            self.base or self,
            self.changed.union(published),
        )

    def merged(self, other: Scope) -> Scope:
        """Joins what two branches see: of each variable what was published last."""
        base = self.base or self
        is_akin = (other.base or other) is base
        if other is self or (is_akin and not other.changed):
            return self
        names = other.changed if is_akin else other.versions
        newer = [name for name in names if self.versions.get(name, -1) < other.versions[name]]
        values = {**self.values, **{name: other.values[name] for name in newer}}
        versions = {**self.versions, **{name: other.versions[name] for name in newer}}
        if is_akin:
            return Scope(values, versions, base, self.changed | other.changed)
        return Scope(values, versions)

    def has_all_of(self, other: Scope) -> bool:
        """Tells, where that takes no time, that another branch has published nothing since the two were one."""
        return other is self or (not other.changed and (other.base or other) is (self.base or self))

    def copy(self) -> Scope:
        """Returns one that nobody else has, to `absorb` others; `as_base` ends that."""
        return Scope(dict(self.values), dict(self.versions), self.base or self)

    def absorb(self, other: Scope) -> None:
        """Takes in what another branch sees, in place: of each variable what was published last."""
        values, versions = self.values, self.versions
        is_akin = (other.base or other) is self.base
        for name in other.changed if is_akin else other.versions:
            version = other.versions[name]
            if versions.get(name, -1) < version:
                values[name], versions[name] = other.values[name], version

    def as_base(self) -> Scope:
        """Returns it as what branches begin with."""
        return Scope(self.values, self.versions) if self.base is not None else self


NOTHING: Final = Scope()

Ancestry = dict[str, int]
"""Of the tasks that tell instances of joins apart: the latest activation in a token's past."""

Phase = Literal["ready", "delayed", "running"]


class ItemsState(msgspec.Struct, kw_only=True):
    """How far an attempt with items is."""

    values: list[object]
    concurrency: int
    """0 for all."""
    begun: int = 0
    running: int = 0
    failed: int = 0
    statuses: dict[int, TaskStatus] = {}
    """Of items that have ended, by index."""


class Activation(msgspec.Struct, kw_only=True):
    """One time that a task runs."""

    id: int
    """From 1, in the order in which they came to be."""
    task: str
    scope: Scope
    ancestry: Ancestry
    causes: tuple[int, ...]
    """The activations whose edges led here."""
    phase: Phase = "ready"
    attempt: int = 1
    due_at_us: int = 0
    """When a delay, or the timer that it is, ends."""
    retries: int = 0
    delay_us: int = 0
    items: ItemsState | None = None
    is_last: bool = False
    """It starts although the run is stopping: a sibling of `fail`."""

    @property
    def is_live(self) -> bool:
        """Tells whether something of it is under way."""
        return self.phase != "ready"


class Instance(msgspec.Struct, kw_only=True):
    """A join that some have arrived at."""

    arrivals: dict[str, int]
    """Activations by predecessor."""
    scope: Scope
    ancestry: Ancestry
    is_own: bool = False
    """Its scope was made for it, and nobody else has it."""

    def take(self, scope: Scope) -> None:
        """Takes in what one more branch sees."""
        if self.is_own:
            self.scope.absorb(scope)
        elif not self.scope.has_all_of(scope):
            own = self.scope.copy()
            own.absorb(scope)
            self.scope, self.is_own = own, True


JoinKey = tuple[str, int, int]
"""An instance of a join: the task, and the activations of its dominator and of itself in the arrivals' past."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has failed, and nobody has handled it; or what broke the run."""

    task: str
    """"" where it is no task's."""
    id: int
    status: str
    error: ErrorInfo


class State(msgspec.Struct, kw_only=True):
    """Where a graph run stands."""

    activations: dict[int, Activation] = {}
    """Those that have not ended, in the order in which they came to be."""
    joins: dict[JoinKey, Instance] = {}
    fired: set[JoinKey] = set()
    """Met joins that a late token may still arrive at."""
    counts: dict[str, int] = {}
    """Activations by task, so far."""
    statuses: dict[str, TaskStatus] = {}
    """Of each task's activation that has ended last."""
    latest: Scope = msgspec.field(default_factory=Scope)
    """Each variable as it was published last, by any branch; the state's own."""
    activated: int = 0
    """Activations so far; the newest one's id."""
    published: int = 0
    """Publishes so far; the newest version."""
    live: int = 0
    """Activations that are under way."""
    ready: dict[int, None] = {}
    """Activations that wait to be started, in order."""
    failures: list[Failure] = []
    """The first ones (`FAILURES_KEPT_MAX`)."""
    failed: int = 0
    """All of them."""
    over: list[str] = []
    """Tasks whose limit has refused an activation."""
    is_stopping: bool = False
    is_cancelled: bool = False
    status: FinalStatus | None = None
    """How it has ended."""
