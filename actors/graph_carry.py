"""Carries: a graph run's state as JSON, for the next link of its chain, or for a run that begins where another one was.

Branches share most of what they see, so each variable's version stands in it once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .graph_moves import TaskStatus
from .graph_state import NOTHING, Activation, Ancestry, Failure, Instance, ItemsState, JoinKey, Phase, Scope, State

Versions = dict[str, int]
"""A scope: variables' names and versions."""


class CarriedActivation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An activation that has not ended."""

    id: int
    task: str
    scope: int
    """Its place in `Carry.scopes`."""
    ancestry: Ancestry = {}
    causes: tuple[int, ...] = ()
    phase: Phase = "ready"
    attempt: int = 1
    due_at_us: int = 0
    retries: int = 0
    delay_us: int = 0
    items: ItemsState | None = None
    is_last: bool = False


class CarriedInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A join that some have arrived at."""

    key: JoinKey
    arrivals: dict[str, int]
    scope: int
    ancestry: Ancestry


class Carry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a graph run stands."""

    definition: msgspec.Raw
    started_at_us: int
    """When the first link began."""
    paused_us: int = 0
    links: int = 1
    of: str = ""
    """The run that this one begins again, by its id: a rerun."""
    start: list[str] = []
    """The tasks from which it does."""
    values: dict[str, dict[str, object]] = {}
    """Variables by version and name."""
    scopes: list[Versions] = []
    latest: int = 0
    activations: list[CarriedActivation] = []
    joins: list[CarriedInstance] = []
    fired: list[JoinKey] = []
    results: dict[str, dict[str, object]] = {}
    """Of items, by activation and index."""
    counts: dict[str, int] = {}
    statuses: dict[str, TaskStatus] = {}
    activated: int = 0
    published: int = 0
    failures: list[Failure] = []
    failed: int = 0
    is_stopping: bool = False
    is_cancelled: bool = False


class _Scopes:
    """Scopes as they are packed: each once."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, object]] = {}
        self.listed: list[Versions] = []
        self._places: dict[int, int] = {}
        self._kept: list[Scope] = []

    def place(self, scope: Scope) -> int:
        known = self._places.get(id(scope))
        if known is not None:
            return known
        for name, version in scope.versions.items():
            self.values.setdefault(str(version), {})[name] = scope.values[name]
        self._kept.append(scope)  # so that its id stays its own
        self._places[id(scope)] = len(self.listed)
        self.listed.append(scope.versions)
        return len(self.listed) - 1


def packed(
    state: State,
    definition: msgspec.Raw,
    *,
    started_at_us: int,
    paused_us: int = 0,
    links: int = 1,
    results: dict[int, dict[int, object]],
) -> Carry:
    """Packs a state."""
    scopes = _Scopes()
    latest = scopes.place(state.latest)
    activations = [
        CarriedActivation(**_fields(activation, scope=scopes.place(activation.scope)))
        for activation in state.activations.values()
    ]
    joins = [
        CarriedInstance(key=key, arrivals=i.arrivals, scope=scopes.place(i.scope), ancestry=i.ancestry)
        for key, i in state.joins.items()
    ]
    return Carry(
        definition=definition,
        started_at_us=started_at_us,
        paused_us=paused_us,
        links=links,
        values=scopes.values,
        scopes=scopes.listed,
        latest=latest,
        activations=activations,
        joins=joins,
        fired=sorted(state.fired),
        results={str(n): {str(index): value for index, value in some.items()} for n, some in results.items()},
        counts=state.counts,
        statuses=state.statuses,
        activated=state.activated,
        published=state.published,
        failures=state.failures,
        failed=state.failed,
        is_stopping=state.is_stopping,
        is_cancelled=state.is_cancelled,
    )


def unpacked(carry: Carry) -> tuple[State, dict[int, dict[int, object]]]:
    """Makes the state again, with the items' results. Raises LookupError for a carry that does not hold together."""
    scopes = [
        Scope({name: carry.values[str(version)][name] for name, version in versions.items()}, versions)
        for versions in carry.scopes
    ]
    activations = {
        carried.id: Activation(**_fields(carried, scope=scopes[carried.scope])) for carried in carry.activations
    }
    latest = scopes[carry.latest] if scopes else NOTHING
    state = State(
        activations=activations,
        joins={i.key: Instance(arrivals=i.arrivals, scope=scopes[i.scope], ancestry=i.ancestry) for i in carry.joins},
        fired=set(carry.fired),
        counts=dict(carry.counts),
        statuses=dict(carry.statuses),
        latest=Scope({**latest.values}, {**latest.versions}),
        activated=carry.activated,
        published=carry.published,
        live=sum(a.is_live for a in activations.values()),
        ready={n: None for n, a in activations.items() if a.phase == "ready"},
        failures=list(carry.failures),
        failed=carry.failed,
        is_stopping=carry.is_stopping,
        is_cancelled=carry.is_cancelled,
    )
    results = {int(n): {int(index): value for index, value in some.items()} for n, some in carry.results.items()}
    return state, results


def _fields(activation: Activation | CarriedActivation, *, scope: int | Scope) -> dict[str, Any]:
    """Lists what both forms of an activation have, with the scope as the other form has it."""
    return {**msgspec.structs.asdict(activation), "scope": scope}
