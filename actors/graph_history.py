"""A graph run's history, read from its log: all activations, who arrived at which join, and where each task stands now.

For readers (drawing, showing, beginning again); a run itself keeps what is live alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from .commands import Advance
from .errors import JetrunError
from .graph_advance import LargeAdvance
from .graph_carry import Carry, unpacked
from .graph_definition import Definition
from .graph_draw import TaskLight, TaskState
from .graph_fold import GraphFold
from .graph_model import ROOT
from .graph_moves import Began, Ended, ItemEnded, Move, Skipped, Took, decode_moves
from .graph_state import Activation, Ancestry, JoinKey, Scope, State
from .journal import message_of
from .messages import Ref, Start
from .records import Record
from .work import decode_packed


class NoGraph(JetrunError):
    """A run that is no graph's, or whose log is not whole any more."""


class Past(msgspec.Struct, kw_only=True):
    """An activation, ended or not."""

    activation: Activation
    status: TaskState
    items_done: int = 0
    items_total: int = 0
    is_unhandled: bool = False


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A token that has arrived at a join."""

    task: str
    activation: int
    scope: Scope
    ancestry: Ancestry


class GraphHistory(GraphFold):
    """Everything that moves tell, kept.

    Args:
        definition: The run's.
        state: Where the moves begin.
    """

    def __init__(self, definition: Definition, state: State) -> None:
        super().__init__(definition.graph, state)
        self.definition = definition
        self.of = ""
        """The run that this one begins again."""
        self.links = 1
        """Of the run's chain, up to this one."""
        self.base = Scope({**state.latest.values}, {**state.latest.versions})
        """Variables where the moves begin."""
        self.pasts: dict[int, Past] = {n: _past_of(a) for n, a in state.activations.items()}
        self.arrivals: dict[JoinKey, list[Arrival]] = {
            key: [
                Arrival(task=task, activation=n, scope=joined.scope, ancestry=joined.ancestry)
                for task, n in joined.arrivals.items()
            ]
            for key, joined in state.joins.items()
        }
        self.met: dict[JoinKey, int] = {}
        """The activation that a join has led to."""
        self.published: list[tuple[int, int, dict[str, object]]] = []
        """Activation (0 for the beginning), version, variables."""

    def apply(self, move: Move) -> None:
        ended = self.state.activations.get(move.id) if isinstance(move, (Ended, Skipped)) else None
        super().apply(move)
        match move:
            case Began():
                self.published.append((0, self.state.published, move.variables))
            case Ended() if ended is not None:
                past = self.pasts[move.id]
                past.status, past.is_unhandled = move.status, move.is_unhandled or move.fails
            case Skipped():
                self.pasts[move.id].status = "skipped"
            case Took() if move.published:
                self.published.append((move.id, self.state.published, move.published))
            case ItemEnded():
                self.pasts[move.id].items_done += 1
            case _:
                pass
        for n, activation in self.state.activations.items():
            if n not in self.pasts:
                self.pasts[n] = _past_of(activation)

    def _arrive(self, join: str, ended: Activation, scope: Scope) -> None:
        key = (
            join,
            ended.ancestry.get(self.graph.dominators.get(join, ROOT), 0),
            ended.ancestry.get(join, 0),
        )
        before = self.state.activated
        if key not in self.state.fired and key not in self.met:
            arrival = Arrival(task=ended.task, activation=ended.id, scope=scope, ancestry=ended.ancestry)
            self.arrivals.setdefault(key, []).append(arrival)
        super()._arrive(join, ended, scope)
        if self.state.activated > before:
            self.met[key] = self.state.activated

    def lights(self) -> dict[str, TaskLight]:
        """Tells where each task stands: its newest activation, and how many there were."""
        newest: dict[str, Past] = {past.activation.task: past for past in self.pasts.values()}
        lights: dict[str, TaskLight] = {}
        for task in self.graph.tasks:
            past = newest.get(task)
            if past is None:  # of an earlier link, or taken over from another run, the end alone is known
                earlier: TaskState = self.state.statuses.get(task, "waiting")
                lights[task] = TaskLight(state=earlier, activations=self.state.counts.get(task, 0))
                continue
            activation = self.state.activations.get(past.activation.id)
            items = activation.items if activation is not None else None
            lights[task] = TaskLight(
                state=past.status if activation is None else _state_of(activation),
                activations=self.state.counts.get(task, 0),
                items_done=len(items.statuses) if items is not None else past.items_done,
                items_total=len(items.values) if items is not None else past.items_done,
            )
        return lights


def _past_of(activation: Activation) -> Past:
    return Past(activation=activation, status=_state_of(activation))


def _state_of(activation: Activation) -> TaskState:
    if activation.phase == "delayed":
        return "retrying" if activation.attempt > 1 else "waiting"
    return activation.phase


def history_of(log: Sequence[Record], objects: Mapping[str, bytes]) -> GraphHistory:
    """Reads a graph run's history.

    Args:
        log: The records, from the first or from where a link begins.
        objects: Large values by hash, for every `ref` in the log.

    Raises:
        NoGraph: It is no graph's run, or it has not begun.
    """
    history: GraphHistory | None = None
    given: Definition | None = None
    for record in log:
        if record.continued is not None:
            carry = carry_in(bytes(record.continued.args), record.continued.ref, objects)
            if carry is not None:
                history = _of_carry(carry)
            continue
        given = given or _started_with(record, objects)
        for command in record.commands:
            if isinstance(command, Advance):
                moves, definition = _read(command, objects)
                if history is None:
                    history = _begun(record, definition or given, objects)
                for move in moves:
                    history.apply(move)
    if history is None:
        raise NoGraph("the run has no moves of a graph: it runs another workflow, or has not begun")
    return history


def _of_carry(carry: Carry) -> GraphHistory:
    state, _ = unpacked(carry)
    history = GraphHistory(Definition.of_raw(carry.definition), state)
    history.of, history.links = carry.of, carry.links
    return history


def _begun(record: Record, definition: Definition | None, objects: Mapping[str, bytes]) -> GraphHistory:
    carry = next((c for c in _carries(record, objects)), None)
    if carry is not None:
        return _of_carry(carry)
    if definition is None:
        raise NoGraph("the beginning of the run's log is gone, and its definition with it")
    return GraphHistory(definition, State())


def _read(command: Advance, objects: Mapping[str, bytes]) -> tuple[list[Move], Definition | None]:
    moves, definition = command.moves, command.definition
    if command.ref is not None:
        large = msgspec.json.decode(objects[command.ref.sha256], type=LargeAdvance)
        moves, definition = large.moves, large.definition
    return decode_moves(moves), None if definition is None else Definition.of_raw(definition)


class _Given(msgspec.Struct):
    definition: str | dict[str, object] | None = None


def _starts(record: Record) -> Iterator[Start]:
    for folded in record.messages:
        body = message_of(folded).body
        if isinstance(body, Start):
            yield body


def _started_with(record: Record, objects: Mapping[str, bytes]) -> Definition | None:
    """Finds the definition in the start of a `jetrun-graph`."""
    for start in _starts(record):
        kwargs = start.kwargs
        if start.ref is not None:
            kwargs = decode_packed(objects[start.ref.sha256]).kwargs
        given = msgspec.json.decode(kwargs, type=_Given).definition if kwargs is not None else None
        if given is not None:
            return Definition.of(given)
    return None


def _carries(record: Record, objects: Mapping[str, bytes]) -> Iterator[Carry]:
    for start in _starts(record):
        carry = carry_in(bytes(start.args), start.ref, objects)
        if carry is not None:
            yield carry


def carry_in(args: bytes, ref: Ref | None, objects: Mapping[str, bytes]) -> Carry | None:
    """Reads where a run or link goes on, in its arguments; None where it begins from the beginning."""
    if ref is not None:
        args = bytes(decode_packed(objects[ref.sha256]).args)
    listed = msgspec.json.decode(args, type=list[msgspec.Raw])
    return msgspec.json.decode(listed[0], type=Carry) if listed else None
