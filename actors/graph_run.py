"""A run of a graph: the interpreter on a run's own means. Every task is a step, a child, a timer or a hook of the run.

What the interpreter makes of an event is one command in the log (`Advance`), ahead of the commands that it leads to. On
replay the log's moves are folded, and no expression is evaluated; so a run goes on under the definition that it began with,
whatever has become of it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import msgspec

from .commands import Advance
from .errors import ErrorInfo
from .execution import Execution
from .graph_advance import LargeAdvance
from .graph_asking import Ask
from .graph_carry import Carry, packed, unpacked
from .graph_carry_check import check_carry
from .graph_definition import Definition
from .graph_events import Beginning, Cancelled, DelayEnded, GoOn, GraphEvent, TimeUp
from .graph_interpreter import Interpreter
from .graph_model import Graph
from .graph_moves import Delayed, Ended, Finished, Move, Started, Stopped, decode_moves, encode_moves
from .graph_state import State
from .graph_work import Work, end_of
from .limits import GRAPH_RECORDS, GRAPH_RECORDS_HOLD, OBJECT_BYTES_MAX, VALUE_INLINE_BYTES_MAX
from .link import continue_as_new
from .loop import LoopTimer
from .messages import NO_ARGS
from .primitives import execution_of
from .records import Outcome
from .values import encode


class GraphRun:
    """One run, or one link of its chain.

    Args:
        definition: The graph, as the run's start has it, or its worker where the start does not.
        is_named: Whether the start has it; else the first moves do.
        carry: Where an earlier link, or another run, was.
    """

    def __init__(self, definition: Definition, *, is_named: bool, carry: Carry | None = None) -> None:
        execution = execution_of("a graph")
        self._execution: Final[Execution] = execution
        self._unsaid: Definition | None = None if is_named else self._logged_definition() or definition
        """The definition, until the log has it."""
        self._definition: Final = self._unsaid or definition
        self._graph: Final[Graph] = self._definition.graph
        if carry is not None and execution.link == 1:
            check_carry(carry, self._graph, now_us=execution.loop.now_us)
        state, results = (State(), {}) if carry is None else unpacked(carry)
        begun_at_us = 0 if carry is None else carry.started_at_us
        self._started_at_us: Final = begun_at_us or execution.started_at_us
        self._paused_us: Final = 0 if carry is None else carry.paused_us
        self._links: Final = 1 if carry is None else carry.links
        self._of: Final = "" if carry is None else carry.of
        self._start: Final[list[str]] = [] if carry is None else carry.start
        """Of a rerun: the run that it begins again, and from where."""
        self._is_resumed: Final = carry is not None
        run = {"id": execution.key.run, "workflow": execution.key.workflow, "app": execution.app}
        self._interpreter: Final = Interpreter(self._graph, state, run=run)
        self._interpreter.results.update(results)
        self._interpreter.backing_off = self._backing_off
        self._works: Final[dict[tuple[int, int | None], Work]] = {}
        self._delays: Final[dict[int, LoopTimer]] = {}
        self._limit: LoopTimer | None = None
        self._news: Final = asyncio.Event()
        """It has ended, failed, or may go on as a new link."""
        self._has_ended = False
        self._failure: Exception | None = None

    async def run(self, begin: Beginning) -> object:
        """Runs it to its end; returns its output. A failure, or a cancel, ends the run as such, with its output."""
        try:
            self._watch_duration()
            if self._is_resumed:
                self._resume()
            else:
                self._advance(begin)
            while not self._has_ended:
                await self._next_news()
                if self._failure is not None:
                    raise self._failure
                if not self._has_ended and self._should_renew():
                    carry = self._packed()
                    self._stop()
                    continue_as_new(carry)
        finally:
            self._stop()
        return None  # `Execution.ending` says how it has ended

    async def _next_news(self) -> None:
        try:
            await self._news.wait()
        except asyncio.CancelledError:
            self._advance(Cancelled(reason=self._execution.cancel_reason or ""))
        else:
            self._news.clear()

    def _stop(self) -> None:
        for work in self._works.values():
            work.cancel()
        for timer in self._delays.values():
            timer.cancel()
        if self._limit is not None:
            self._limit.cancel()

    # --- moves -----------------------------------------------------------------------------------------
    def _logged_definition(self) -> Definition | None:
        """Reads the definition that the run began with, on replay."""
        recorded = self._execution.recorded_next()
        if not isinstance(recorded, Advance):
            return None
        _, definition = self._read(recorded)
        return None if definition is None else Definition.of_raw(definition)

    def _read(self, recorded: Advance) -> tuple[list[Move], msgspec.Raw | None]:
        if recorded.ref is None:
            return decode_moves(recorded.moves), recorded.definition
        large = msgspec.json.decode(self._execution.objects[recorded.ref.sha256], type=LargeAdvance)
        return decode_moves(large.moves), large.definition

    def _advance(self, event: GraphEvent) -> None:
        """Takes an event in, and does what follows from it. A failure of the engine's own ends the run."""
        if self._has_ended:
            return
        try:
            self._follow(*self._moved(event))
        except Exception as error:  # noqa: BLE001  an end that everybody sees, never a run that hangs
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._news.set()

    def _moved(self, event: GraphEvent) -> tuple[Sequence[Move], list[Ask], bool]:
        execution, interpreter = self._execution, self._interpreter
        recorded = execution.recorded_next()
        if isinstance(recorded, Advance):
            moves, _ = self._read(recorded)
            self._unsaid = None
            execution.decide(recorded)
            return moves, interpreter.replay(event, moves), True
        interpreter.is_holding = execution.records >= (GRAPH_RECORDS_HOLD if self._is_busy() else GRAPH_RECORDS)
        moves, asks = interpreter.advance(event, now_us=execution.loop.now_us)
        raw, definition = encode_moves(moves), None if self._unsaid is None else self._unsaid.raw
        self._unsaid = None
        ref = None
        if len(raw) + len(definition or b"") > VALUE_INLINE_BYTES_MAX:
            large = LargeAdvance(msgspec.Raw(raw), None if definition is None else msgspec.Raw(definition))
            data = msgspec.json.encode(large)
            if len(data) > OBJECT_BYTES_MAX:
                return self._refused(len(data))
            ref = execution.upload(data)
        advance = Advance(
            n=execution.last_command + 1,
            moves=NO_ARGS if ref is not None else msgspec.Raw(raw),
            definition=None if ref is not None or definition is None else msgspec.Raw(definition),
            ref=ref,
        )
        return (moves, asks, False) if execution.decide(advance) is not None else ([], [], False)

    def _refused(self, size: int) -> tuple[list[Move], list[Ask], bool]:
        """Ends a run whose log would name an object that nobody may read. It decides nothing more."""
        message = f"one event leads to {size} bytes of moves, at most {OBJECT_BYTES_MAX}; keep large data elsewhere and publish its name"
        error = ErrorInfo(type="GraphError", message=message, code="value_limit")
        self._execution.ending = Outcome(status="failed", error=error)
        self._has_ended = True
        self._news.set()
        return [], [], False

    def _follow(self, moves: Sequence[Move], asks: list[Ask], is_replayed: bool) -> None:  # noqa: FBT001  a result's part
        for move in moves:
            match move:
                case Ended():
                    self._drop(move.id)
                case Started() if move.attempt > 1:
                    self._drop(move.id)  # items of the attempt before, where one failure has ended it
                case Delayed():
                    self._drop(move.id)
                    self._delay(move.id, move.due_at_us)
                case Stopped():
                    self._retry_no_more()
                    for n in [n for n in self._delays if n in self._interpreter.state.ready]:
                        self._delays.pop(n).cancel()
                case Finished():
                    self._end(move)
                    return
                case _:
                    pass
        for ask in asks:
            self._begin(ask, is_replayed=is_replayed)
        if self._should_renew():
            self._news.set()

    def _backing_off(self) -> frozenset[int]:
        return frozenset(activation for (activation, _), work in self._works.items() if work.is_backing_off)

    def _retry_no_more(self) -> None:
        for work in self._works.values():
            work.retry_no_more()

    def _drop(self, activation: int) -> None:
        """Gives up what an activation has under way."""
        for key in [key for key in self._works if key[0] == activation]:
            self._works.pop(key).cancel()
        delay = self._delays.pop(activation, None)
        if delay is not None:
            delay.cancel()

    def _delay(self, activation: int, due_at_us: int) -> None:
        def wake() -> None:
            self._delays.pop(activation, None)
            self._advance(DelayEnded(id=activation))

        self._delays[activation] = self._execution.start_timer("sleep", due_at_us, wake)

    def _end(self, move: Finished) -> None:
        execution = self._execution
        raw, ref = msgspec.Raw(b"null"), None
        if move.output is not None:
            data = encode(move.output, where="output")
            ref = execution.upload(data) if len(data) > VALUE_INLINE_BYTES_MAX else None
            raw = raw if ref is not None else msgspec.Raw(data)
        match move.status:
            case "succeeded":
                execution.ending = Outcome(status="completed", result=raw, ref=ref)
            case "failed":
                error = move.error or ErrorInfo(type="GraphError")
                execution.ending = Outcome(status="failed", error=error, result=raw, ref=ref)
            case "cancelled":
                reason = execution.cancel_reason or ""
                execution.ending = Outcome(status="cancelled", reason=reason, result=raw, ref=ref)
            case _:
                assert_never(move.status)
        self._has_ended = True
        self._news.set()

    # --- work -------------------------------------------------------------------------------------------
    def _begin(self, ask: Ask, *, is_replayed: bool) -> None:
        activation = self._interpreter.state.activations.get(ask.activation)
        if activation is None or activation.phase != "running" or activation.attempt != ask.attempt:
            return
        work = Work(
            self._execution,
            ask,
            activation,
            self._graph.tasks[ask.task],
            filled=None if not is_replayed else self._filled,
        )
        key = (ask.activation, ask.index)
        self._works[key] = work
        work.doing = self._execution.loop.create_task(self._perform(key, work))

    def _filled(self, ask: Ask) -> Ask:
        return self._interpreter.filled(ask, now_us=self._execution.loop.now_us)

    async def _perform(self, key: tuple[int, int | None], work: Work) -> None:
        try:
            event = await end_of(work)
        except Exception as error:  # noqa: BLE001  as in `_advance`
            self._fail(error)
        else:
            self._works.pop(key, None)
            self._advance(event)

    # --- links ------------------------------------------------------------------------------------------
    def _should_renew(self) -> bool:
        """Tells whether the log should begin anew: it is long, and nothing is under way that a new link cannot wait for."""
        if self._execution.records < GRAPH_RECORDS or self._execution.cancel_reason is not None:
            return False
        return not self._is_busy()

    def _is_busy(self) -> bool:
        """Tells whether steps or children are under way, or items of a task."""
        return any(not work.is_a_wait for work in self._works.values())

    def _packed(self) -> Carry:
        carry = packed(
            self._interpreter.state,
            msgspec.Raw(self._definition.raw),
            started_at_us=self._started_at_us,
            paused_us=self._paused_us + self._execution.paused_us,
            links=self._links + 1,
            results=self._interpreter.results,
        )
        return msgspec.structs.replace(carry, of=self._of, start=self._start)

    def _resume(self) -> None:
        """Waits again for what an earlier link has waited for, and starts what that has held back."""
        for activation in [*self._interpreter.state.activations.values()]:
            action = self._graph.tasks[activation.task].action
            if activation.phase == "delayed":
                self._delay(activation.id, activation.due_at_us)
            elif activation.phase == "running" and action is not None:
                ask = Ask(activation=activation.id, attempt=activation.attempt, task=activation.task, action=action)
                self._begin(ask, is_replayed=True)
        self._advance(GoOn())

    # --- the limit of its duration --------------------------------------------------------------------------
    def _watch_duration(self) -> None:
        limit_us = self._graph.limits.duration_us
        if limit_us:
            due_at_us = self._started_at_us + self._paused_us + limit_us
            self._limit = self._execution.start_timer("sleep", due_at_us, self._on_duration)

    def _on_duration(self) -> None:
        """Ends the run, or waits on for as long as it was on pause."""
        execution, self._limit = self._execution, None
        paused_us = self._paused_us + execution.paused_us
        if execution.paused_at_us:
            paused_us += max(0, execution.heard_us - execution.paused_at_us)
        due_at_us = self._started_at_us + paused_us + self._graph.limits.duration_us
        if due_at_us > execution.loop.now_us:
            self._limit = execution.start_timer("sleep", due_at_us, self._on_duration)
        else:
            self._advance(TimeUp())


async def run_graph(
    definition: Definition,
    given: Mapping[str, object],
    *,
    start: Sequence[str] = (),
    carry: Carry | None = None,
    is_named: bool,
) -> object:
    """Runs a graph in the run whose code this is; see `GraphRun`."""
    graph_run = GraphRun(definition, is_named=is_named or carry is not None, carry=carry)
    return await graph_run.run(Beginning(input=dict(given), start=tuple(start)))
