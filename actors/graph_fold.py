"""Folding moves into a graph run's state: where tokens go, when joins are met, what branches see. No expression is needed.

Three rules stand for routes, join states and deadlock detection. An arrival at a join belongs to the instance that its
ancestry names: the activations of the join's dominator, and of the join itself, in its past. An instance counts distinct
predecessors, is met once, and absorbs who comes late. A variable that branches bring to a join is the one published last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from .errors import ErrorInfo
from .graph_model import ROOT, Graph
from .graph_moves import (
    Began,
    Broken,
    Delayed,
    Ended,
    Finished,
    ItemEnded,
    ItemsStarted,
    Move,
    Skipped,
    Started,
    Stopped,
    Took,
)
from .graph_state import NOTHING, Activation, Ancestry, Failure, Instance, ItemsState, JoinKey, Phase, Scope, State

FAILURES_KEPT_MAX: Final = 20
"""Failures that a run's error can name."""

_FIRED_SPARE: Final = 64
_FIRED_COST: Final = 64


class GraphFold:
    """Applies moves to a state.

    Args:
        graph: The definition.
        state: Changed in place.
    """

    def __init__(self, graph: Graph, state: State) -> None:
        self.graph = graph
        self.state = state
        self._tracked = frozenset((*graph.dominators, *graph.dominators.values()))
        self._ended: Activation | None = None
        """Whose edges are taken."""
        self._fails = False
        """Whether they fail the run: their targets have one go all the same."""
        self._fired_max = _FIRED_SPARE

    def apply(self, move: Move) -> None:
        """Takes one move in."""
        state = self.state
        match move:
            case Took():
                self._take(move)
            case Started():
                self._start(move)
            case Ended():
                self._end(state.activations.pop(move.id), move)
            case ItemEnded():
                self._end_item(move)
            case ItemsStarted():
                items = _items(state.activations[move.id])
                items.begun = move.first + move.count
                items.running += move.count
            case Delayed():
                activation = state.activations[move.id]
                self._enliven(activation, "delayed")
                activation.attempt, activation.due_at_us, activation.items = move.attempt, move.due_at_us, None
            case Skipped():
                self._end(state.activations.pop(move.id), Ended(id=move.id, status="skipped"))
            case Began():
                self._begin(move)
            case Broken():
                state.over.clear()
                broken = state.activations.get(move.id)
                if broken is not None:
                    broken.is_last = False  # it had its go
                self._fail(
                    move.task, move.id, move.kind, ErrorInfo(type="GraphError", message=move.message, code=move.kind)
                )
            case Stopped():
                state.is_stopping = True
                self._hold_back()
                state.is_cancelled = state.is_cancelled or move.why == "cancel"
            case Finished():
                state.status = move.status
            case _:
                assert_never(move)

    # --- activations -------------------------------------------------------------------------------
    def _begin(self, move: Began) -> None:
        state = self.state
        state.published += 1
        scope = NOTHING.with_values(move.variables, state.published).as_base()
        state.latest = Scope(dict(scope.values), dict(scope.versions))
        for task in move.tasks:
            self._activate(task, scope, {}, ())

    def _activate(self, task: str, scope: Scope, ancestry: Ancestry, causes: tuple[int, ...]) -> None:
        state = self.state
        count = state.counts.get(task, 0)
        limits = self.graph.limits
        if count >= limits.iterations or state.activated >= limits.activations:
            state.over.append(task)
            return
        state.counts[task] = count + 1
        state.activated += 1
        new = state.activated
        if task in self._tracked:
            ancestry = {**ancestry, task: new}
        state.activations[new] = Activation(
            id=new, task=task, scope=scope, ancestry=ancestry, causes=causes, is_last=self._fails
        )
        state.ready[new] = None

    def _enliven(self, activation: Activation, phase: Phase) -> None:
        if activation.phase == "ready":
            self.state.live += 1
            del self.state.ready[activation.id]
        activation.phase = phase

    def _hold_back(self) -> None:
        """Has those that wait before their first attempt not begin any more."""
        for activation in self.state.activations.values():
            if activation.phase == "delayed" and activation.attempt == 1 and not activation.is_last:
                activation.phase = "ready"
                self.state.live -= 1
                self.state.ready[activation.id] = None

    def _start(self, move: Started) -> None:
        activation = self.state.activations[move.id]
        self._enliven(activation, "running")
        activation.attempt = move.attempt
        activation.retries, activation.delay_us = move.retries, move.delay_us
        activation.due_at_us = move.due_at_us
        activation.items = None if move.items is None else ItemsState(values=move.items, concurrency=move.concurrency)

    def _end_item(self, move: ItemEnded) -> None:
        items = _items(self.state.activations[move.id])
        items.running -= 1
        items.statuses[move.index] = move.status
        items.failed += move.status != "succeeded"

    def _end(self, activation: Activation, move: Ended) -> None:
        state = self.state
        if activation.is_live:
            state.live -= 1
        else:
            del state.ready[activation.id]
        state.statuses[activation.task] = move.status
        if move.is_unhandled:
            error = move.error or ErrorInfo(type="Exception")
            self._fail(activation.task, activation.id, move.status, error)
        elif move.fails:
            error = ErrorInfo(type="GraphError", message=f"task {activation.task!r} went to `fail`", code="fail")
            self._fail(activation.task, activation.id, "fail", error)
        self._ended, self._fails = activation, move.fails

    def _fail(self, task: str, activation: int, status: str, error: ErrorInfo) -> None:
        self.state.failed += 1
        if len(self.state.failures) < FAILURES_KEPT_MAX:
            self.state.failures.append(Failure(task=task, id=activation, status=status, error=error))

    # --- tokens --------------------------------------------------------------------------------------
    def _take(self, move: Took) -> None:
        ended = self._ended
        if ended is None or ended.id != move.id:
            raise ValueError(f"an edge of activation {move.id} is taken, which has not just ended")
        state, edge = self.state, self.graph.tasks[ended.task].edges[move.edge]
        scope = ended.scope
        if move.published:
            state.published += 1
            scope = scope.with_values(move.published, state.published)
            state.latest.values.update(move.published)
            state.latest.versions.update(dict.fromkeys(move.published, state.published))
        for target in edge.targets:
            if self.graph.tasks[target].join:
                self._arrive(target, ended, scope)
            else:
                self._activate(target, scope, ended.ancestry, (ended.id,))

    def _arrive(self, join: str, ended: Activation, scope: Scope) -> None:
        state, task = self.state, self.graph.tasks[join]
        ancestry = ended.ancestry
        key: JoinKey = (join, ancestry.get(self.graph.dominators.get(join, ROOT), 0), ancestry.get(join, 0))
        if key in state.fired:
            return  # absorbed: it is met once
        instance = state.joins.get(key)
        if instance is None:
            instance = state.joins[key] = Instance(arrivals={}, scope=scope, ancestry=ancestry)
        else:
            instance.take(scope)
            instance.ancestry = _newest(instance.ancestry, ancestry)
        instance.arrivals[ended.task] = ended.id
        arrived = instance.arrivals.keys()
        # Sets are compared only when enough have come: thousands may arrive.
        if all(len(arrived) >= group.need for group in task.join) and all(
            len(group.predecessors & arrived) >= group.need for group in task.join
        ):
            del state.joins[key]
            state.fired.add(key)
            causes = tuple(instance.arrivals.values())
            self._activate(join, instance.scope.as_base(), instance.ancestry, causes)
            if len(state.fired) > self._fired_max:
                self._forget_fired()

    def _forget_fired(self) -> None:
        """Drops met joins at which no live token can arrive: a token's past names them, or none that comes of it does."""
        state, dominators = self.state, self.graph.dominators
        pasts = [*(a.ancestry for a in state.activations.values()), *(i.ancestry for i in state.joins.values())]
        if self._ended is not None:
            pasts.append(self._ended.ancestry)
        joins = {key[0] for key in state.fired}
        if len(joins) * len(pasts) > _FIRED_COST * len(state.fired):  # so that looking costs little per join
            self._fired_max = max(2 * len(state.fired), len(joins) * len(pasts) // _FIRED_COST)
            return
        alive = {(join, past.get(dominators.get(join, ROOT), 0), past.get(join, 0)) for join in joins for past in pasts}
        state.fired &= alive
        self._fired_max = _FIRED_SPARE + 2 * len(state.fired)


def fold(graph: Graph, moves: Iterable[Move], state: State | None = None) -> State:
    """Makes the state that moves lead to."""
    folding = GraphFold(graph, state if state is not None else State())
    for move in moves:
        folding.apply(move)
    return folding.state


def _newest(one: Ancestry, other: Ancestry) -> Ancestry:
    if one is other:
        return one
    return {task: max(one.get(task, 0), other.get(task, 0)) for task in {**one, **other}}


def _items(activation: Activation) -> ItemsState:
    if activation.items is None:
        raise ValueError(f"activation {activation.id} has no items")
    return activation.items
