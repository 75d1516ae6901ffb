"""Beginning again from tasks of an ended graph run: what a new run takes over, and what is done anew.

The ended log is not touched. Taken over is everything that is not causally after the tasks in question: what branches have
published, who has arrived at joins. A join that was met by one of those is open again, with its other arrivals.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .errors import JetrunError
from .graph_carry import Carry, packed
from .graph_fold import is_met
from .graph_history import Arrival, GraphHistory
from .graph_state import Activation, Ancestry, Instance, Scope, State


class NoRerun(JetrunError):
    """A graph run that cannot be begun again like that."""


def rerun_of(history: GraphHistory, tasks: Sequence[str], *, run: str) -> Carry:
    """Makes what a new run begins with.

    Args:
        history: Of a run that has ended.
        tasks: From where; one that is downstream of another is left to it. Empty for those that have failed, or were
            cancelled.
        run: The ended run's id.

    Raises:
        NoRerun: The run has not ended, a task has never run, or there is nothing to begin with.
    """
    if history.state.status is None:
        raise NoRerun(f"run {run} has not ended; cancel it first, or let it come to its end")
    targets = _targets(history, tasks)
    targets, undone = _undone(history, targets)
    state = _state_before(history, targets, undone)
    if not state.ready:
        raise NoRerun(f"no task of run {run} has failed, and none is named; say from which tasks to begin again")
    carry = packed(state, msgspec.Raw(history.definition.raw), started_at_us=0, results={})
    names = [history.pasts[n].activation.task for n in targets]
    return msgspec.structs.replace(carry, of=run, start=names)


def _targets(history: GraphHistory, tasks: Sequence[str]) -> list[int]:
    if not tasks:
        broken = {failure.id for failure in history.state.failures}
        return [
            n
            for n, past in history.pasts.items()
            if n not in history.state.activations and (past.is_unhandled or past.status == "cancelled" or n in broken)
        ]
    newest = {past.activation.task: n for n, past in history.pasts.items()}
    found: list[int] = []
    for task in dict.fromkeys(tasks):
        if task not in history.graph.tasks:
            raise NoRerun(f"the graph has no task {task!r}; it has {', '.join([*history.graph.tasks][:20])}")
        if task not in newest:
            other = f"; it has begun {history.of} again, which may have run it" if history.of else ""
            other = other or (f"'s link {history.links}; an earlier one may have run it" if history.links > 1 else "")
            raise NoRerun(f"task {task!r} has never begun in that run{other}; begin again from one that has")
        found.append(newest[task])
    return found


def _undone(history: GraphHistory, targets: Sequence[int]) -> tuple[list[int], set[int]]:
    """Finds the targets that come of no other one, and all that is done anew: they, and what came of them, however far."""
    named, roots, undone = set(targets), list[int](), set[int]()
    for n, past in history.pasts.items():  # causes come before what they lead to
        if not undone.isdisjoint(past.activation.causes):
            undone.add(n)
        elif n in named:
            undone.add(n)
            roots.append(n)
    return roots, undone


def _state_before(history: GraphHistory, targets: Sequence[int], undone: set[int]) -> State:
    ended = history.state
    state = State(
        counts=dict(ended.counts),
        statuses=dict(ended.statuses),
        activated=ended.activated,
        published=ended.published,
        latest=_latest(history, undone),
        failures=[failure for failure in ended.failures if failure.id and failure.id not in undone],
    )
    still_failed = sum(past.is_unhandled for n, past in history.pasts.items() if n not in undone)
    state.failed = max(len(state.failures), still_failed)
    fired = set(ended.fired) | history.met.keys()
    for key, arrivals in history.arrivals.items():
        left = [arrival for arrival in arrivals if arrival.activation not in undone]
        met = history.met.get(key)
        if met is None or (met in undone and met not in targets):
            fired.discard(key)
            if left:
                state.joins[key] = _instance(left)
        if key in state.joins and is_met(history.graph.tasks[key[0]], state.joins[key].arrivals):
            instance = state.joins.pop(key)  # those that are left are enough
            fired.add(key)
            causes = tuple(instance.arrivals.values())
            _activate(history, state, key[0], instance.scope, instance.ancestry, causes)
    state.fired = fired
    for n in targets:
        _begin_anew(history, state, history.pasts[n].activation)
    for n, activation in ended.activations.items():
        if n not in undone:
            state.activations[n] = activation
            state.ready[n] = None
            activation.phase = "ready"
    return state


def _begin_anew(history: GraphHistory, state: State, old: Activation) -> None:
    _activate(history, state, old.task, old.scope, old.ancestry, (*old.causes, old.id))


def _activate(
    history: GraphHistory, state: State, task: str, scope: Scope, ancestry: Ancestry, causes: tuple[int, ...]
) -> None:
    state.activated += 1
    state.counts[task] = state.counts.get(task, 0) + 1
    new = state.activated
    if task in history.tracked:
        ancestry = {**ancestry, task: new}
    state.activations[new] = Activation(id=new, task=task, scope=scope, ancestry=ancestry, causes=causes)
    state.ready[new] = None


def _latest(history: GraphHistory, undone: set[int]) -> Scope:
    latest = history.base
    for activation, version, published in history.published:
        if activation not in undone:
            latest = latest.with_values(published, version)
    return latest


def _instance(arrivals: Sequence[Arrival]) -> Instance:
    scope, ancestry = arrivals[0].scope, dict(arrivals[0].ancestry)
    for arrival in arrivals[1:]:
        scope = scope.merged(arrival.scope)
        for task, activation in arrival.ancestry.items():
            ancestry[task] = max(ancestry.get(task, 0), activation)
    return Instance(arrivals={a.task: a.activation for a in arrivals}, scope=scope, ancestry=ancestry)
