"""The workflow behind every schedule: waits for the next time, starts its run, waits for the next.

Ordinary deterministic code on a run's own means: one durable timer, children, one hook for orders. Nothing else makes
schedules last. Two things are special. A nominal time depends on zone data, which differ between workers: the log has it,
as the due time of a timer of the kind `schedule`. And a timer that fires late fires at its own time, as always (R14): by
how much it is late is told by the newest message's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, assert_never

import msgspec

from .child import ChildHandle, adopt_child, start_child
from .durations import duration_us
from .errors import ChildFailed
from .execution import Execution
from .hook import hook
from .limits import CATCH_UP_TIMES_MAX, DELAY_US_MAX, MISSED_COUNTED_MAX, SCHEDULE_COMMANDS_MAX
from .link import continue_as_new
from .names import RunKey
from .primitives import execution_of
from .records import Record
from .replay import verify
from .schedule import (
    ORDERS,
    SCHEDULE_WORKFLOW,
    DeleteOrder,
    Order,
    Overlap,
    PauseOrder,
    Planned,
    ResumeOrder,
    ScheduledCall,
    ScheduleState,
    StartOrder,
    UpdateOrder,
    admit,
    run_id,
    updated,
)
from .schedule_times import between, fire_at_us, next_after
from .workflow import Call, Workflow, WorkflowOptions

_TIMER: Final = "schedule"
_FAR_US: Final = DELAY_US_MAX // 2
_ERROR_CHARS_MAX: Final = 500


async def run_schedule(state: ScheduleState) -> ScheduleState:
    """Is a schedule from its creation until it is deleted; returns how it stood then."""
    return await _Keeper(state).keep()


SCHEDULES: Final = Workflow(run_schedule, name=SCHEDULE_WORKFLOW, options=WorkflowOptions())
"""Known to every actor worker."""


class _Keeper:
    """One schedule at work. It changes the state in place: whoever holds the state sees where the schedule stands."""

    def __init__(self, state: ScheduleState) -> None:
        self._execution: Final[Execution] = execution_of("a schedule")
        self._state: Final = state
        self._id: Final = self._execution.key.run
        self._first: Final = self._execution.last_command
        self._news: Final = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None
        self._handles: Final[dict[str, ChildHandle[object]]] = {}
        self._cancelled: Final[set[str]] = set()
        self._failure: BaseException | None = None
        self._caught_up = 0
        """Times since the last one that was not late."""

    async def keep(self) -> ScheduleState:
        state = self._state
        if not state.settled_us:
            state.settled_us = self._now_us
        for planned in state.running:
            self._attend(planned, adopt_child(self._call(planned).workflow, planned.run, planned.command))
        orders = self._spawn(self._take_orders())
        self._set_clock()
        while not state.is_deleted:
            await self._news.wait()
            self._news.clear()
            if self._failure is not None:
                raise self._failure
            self._start_buffered()
            if self._is_long():
                self._stop_clock()  # when it goes on is for the next link to find out: zone data may differ there
                continue_as_new(state)
        self._stop_clock()
        orders.cancel()
        return state

    def _is_long(self) -> bool:
        """Tells whether the log should begin anew; sooner where nothing is under way."""
        asked = self._execution.last_command - self._first
        return asked >= SCHEDULE_COMMANDS_MAX * (3 if self._state.running else 1)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Does something beside; an error of it is the schedule's."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._news.set()

    # --- times -------------------------------------------------------------------------------------
    @property
    def _now_us(self) -> int:
        return self._execution.loop.now_us

    @property
    def _heard_us(self) -> int:
        return self._execution.heard_us

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._state.next_us = 0

    def _set_clock(self) -> None:
        self._stop_clock()
        if not self._state.is_paused:
            self._clock = self._spawn(self._watch_clock())

    async def _watch_clock(self) -> None:
        state = self._state
        while (due_us := self._next_us()) is not None:
            state.next_us = due_us
            nominal_us = await self._reach(due_us)
            if nominal_us is None:
                continue  # too far away for one timer
            fires_us = fire_at_us(state.schedule.spec, nominal_us, schedule_id=self._id)
            if fires_us > nominal_us:
                fires_us = await self._reach(fires_us) or fires_us
            state.settled_us = max(state.settled_us, nominal_us)
            if self._heard_us - fires_us > state.schedule.catch_up_us:
                state.missed += 1
            else:
                self._take(Planned(at_us=nominal_us, run=run_id(self._id, nominal_us)), state.schedule.overlap)
            self._news.set()
        state.next_us = 0

    def _next_us(self) -> int | None:
        """Finds the next time that counts; those that are out of reach are counted as missed."""
        state, heard_us = self._state, self._heard_us
        spec = state.schedule.spec
        due_us = next_after(spec, state.settled_us)
        if due_us is None or due_us > heard_us:
            self._caught_up = 0
            return due_us
        self._caught_up += 1
        is_enough = self._caught_up > CATCH_UP_TIMES_MAX
        # What is put off by jitter may be still to come, however long ago its time was.
        put_off_us = 0 if spec.jitter is None else duration_us(spec.jitter, what="jitter")
        horizon_us = heard_us if is_enough else heard_us - state.schedule.catch_up_us - put_off_us
        if due_us < horizon_us:
            state.missed += len(between(spec, state.settled_us, horizon_us, limit=MISSED_COUNTED_MAX))
            state.settled_us = horizon_us
        return next_after(spec, state.settled_us)

    async def _reach(self, due_us: int) -> int | None:
        """Waits until an instant as the log has it, and returns that; None where it waited for a part of the way."""
        execution = self._execution
        is_far = due_us - self._now_us > _FAR_US
        if is_far:
            due_us = self._now_us + _FAR_US
        if due_us > self._now_us:
            future: asyncio.Future[None] = execution.loop.create_future()
            timer = execution.start_timer(_TIMER, due_us, lambda: None if future.done() else future.set_result(None))
            due_us = execution.timers[timer.n][0] if timer.n else due_us
            try:
                await future
            finally:
                timer.cancel()
        return None if is_far else due_us

    # --- runs --------------------------------------------------------------------------------------
    def _take(self, planned: Planned, overlap: Overlap) -> None:
        state = self._state
        admission = admit(overlap, running=len(state.running), buffered=len(state.buffered))
        match admission:
            case "start":
                self._start(planned)
            case "buffer":
                state.buffered.append(planned)
            case "skip":
                state.skipped += 1
            case "replace":
                state.skipped += len(state.buffered)
                state.buffered[:] = [planned]
                for running in state.running:
                    if running.run not in self._cancelled:
                        self._cancelled.add(running.run)
                        self._handles[running.run].cancel(f"schedule {self._id} starts {planned.run}")
            case _:
                assert_never(admission)

    def _start_buffered(self) -> None:
        state = self._state
        if state.buffered and not state.running:
            self._start(state.buffered.pop(0))

    def _start(self, planned: Planned) -> None:
        state = self._state
        if any(running.run == planned.run for running in state.running):
            state.skipped += 1  # a backfill of a time that runs now
            return
        handle = start_child(_call_of(self._call(planned)), run_id=planned.run, parent_close="abandon")
        begun = msgspec.structs.replace(planned, command=handle.command)
        state.running.append(begun)
        state.runs += 1
        state.last_us, state.last_run = planned.at_us, planned.run
        self._attend(begun, handle)

    def _call(self, planned: Planned) -> ScheduledCall:
        return planned.call or self._state.call

    def _attend(self, planned: Planned, handle: ChildHandle[object]) -> None:
        self._handles[planned.run] = handle
        self._spawn(self._watch(planned, handle))

    async def _watch(self, planned: Planned, handle: ChildHandle[object]) -> None:
        """Waits for the end of a run, and counts it."""
        state = self._state
        try:
            await handle.result()
        except ChildFailed as failure:
            if failure.status == "refused" and failure.error.code == "exists":
                state.runs -= 1
                state.skipped += 1  # this time had its run before
            elif failure.status == "cancelled":
                state.cancelled += 1
            else:
                state.failed += 1
                text = f"{planned.run}: {failure.status}: {failure.error.type}: {failure.error.message}"
                state.last_error = text[:_ERROR_CHARS_MAX]
        else:
            state.completed += 1
        state.running[:] = [running for running in state.running if running.run != planned.run]
        del self._handles[planned.run]
        self._cancelled.discard(planned.run)
        self._news.set()

    # --- orders ------------------------------------------------------------------------------------
    async def _take_orders(self) -> None:
        while not self._state.is_deleted:
            self._follow(await hook(ORDERS, Order))
            self._news.set()

    def _follow(self, order: Order) -> None:
        state, what = self._state, order.order
        match what:
            case PauseOrder():
                state.is_paused = True
                self._stop_clock()
            case ResumeOrder():
                if state.is_paused:
                    state.is_paused = False
                    state.settled_us = max(state.settled_us, self._now_us)
                    self._set_clock()
            case UpdateOrder():
                self._update(what)
            case StartOrder(runs=runs, overlap=overlap):
                for planned in runs:
                    self._take(planned, overlap or state.schedule.overlap)
            case DeleteOrder():
                state.is_deleted = True
            case _:
                assert_never(what)

    def _update(self, order: UpdateOrder) -> None:
        state = self._state
        call, schedule = updated(state, order)
        if (call, schedule) == (state.call, state.schedule):
            return
        if call != state.call:
            for kept in (state.running, state.buffered):  # buffered ones were due before
                kept[:] = [_bound(planned, state.call) for planned in kept]
        if schedule.spec != state.schedule.spec:
            state.settled_us = max(state.settled_us, self._now_us)
        state.call, state.schedule = call, schedule
        if schedule.overlap == "allow_all":  # else they would wait for a moment that may never come
            waiting, state.buffered[:] = [*state.buffered], []
            for planned in waiting:
                self._start(planned)
        self._set_clock()


def _bound(planned: Planned, call: ScheduledCall) -> Planned:
    return planned if planned.call is not None else msgspec.structs.replace(planned, call=call)


def _call_of(call: ScheduledCall) -> Call[object]:
    return Call(call.workflow, bytes(call.args), None if call.kwargs is None else bytes(call.kwargs), object)


def state_in(app: str, key: RunKey, log: Sequence[Record], objects: Mapping[str, bytes]) -> ScheduleState | None:
    """Reads in a schedule's log where it stands, by making its decisions again; None where it has not begun.

    Args:
        log: From the first record on, or from the one that has begun a link.
        objects: Large values by hash, for every `ref` in the log.

    Raises:
        ReplayMismatch: It was written by another version of this package, whose decisions are other ones.
    """
    seen: list[ScheduleState] = []

    async def observed(state: ScheduleState) -> ScheduleState:
        seen.append(state)
        return await run_schedule(state)

    verify(app, key, Workflow(observed, name=SCHEDULE_WORKFLOW, options=WorkflowOptions()), log, objects)
    return seen[-1] if seen else None
