"""The interpreter of graphs: from a state and an event to the moves that follow, and what they ask for. No I/O, no clock.

One engine for both models. A task that has ended takes its edges; each gives its targets a token; a token begins an
activation or arrives at a join. When nothing is under way the run is judged, in the same step as its last end (quiescence).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from .errors import ErrorInfo
from .graph_asking import Ask, ask_of, attempt_of, retries_natively
from .graph_beginning import begun
from .graph_ending import judged
from .graph_evaluation import ENDLESS, Evaluation, Misfit, backoff_us
from .graph_events import ActionEnded, Beginning, Cancelled, DelayEnded, GoOn, GraphEvent, TimeUp
from .graph_expression import View
from .graph_fold import GraphFold
from .graph_model import Graph, HookAction, Task, TimerAction
from .graph_moves import (
    FAILURES,
    Began,
    Broken,
    Delayed,
    Ended,
    ItemEnded,
    ItemsStarted,
    Move,
    Skipped,
    Started,
    Stopped,
    Took,
    Why,
)
from .graph_state import Activation, ItemsState, State
from .limits import GRAPH_INSTANT_MAX, GRAPH_VARIABLES_FREE
from .retry import jittered


class Interpreter:
    """Advances one graph run. Nothing happens but by `advance` and `replay`.

    Args:
        graph: The definition.
        state: Where the run stands; changed in place, by moves alone.
        run: What expressions may know of the run.
    """

    def __init__(self, graph: Graph, state: State, *, run: Mapping[str, object]) -> None:
        self.graph = graph
        self.state = state
        self.results: dict[int, dict[int, object]] = {}
        """Of items, by activation and index: data that moves do not repeat."""
        self.backing_off: Callable[[], frozenset[int]] = frozenset
        """Tells activations of which nothing is under way but the engine's own wait for the next attempt."""
        self.is_holding = False
        """Nothing new starts for now: the run is about to continue as new."""
        self._run = run
        self._fold = GraphFold(graph, state)
        self._moves: list[Move] = []
        self._asks: list[Ask] = []
        self._evaluation = Evaluation(graph.limits, state.statuses, 0, run)
        self._now_us = 0
        self._instants: deque[ActionEnded] = deque()
        """Ends of attempts that had nothing to wait for."""
        self._spent = 0

    # --- steps -----------------------------------------------------------------------------------------
    def advance(self, event: GraphEvent, *, now_us: int) -> tuple[list[Move], list[Ask]]:
        """Takes an event in.

        Args:
            now_us: The run's time.

        Returns:
            The moves that have been made, for the log, and what they ask for, in order.
        """
        self._now_us, self._spent = now_us, 0
        self._moves, self._asks = [], []
        self._evaluation = Evaluation(self.graph.limits, self.state.statuses, now_us, self._run)
        if self.state.status is None:
            self._take(event)
            self._start_ready()
            self._judge()
        return self._moves, self._asks

    def replay(self, event: GraphEvent, moves: Iterable[Move]) -> list[Ask]:
        """Takes an event in as the log has it; returns what it asked for, without names and arguments: the log has them."""
        self._note(event)
        asks: list[Ask] = []
        for move in moves:
            self._fold.apply(move)
            asks += self._asks_of(move)
            if isinstance(move, (Ended, Delayed, Started)):
                self.results.pop(move.id, None)
        return asks

    def _asks_of(self, move: Move) -> list[Ask]:
        if not isinstance(move, (Started, ItemsStarted)) or move.id not in self.state.activations:
            return []
        activation = self.state.activations[move.id]
        action = self.graph.tasks[activation.task].action
        if action is None:
            return []
        if isinstance(move, Started):
            asked = [None] if move.items is None else []
        else:
            asked = [*range(move.first, move.first + move.count)]
        task, attempt = activation.task, activation.attempt
        return [Ask(activation=move.id, index=n, attempt=attempt, task=task, action=action) for n in asked]

    def filled(self, ask: Ask, *, now_us: int) -> Ask:
        """Evaluates name and arguments again, for a log that was cut off before they were in it. Raises Misfit."""
        self._evaluation = Evaluation(self.graph.limits, self.state.statuses, now_us, self._run)
        activation = self.state.activations[ask.activation]
        return ask_of(self._evaluation, self.graph.tasks[activation.task], activation, ask.action, ask.index)

    # --- events ----------------------------------------------------------------------------------------
    def _make(self, move: Move) -> None:
        self._moves.append(move)
        self._fold.apply(move)

    def _note(self, event: GraphEvent) -> None:
        if isinstance(event, ActionEnded) and event.index is not None and event.id in self.state.activations:
            self.results.setdefault(event.id, {})[event.index] = event.result

    def _take(self, event: GraphEvent) -> None:
        self._note(event)
        match event:
            case ActionEnded():
                activation = self.state.activations.get(event.id)
                if activation is None or activation.phase != "running":
                    return
                if event.index is None:
                    self._end_attempt(activation, event)
                else:
                    self._end_item(activation, event)
            case DelayEnded():
                activation = self.state.activations.get(event.id)
                if activation is not None and activation.phase == "delayed":
                    self._begin_attempt(activation, activation.attempt)
            case Beginning():
                self._begin(event)
            case Cancelled():
                self._make(Stopped(why="cancel"))
                self._drop()
            case TimeUp():
                limit_s = self.graph.limits.duration_us / 1e6
                self._break("duration_limit", f"the run took longer than limits.duration ({limit_s:g} s)", why="limit")
                self._drop()
            case GoOn():
                pass
            case _:
                assert_never(event)

    def _begin(self, event: Beginning) -> None:
        variables, entries, misfits = begun(self.graph, self._evaluation, event)
        self._make(Began(variables=variables, tasks=[] if misfits else entries))
        for misfit in misfits:
            self._break(misfit.kind, str(misfit))

    # --- ends -------------------------------------------------------------------------------------------
    def _end_item(self, activation: Activation, event: ActionEnded) -> None:
        items = activation.items
        if items is None or event.index is None or event.index in items.statuses:
            return
        self._make(ItemEnded(id=activation.id, task=activation.task, index=event.index, status=event.status))
        task = self.graph.tasks[activation.task]
        try:
            self._begin_items(task, activation, items)
        except Misfit as misfit:
            self._break(misfit.kind, str(misfit), activation)
        is_given_up = items.failed and task.items is not None and task.items.on_failure == "cancel_rest"
        if items.running and not is_given_up:
            return
        results = self.results.pop(activation.id, {})
        result = [results.get(index) for index in range(len(items.values))]
        if self.state.is_ending and (items.begun < len(items.values) or items.failed):
            self._end_attempt(activation, ActionEnded(id=activation.id, status="cancelled", result=result))
            return
        if not items.failed and items.begun == len(items.values):
            self._end_attempt(activation, ActionEnded(id=activation.id, status="succeeded", result=result))
            return
        if not items.failed:
            error = ErrorInfo(type="GraphError", message=f"item {items.begun} has no input", code="expression_error")
            ended = ActionEnded(id=activation.id, status="failed", result=result, error=error, is_final=True)
            self._end_attempt(activation, ended)
            return
        first = min(index for index, status in items.statuses.items() if status != "succeeded")
        text = f"{items.failed} of {len(items.values)} items failed, the first is item {first}"
        if event.error is not None:
            text += f"; last: {event.error.type}: {event.error.message}"
        error = ErrorInfo(type="ItemsFailed", message=text, code="items_failed")
        self._end_attempt(activation, ActionEnded(id=activation.id, status="failed", result=result, error=error))

    def _end_attempt(self, activation: Activation, event: ActionEnded) -> None:
        task = self.graph.tasks[activation.task]
        try:
            due_at_us = self._next_attempt_at(task, activation, event)
        except Misfit as misfit:
            self._break(misfit.kind, str(misfit), activation)
            due_at_us = None
        if due_at_us is None:
            self._complete(task, activation, event)
        elif due_at_us > self._now_us:
            self._make(
                Delayed(id=activation.id, task=activation.task, attempt=activation.attempt + 1, due_at_us=due_at_us)
            )
        else:
            self._begin_attempt(activation, activation.attempt + 1)

    def _next_attempt_at(self, task: Task, activation: Activation, event: ActionEnded) -> int | None:
        """Tells when the next attempt begins, or None where this end is the last."""
        attempts = task.attempts
        if attempts is None or retries_natively(task) or self.state.is_ending:
            return None
        if self.state.is_stopping and not activation.is_last:
            return None
        where = f"tasks.{task.name}.retry"
        view = self._evaluation.of_end(activation, event.status, event.result, event.error)
        if attempts.when is not None:
            if not self._evaluation.truth(attempts.when, view, f"{where}.when"):
                return None
        elif event.status not in FAILURES or event.is_final:
            return None
        most = self._evaluation.retries(attempts, view, where)
        if most != ENDLESS and activation.attempt > most:
            return None
        delay_us = self._evaluation.span_us(attempts.delay, view, f"{where}.delay")
        delay_us = backoff_us(attempts, delay_us, activation.attempt)
        if attempts.is_jittered:
            delay_us = jittered(delay_us, f"{self._run.get('id', '')}:{activation.id}:{activation.attempt}")
        return self._now_us + delay_us

    def _complete(self, task: Task, activation: Activation, event: ActionEnded) -> None:
        status = event.status
        if status in FAILURES and task.on_failure == "continue" and not self.state.is_cancelled:
            status = "skipped"
        view = self._evaluation.of_end(activation, status, event.result, event.error)
        taken, misfits, fails, handles = self._judged_edges(task, activation, view)
        is_unhandled = status in FAILURES and not handles
        self._make(
            Ended(
                id=activation.id,
                task=activation.task,
                status=status,
                error=event.error,
                is_unhandled=is_unhandled,
                fails=fails,
            )
        )
        self._take_edges(activation, taken, misfits)
        if is_unhandled and self.graph.on_unhandled == "fail_fast":
            self._stop("failure")
        elif fails:
            self._stop("fail")

    def _skip(self, task: Task, activation: Activation) -> None:
        view = self._evaluation.of_end(activation, "skipped", None, None)
        taken, misfits, fails, _ = self._judged_edges(task, activation, view)
        self._make(Skipped(id=activation.id, task=activation.task))
        self._take_edges(activation, taken, misfits)
        if fails:
            self._stop("fail")

    def _judged_edges(
        self, task: Task, activation: Activation, view: View
    ) -> tuple[list[Took], list[Misfit], bool, bool]:
        """Finds the edges that are taken: with what they publish, what has no value, whether they fail, or handle."""
        taken: list[Took] = []
        misfits: list[Misfit] = []
        fails = handles = False
        for index, edge in enumerate(task.edges):
            where = f"tasks.{task.name}.next[{index}]"
            try:
                if edge.when is not None and not self._evaluation.truth(edge.when, view, f"{where}.when"):
                    continue
                published = self._evaluation.assigned(edge.publish, view, f"{where}.publish") if edge.publish else {}
            except Misfit as misfit:
                misfits.append(misfit)
                continue
            taken.append(Took(id=activation.id, edge=index, published=published))
            fails = fails or edge.fails
            handles = handles or edge.handles
            if task.match == "first":
                break
        return taken, misfits, fails, handles

    def _take_edges(self, activation: Activation, taken: list[Took], misfits: list[Misfit]) -> None:
        scope, edges = activation.scope, self.graph.tasks[activation.task].edges
        copied, changed = len(scope.values) // GRAPH_VARIABLES_FREE, len(scope.changed) // GRAPH_VARIABLES_FREE
        for took in taken:
            self._make(took)
            if copied and took.published:
                self._is_too_much(copied)
            if changed:
                self._is_too_much(changed * len(edges[took.edge].targets))
        for misfit in misfits:
            self._break(misfit.kind, str(misfit), activation)
        if self.state.over:
            self._refuse_over()

    def _refuse_over(self) -> None:
        """Ends the run whose limits have refused an activation."""
        limits = self.graph.limits
        for task in dict.fromkeys(self.state.over):
            if self.state.counts.get(task, 0) >= limits.iterations:
                text = f"task {task!r} would begin once more, activation {limits.iterations + 1}; limits.iterations allows {limits.iterations}"
                self._break("iteration_limit", text, why="limit")
            else:
                text = f"task {task!r} would be activation {limits.activations + 1} of the run; limits.activations allows {limits.activations}"
                self._break("activation_limit", text, why="limit")
        self.state.over.clear()

    # --- beginnings -------------------------------------------------------------------------------------
    def _start_ready(self) -> None:
        """Starts what may start, and takes the ends of what had nothing to wait for, until neither is left."""
        state = self.state
        self._end_instants()
        while state.ready and not state.is_ending:
            if self.is_holding and not state.is_stopping:  # what a run that stops still begins is its last
                return
            waiting = [n for n in state.ready if not state.is_stopping or state.activations[n].is_last]
            if not waiting:
                return
            for n in waiting:
                if state.is_stopping and not state.activations[n].is_last:
                    continue
                if self._is_too_much() or not self._start(state.activations[n]):
                    self._end_instants()
                    return
            self._end_instants()

    def _end_instants(self) -> None:
        """Takes the ends of attempts that had nothing to wait for: nobody else ever tells of them."""
        while self._instants:
            event = self._instants.popleft()
            activation = self.state.activations.get(event.id)
            if activation is None:
                continue
            if self._spent >= GRAPH_INSTANT_MAX or (activation.attempt > 1 and self._is_too_much()):
                self._make(Ended(id=activation.id, task=activation.task, status="cancelled"))
            else:
                self._end_attempt(activation, event)

    def _is_too_much(self, cost: int = 1) -> bool:
        """Counts what one event leads to at once, and ends the run where that has no end."""
        before, self._spent = self._spent, self._spent + cost
        if before < GRAPH_INSTANT_MAX <= self._spent:
            text = f"more than {GRAPH_INSTANT_MAX} activations followed one event without waiting for anything"
            self._break("activation_limit", f"{text}, or fewer that publish among many variables", why="limit")
        return self._spent >= GRAPH_INSTANT_MAX

    def _start(self, activation: Activation) -> bool:
        """Starts an activation; False where it has no input, which withholds all that would start."""
        task = self.graph.tasks[activation.task]
        where = f"tasks.{task.name}"
        try:
            view = self._evaluation.of(activation)
            if task.guard is not None and not self._evaluation.truth(task.guard, view, f"{where}.run_if"):
                self._skip(task, activation)
                return True
            delay_us = self._evaluation.span_us(task.delay, view, f"{where}.delay")
        except Misfit as misfit:
            self._break(misfit.kind, str(misfit), activation)
            return False
        if delay_us:
            self._make(Delayed(id=activation.id, task=activation.task, due_at_us=self._now_us + delay_us))
            return True
        return self._begin_attempt(activation, 1)

    def _begin_attempt(self, activation: Activation, attempt: int) -> bool:
        task = self.graph.tasks[activation.task]
        activation.attempt = attempt
        try:
            started, ask = attempt_of(self._evaluation, task, activation, now_us=self._now_us)
        except Misfit as misfit:
            self._break(misfit.kind, str(misfit), activation)
            if activation.is_live and activation.id in self.state.activations:
                error = ErrorInfo(type="GraphError", message=str(misfit), code=misfit.kind)
                self._make(Ended(id=activation.id, task=activation.task, status="failed", error=error))
            return False
        self._make(started)
        if ask is not None:
            self._asks.append(ask)
        elif started.items:
            try:
                self._begin_items(task, activation, activation.items)
            except Misfit as misfit:
                self._break(misfit.kind, str(misfit), activation)
                error = ErrorInfo(type="GraphError", message=str(misfit), code=misfit.kind)
                self._make(Ended(id=activation.id, task=activation.task, status="failed", error=error))
                return False
        else:
            result: list[object] | None = None if started.items is None else []
            self._instants.append(ActionEnded(id=activation.id, status="succeeded", result=result))
        return True

    def _begin_items(self, task: Task, activation: Activation, items: ItemsState | None) -> None:
        """Begins as many of the items as may be under way. Raises Misfit."""
        if items is None or task.action is None or self.state.is_ending:
            return
        if items.failed and task.items is not None and task.items.on_failure != "run_all":
            return
        left = len(items.values) - items.begun
        count = min(left, items.concurrency - items.running) if items.concurrency else left
        if count > 0:
            first = items.begun
            asks = [
                ask_of(self._evaluation, task, activation, task.action, index) for index in range(first, first + count)
            ]
            self._make(ItemsStarted(id=activation.id, task=task.name, first=first, count=count))
            self._asks += asks

    # --- the end ----------------------------------------------------------------------------------------
    def _break(self, kind: str, message: str, activation: Activation | None = None, *, why: Why = "broken") -> None:
        n, task = (0, "") if activation is None else (activation.id, activation.task)
        self._make(Broken(id=n, task=task, kind=kind, message=message))
        self._stop(why)

    def _stop(self, why: Why) -> None:
        if not self.state.is_stopping:
            self._make(Stopped(why=why))
            self._give_up_waits()

    def _drop(self) -> None:
        """Gives up what only waits, and what runs unless it may finish."""
        self._give_up_waits()
        if self.graph.on_cancel == "cancel_running":
            for activation in [a for a in self.state.activations.values() if a.is_live]:
                self._give_up(activation)

    def _give_up_waits(self) -> None:
        """Gives up timers, hooks and attempts to come: a run that is to end waits for nobody."""
        waiting = self.backing_off()
        for activation in [a for a in self.state.activations.values() if a.is_live]:
            action = self.graph.tasks[activation.task].action
            is_a_wait = isinstance(action, (TimerAction, HookAction)) and activation.items is None
            if activation.phase == "delayed" or is_a_wait or activation.id in waiting:
                self._give_up(activation)

    def _give_up(self, activation: Activation) -> None:
        self.results.pop(activation.id, None)
        self._make(Ended(id=activation.id, task=activation.task, status="cancelled"))

    def _judge(self) -> None:
        state = self.state
        if state.live or (state.ready and not state.is_stopping):
            return
        output: dict[str, object] = {}
        failed = state.failed
        variables = dict(state.latest.values)
        for name, template in self.graph.output:
            view = self._evaluation.of_variables(variables)
            try:
                output[name] = variables[name] = self._evaluation.value(template, view, f"output.{name}")
            except Misfit as misfit:
                if not state.is_cancelled:
                    self._make(Broken(kind=misfit.kind, message=str(misfit)))
        self._make(judged(self.graph, state, output if self.graph.output else None, failed=failed))
