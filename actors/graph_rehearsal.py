"""Rehearsals: a scenario played on the interpreter alone, in virtual time. No server, no worker; waits take no time.

What is due at the same time ends together: a wave. What begins meanwhile ends in a later one. So a rehearsal has one outcome,
whatever machine it is played on.
"""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count
from typing import Final, TypeAlias, assert_never

import msgspec

from .errors import ErrorInfo
from .graph_asking import Ask, retries_natively
from .graph_evaluation import ENDLESS, backoff_us
from .graph_events import ActionEnded, Beginning, Cancelled, DelayEnded, GraphEvent, TimeUp
from .graph_interpreter import Interpreter
from .graph_model import ChildAction, Graph, HookAction, StepAction, TimerAction
from .graph_moves import FAILURES, Broken, Delayed, Ended, Finished, Move, Skipped, Started, TaskStatus, Took
from .graph_scenario import Rule, RunStatus, Scenario
from .graph_state import State
from .graph_template import Template
from .limits import GRAPH_REHEARSAL_EVENTS_MAX

BEGINNING_US: Final = 946_684_800_000_000
"""The time at which every rehearsal begins: 2000-01-01, so that nobody takes it for a real one."""

_TIMEOUT_CODES: Final[dict[type, str]] = {
    StepAction: "step_timeout",
    ChildAction: "child_timeout",
    HookAction: "hook_timeout",
}
_SUCCEEDED: Final = Rule()
_PAUSE: Final = StepAction(name=Template("noop"), input=Template({}))


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal has shown."""

    status: RunStatus
    """`running` where something never ends."""
    output: dict[str, object] | None
    waves: tuple[tuple[str, ...], ...]
    """Tasks that began together, wave after wave."""
    errors: tuple[tuple[str, str], ...]
    """Code and text of each that was found on the way, those of failed tasks among them; the last is the run's own."""
    activations: dict[str, int]
    """By task, of those that came to be."""
    tasks: dict[str, TaskStatus]
    """Of each task's newest activation that has ended, its end."""
    edges: frozenset[tuple[str, int]]
    """Transitions that were taken: a task, and which of its own."""
    story: tuple[tuple[int, Move], ...]
    """All moves, with microseconds since the beginning."""
    notes: tuple[str, ...] = ()
    """What is probably not meant."""
    failure: str = ""
    """Why it has come to no end."""

    @property
    def path(self) -> list[str]:
        """Lists tasks in the order in which they began."""
        return [task for wave in self.waves for task in wave]


def rehearsed(graph: Graph, scenario: Scenario) -> Rehearsed:
    """Plays a scenario. Never raises, ends always: `GRAPH_REHEARSAL_EVENTS_MAX`."""
    return _Rehearsal(graph, scenario).run()


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """Work comes to its end."""

    ask: Ask
    attempt: int
    status: TaskStatus
    result: object
    error: ErrorInfo | None
    is_final: bool


class _Again(msgspec.Struct, frozen=True, kw_only=True):
    """The engine itself makes another attempt of a step."""

    ask: Ask
    attempt: int


class _Delay(msgspec.Struct, frozen=True):
    id: int
    attempt: int


class _Stop(msgspec.Struct, frozen=True):
    """The run is asked to stop."""


_Due: TypeAlias = _End | _Again | _Delay | _Stop


class _Rehearsal:
    """One scenario while it is played."""

    def __init__(self, graph: Graph, scenario: Scenario) -> None:
        self._scenario = scenario
        self._graph = _paced(graph) if scenario.is_paced else graph
        self._state = State()
        run = {"id": "rehearsal", "workflow": graph.name, "app": "rehearsal"}
        self._interpreter = Interpreter(self._graph, self._state, run=run)
        self._now_us = BEGINNING_US
        self._limit_us: int | None = BEGINNING_US + graph.limits.duration_us if graph.limits.duration_us else None
        self._due: list[tuple[int, int, int, _Due]] = []
        """When, rank among what is due at once, a number for the order, what."""
        self._numbers = count()
        self._ranks = {task: rank for rank, task in reversed(list(enumerate(scenario.order)))}
        self._used: Counter[int] = Counter()
        """How often each rule has counted, by place among all of them."""
        self._rules = {task: _numbered(scenario, task) for task in scenario.mocks}
        self._wave: list[str] = []
        self._waves: list[tuple[str, ...]] = []
        self._story: list[tuple[int, Move]] = []
        self._nth: dict[int, int] = {}
        """Of activations, which of their task's each is."""
        self._begun: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._tasks: dict[int, str] = {}
        self._edges: set[tuple[str, int]] = set()
        self._errors: list[tuple[str, str]] = []
        self._output: dict[str, object] | None = None
        self._is_cancelled = False

    def run(self) -> Rehearsed:
        """Plays all of it."""
        cancel = self._scenario.cancel
        if cancel is not None and cancel.at_us is not None:
            self._push(BEGINNING_US + cancel.at_us, -1, _Stop())
        self._advance(Beginning(input=self._scenario.input, start=self._scenario.start))
        self._end_wave()
        failure, spent = "", 0
        while self._state.status is None and not failure:
            batch = self._next_batch()
            if not batch:
                break
            for due in batch:
                spent += 1
                self._perform(due)
            if spent > GRAPH_REHEARSAL_EVENTS_MAX:
                failure = self._endless()
            self._end_wave()
        return Rehearsed(
            status=self._state.status or "running",
            output=self._output,
            waves=tuple(self._waves),
            errors=tuple(self._errors),
            activations=dict(self._state.counts),
            tasks=dict(self._state.statuses),
            edges=frozenset(self._edges),
            story=tuple(self._story),
            notes=tuple(self._notes()),
            failure=failure,
        )

    # --- time ------------------------------------------------------------------------------------------
    def _push(self, due_us: int, rank: int, due: _Due) -> None:
        heapq.heappush(self._due, (due_us, rank, next(self._numbers), due))

    def _next_batch(self) -> list[_Due]:
        """Goes to the next time at which something is due, and returns all that is; nothing where nothing ever is."""
        while self._due and not self._is_live(self._due[0][3]):
            heapq.heappop(self._due)
        if self._limit_us is not None and (not self._due or self._due[0][0] > self._limit_us):
            self._now_us, self._limit_us = max(self._now_us, self._limit_us), None
            self._advance(TimeUp())
            return [] if self._state.status is not None else self._next_batch()
        if not self._due:
            return []
        self._now_us = max(self._now_us, self._due[0][0])
        batch: list[_Due] = []
        while self._due and self._due[0][0] <= self._now_us:
            batch.append(heapq.heappop(self._due)[3])
        return batch

    def _is_live(self, due: _Due) -> bool:
        """Tells whether it still matters: work may have been given up meanwhile."""
        match due:
            case _Stop():
                return True
            case _Delay():
                activation = self._state.activations.get(due.id)
                return activation is not None and activation.phase == "delayed" and activation.attempt == due.attempt
            case _End() | _Again():
                activation = self._state.activations.get(due.ask.activation)
                return (
                    activation is not None and activation.phase == "running" and activation.attempt == due.ask.attempt
                )
            case _:
                assert_never(due)

    def _endless(self) -> str:
        live = list(dict.fromkeys(each.task for each in self._state.activations.values()))[:5]
        return (
            f"it goes on for ever: {GRAPH_REHEARSAL_EVENTS_MAX} ends of work have not ended the run, which is at "
            f"{', '.join(live)}; mock an outcome that leads out"
        )

    # --- work ------------------------------------------------------------------------------------------
    def _perform(self, due: _Due) -> None:
        if self._state.status is not None or not self._is_live(due):
            return
        match due:
            case _Stop():
                self._cancel()
            case _Delay():
                self._advance(DelayEnded(id=due.id))
            case _Again():
                self._begin(due.ask, due.attempt)
            case _End():
                self._end(due)
            case _:
                assert_never(due)

    def _end(self, end: _End) -> None:
        ask, task = end.ask, self._graph.tasks[end.ask.task]
        activation = self._state.activations[ask.activation]
        is_left = activation.retries == ENDLESS or end.attempt <= activation.retries
        may_retry = end.status in FAILURES and not end.is_final and retries_natively(task)
        if may_retry and is_left and task.attempts is not None:
            due_us = self._now_us + backoff_us(task.attempts, activation.delay_us, end.attempt)
            self._push(due_us, self._rank(ask.task), _Again(ask=ask, attempt=end.attempt + 1))
            return
        self._advance(
            ActionEnded(
                id=ask.activation,
                index=ask.index,
                status=end.status,
                result=end.result,
                error=end.error,
                is_final=end.is_final,
            )
        )

    def _begin(self, ask: Ask, attempt: int) -> None:
        """Finds out how a piece of work ends, and when."""
        rank = self._rank(ask.task)
        due_at_us = self._state.activations[ask.activation].due_at_us
        if isinstance(ask.action, TimerAction):
            self._push(max(due_at_us, self._now_us), rank, _ended(ask, attempt, _SUCCEEDED, "succeeded"))
            return
        rule = self._rule(ask, attempt)
        if isinstance(ask.action, HookAction):
            bound_us = max(0, due_at_us - self._now_us) if due_at_us else None
        else:
            bound_us = ask.action.timeout_us or None
        status: TaskStatus = "timeout" if rule.status == "running" else rule.status
        takes_us = rule.takes_us
        if takes_us is None:
            takes_us = (bound_us or 0) if status == "timeout" else 0
        if bound_us is not None and takes_us > bound_us:
            status, takes_us = "timeout", bound_us
        elif rule.status == "running" and bound_us is None:
            return  # it never ends
        self._push(self._now_us + takes_us, rank, _ended(ask, attempt, rule, status))

    def _rule(self, ask: Ask, attempt: int) -> Rule:
        for number, rule in self._rules.get(ask.task, ()):
            is_left = not rule.times or self._used[number] < rule.times
            if is_left and rule.fits(ask, activation=self._nth[ask.activation], attempt=attempt):
                self._used[number] += 1
                return rule
        return _SUCCEEDED

    def _rank(self, task: str) -> int:
        return self._ranks.get(task, len(self._scenario.order))

    # --- moves -----------------------------------------------------------------------------------------
    def _advance(self, event: GraphEvent) -> None:
        moves, asks = self._interpreter.advance(event, now_us=self._now_us)
        for move in moves:
            self._note(move)
        for ask in asks:
            if ask.activation in self._state.activations:
                self._begin(ask, ask.attempt)
        if self._should_cancel():
            self._cancel()

    def _cancel(self) -> None:
        self._is_cancelled = True
        if self._state.status is None:
            self._advance(Cancelled(reason="rehearsed"))

    def _should_cancel(self) -> bool:
        cancel = self._scenario.cancel
        if cancel is None or cancel.at_us is not None or self._is_cancelled or self._state.status is not None:
            return False
        counts = self._begun if cancel.moment == "started" else self._ended
        return counts[cancel.task] >= cancel.activation

    def _note(self, move: Move) -> None:
        self._story.append((self._now_us - BEGINNING_US, move))
        match move:
            case Started():
                self._name(move.id, move.task)
                if move.attempt == 1:
                    self._wave.append(move.task)
                    self._begun[move.task] += 1
                    self._nth[move.id] = self._begun[move.task]
            case Delayed():
                self._push(move.due_at_us, self._rank(move.task), _Delay(move.id, move.attempt))
            case Ended() | Skipped():
                self._name(move.id, move.task)
                self._ended[move.task] += 1
                if isinstance(move, Ended) and move.is_unhandled and move.error is not None:
                    self._errors.append(
                        (move.error.code or move.error.type, f"task {move.task!r}: {move.error.message}")
                    )
            case Took():
                self._edges.add((self._tasks[move.id], move.edge))
            case Broken():
                self._errors.append((move.kind, move.message))
            case Finished():
                self._output = move.output
                if move.error is not None:
                    self._errors.append((move.error.code, move.error.message))
            case _:
                pass

    def _name(self, activation: int, task: str) -> None:
        self._tasks[activation] = task

    def _end_wave(self) -> None:
        if self._wave:
            self._waves.append(tuple(self._wave))
            self._wave = []

    def _notes(self) -> list[str]:
        notes = [
            f"a mock of task {task!r} was never used"
            for task, rules in self._rules.items()
            for number, rule in rules
            if not self._used[number] and not rule.is_shared
        ]
        if self._scenario.cancel is not None and not self._is_cancelled:
            notes.append(f"the run was never cancelled: it had ended before {self._scenario.cancel.label}")
        return list(dict.fromkeys(notes))


def _numbered(scenario: Scenario, task: str) -> list[tuple[int, Rule]]:
    first = 0
    for other, rules in scenario.mocks.items():
        if other == task:
            return list(enumerate(rules, first))
        first += len(rules)
    return []


def _ended(ask: Ask, attempt: int, rule: Rule, status: TaskStatus) -> _End:
    error = rule.error
    if status != rule.status or (error is None and status == "timeout"):
        error = ErrorInfo(
            type="TimeoutError",
            message="it took longer than its timeout",
            code=_TIMEOUT_CODES.get(type(ask.action), ""),
        )
    elif error is None and status != "succeeded":
        error = ErrorInfo(type="Exception", message=f"mocked as {status}")
    return _End(ask=ask, attempt=attempt, status=status, result=rule.result, error=error, is_final=rule.is_final)


def _paced(graph: Graph) -> Graph:
    """Gives tasks that run nothing something to wait for, so that they end with their wave."""
    tasks = {
        name: msgspec.structs.replace(task, action=_PAUSE) if task.action is None else task
        for name, task in graph.tasks.items()
    }
    return msgspec.structs.replace(graph, tasks=tasks)
