"""A player of graphs: the interpreter alone, with whatever end each task comes to, in whatever order.

Every event is played three times: by the live interpreter, by the fold of its moves as a log keeps them, and by a replay;
and its state is packed and unpacked each time. All of them must agree, whatever a test is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from jetrun.actors.errors import ErrorInfo
from jetrun.actors.graph_asking import Ask
from jetrun.actors.graph_carry import Carry, packed, unpacked
from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_events import ActionEnded, Beginning, Cancelled, DelayEnded, GraphEvent, TimeUp
from jetrun.actors.graph_fold import GraphFold
from jetrun.actors.graph_interpreter import Interpreter
from jetrun.actors.graph_model import ROOT
from jetrun.actors.graph_moves import Broken, Finished, Move, Skipped, Started, TaskStatus, decode_moves, encode_moves
from jetrun.actors.graph_state import Activation, Scope, State

RUN = {"id": "r-1", "workflow": "graph", "app": "default"}
_CARRIES = msgspec.json.Decoder(Carry)


class Firing(msgspec.Struct, frozen=True):
    """One time that a join was met."""

    join: str
    above: int
    """The newest activation of the join's dominator in the past of those that arrived."""
    before: int
    """And of the join itself."""


class Player:
    """Plays one run of a definition.

    Args:
        definition: A text, or data.
        links_every: After so many events each, the run continues as new; 0 for never.
    """

    def __init__(
        self,
        definition: str | dict[str, Any],
        given: dict[str, Any] | None = None,
        *,
        start: Iterable[str] = (),
        links_every: int = 0,
    ) -> None:
        self._links_every = links_every
        self._taken = 0
        self.graph = Definition.of(definition).graph
        self.interpreter = Interpreter(self.graph, State(), run=RUN)
        self._replayed = Interpreter(self.graph, State(), run=RUN)
        self._folded = GraphFold(self.graph, State())
        self.moves: list[Move] = []
        self.asks: list[Ask] = []
        """Not ended yet, in the order in which they were asked."""
        self.born: dict[int, Activation] = {}
        """Every activation there has been, as it was when it came to be."""
        self.now_us = 1_000_000
        self.asked: list[Ask] = []
        self.take(Beginning(input=given or {}, start=tuple(start)))

    # --- acts ------------------------------------------------------------------------------------
    def take(self, event: GraphEvent) -> list[str]:
        """Takes an event in; returns the tasks that have begun of it."""
        if self._links_every and self._taken and self._taken % self._links_every == 0:
            self._continue_as_new()
        self._taken += 1
        moves, asks = self.interpreter.advance(event, now_us=self.now_us)
        self.moves += moves
        self.asked += asks
        self._check(event, moves, asks)
        self.asks = [ask for ask in [*self.asks, *asks] if self._is_open(ask)]
        return [move.task for move in moves if isinstance(move, Started) and move.attempt == 1]

    def end(
        self,
        label: str,
        result: object = None,
        *,
        status: TaskStatus = "succeeded",
        message: str = "no luck",
        is_final: bool = False,
    ) -> list[str]:
        """Ends the oldest ask of a task, or of an item (`test[3]`), that is open; returns the tasks that begin of it."""
        ask = next(ask for ask in self.asks if ask.label == label)
        return self.end_ask(ask, result, status=status, message=message, is_final=is_final)

    def end_ask(
        self,
        ask: Ask,
        result: object = None,
        *,
        status: TaskStatus = "succeeded",
        message: str = "no luck",
        is_final: bool = False,
    ) -> list[str]:
        self.asks.remove(ask)
        error = None if status == "succeeded" else ErrorInfo(type="Refused", message=message)
        return self.take(
            ActionEnded(
                id=ask.activation, index=ask.index, status=status, result=result, error=error, is_final=is_final
            )
        )

    def fail(self, label: str, message: str = "no luck") -> list[str]:
        """Ends one with a failure."""
        return self.end(label, status="failed", message=message)

    def finish(self, results: dict[str, Any] | None = None) -> Finished:
        """Ends everything with success, oldest first, until the run has ended."""
        while self.asks or self.delayed:
            if self.asks:
                self.end_ask(self.asks[0], (results or {}).get(self.asks[0].task))
            else:
                self.wake()
        return self.finished

    def wake(self) -> list[str]:
        """Brings the time forward to the end of the next delay."""
        activation = min(self.delayed, key=lambda each: (each.due_at_us, each.id))
        self.now_us = max(self.now_us, activation.due_at_us)
        return self.take(DelayEnded(id=activation.id))

    def cancel(self) -> list[str]:
        return self.take(Cancelled())

    def time_up(self) -> list[str]:
        return self.take(TimeUp())

    # --- what has come of it --------------------------------------------------------------------------
    @property
    def state(self) -> State:
        return self.interpreter.state

    @property
    def delayed(self) -> list[Activation]:
        return [each for each in self.state.activations.values() if each.phase == "delayed"]

    @property
    def path(self) -> list[str]:
        """Tasks in the order in which they have begun; those that were skipped are left out."""
        return [move.task for move in self.moves if isinstance(move, Started) and move.attempt == 1]

    @property
    def has_ended(self) -> bool:
        return self.state.status is not None

    @property
    def finished(self) -> Finished:
        assert isinstance(self.moves[-1], Finished), f"the run goes on: {self.state}"
        return self.moves[-1]

    @property
    def status(self) -> str:
        return self.finished.status

    @property
    def output(self) -> dict[str, object] | None:
        return self.finished.output

    @property
    def error(self) -> ErrorInfo:
        assert self.finished.error is not None
        return self.finished.error

    @property
    def broken(self) -> list[str]:
        """All that could not be followed."""
        return [f"{move.kind}: {move.message}" for move in self.moves if isinstance(move, Broken)]

    @property
    def skipped(self) -> list[str]:
        return [move.task for move in self.moves if isinstance(move, Skipped)]

    def firings(self) -> list[Firing]:
        """Lists the joins that were met, each with the instance that its causes belong to by their past alone."""
        pasts: dict[int, frozenset[int]] = {}
        for n, activation in self.born.items():
            pasts[n] = frozenset({n}).union(*(pasts[cause] for cause in activation.causes))
        found: list[Firing] = []
        for activation in self.born.values():
            if not self.graph.tasks[activation.task].join or not activation.causes:
                continue
            above = self.graph.dominators.get(activation.task, ROOT)
            keys = {
                Firing(activation.task, self._newest(above, pasts[cause]), self._newest(activation.task, pasts[cause]))
                for cause in activation.causes
            }
            assert len(keys) == 1, f"join {activation.task} #{activation.id} mixes instances: {keys}"
            found += keys
        return found

    def _newest(self, task: str, past: frozenset[int]) -> int:
        return max((n for n in past if self.born[n].task == task), default=0)

    def _is_open(self, ask: Ask) -> bool:
        activation = self.state.activations.get(ask.activation)
        return activation is not None and (activation.phase, activation.attempt) == ("running", ask.attempt)

    # --- what must agree --------------------------------------------------------------------------------
    def _check(self, event: GraphEvent, moves: list[Move], asks: list[Ask]) -> None:
        raw = encode_moves(moves)
        logged = decode_moves(raw)
        assert encode_moves(logged) == raw
        for move in logged:
            self._folded.apply(move)
            for n, activation in self._folded.state.activations.items():
                self.born.setdefault(n, activation)
        assert _plain(self._folded.state) == _plain(self.state), "the fold of the moves is another state"
        again = self._replayed.replay(event, logged)
        assert _plain(self._replayed.state) == _plain(self.state), "a replay comes to another state"
        assert self._replayed.results == self.interpreter.results, "a replay comes to other results of items"
        assert [*map(_place, again)] == [*map(_place, asks)], "a replay asks for something else"
        if self.has_ended:
            return
        carried, results = self._carried()
        assert _plain(carried) == _plain(self.state), "a carry loses something"
        assert results == self.interpreter.results, "a carry loses results of items"

    def _carried(self) -> tuple[State, dict[int, dict[int, object]]]:
        """Packs where it stands, and unpacks it as the next link of a chain does."""
        carry = packed(self.state, msgspec.Raw(b"{}"), started_at_us=1, results=self.interpreter.results)
        return unpacked(_CARRIES.decode(msgspec.json.encode(carry)))

    def _continue_as_new(self) -> None:
        state, results = self._carried()
        self.interpreter = Interpreter(self.graph, state, run=RUN)
        self.interpreter.results.update(results)


def _place(ask: Ask) -> tuple[int, int | None, int, str]:
    return ask.activation, ask.index, ask.attempt, ask.task


def _plain(state: State) -> State:
    """Leaves out what scopes know of their past, which only makes merging them cheaper."""
    replace = msgspec.structs.replace
    return replace(
        state,
        activations={n: replace(each, scope=_seen(each.scope)) for n, each in state.activations.items()},
        joins={key: replace(each, scope=_seen(each.scope), is_own=False) for key, each in state.joins.items()},
        latest=_seen(state.latest),
    )


def _seen(scope: Scope) -> Scope:
    return Scope(scope.values, scope.versions)
