"""Schedules: runs at times of the clock, seen and steered from outside.

A schedule is a run of the engine's own; what it is told travels as a hook. Nothing here decides when anything starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from ..actors.commands import StartChild
from ..actors.durations import due_at_us
from ..actors.errors import (
    BadLog,
    DefinitionError,
    InvalidValue,
    OutcomeUnknown,
    RunConflict,
    RunEnded,
    RunNotFound,
)
from ..actors.journal import message_of
from ..actors.limits import BACKFILL_TIMES_MAX, ORDER_TIMEOUT_S, READ_AGAIN_S
from ..actors.messages import Hook
from ..actors.names import RunKey
from ..actors.records import Record, decode_record
from ..actors.schedule import (
    AUTO_PREFIX,
    CATCH_UP,
    ORDERS,
    SCHEDULE_WORKFLOW,
    DeleteOrder,
    Order,
    Overlap,
    PauseOrder,
    Planned,
    ResumeOrder,
    Schedule,
    ScheduledCall,
    ScheduleState,
    StartOrder,
    UpdateOrder,
    check_overlap,
    check_schedule_id,
    run_id,
)
from ..actors.schedule_run import SCHEDULES
from ..actors.schedule_times import ScheduleSpec, between
from ..actors.workflow import Call, Workflow
from .catalog import Catalog
from .handle import RunHandle
from .schedule_status import ScheduleRead, ScheduleStatus, read_link, read_schedule
from .sender import message_id
from .session import Session
from .starting import Starting


class Schedules:
    """The schedules of one app: `client.schedules`.

    What changes a schedule is durable once it is sent, and returns when the schedule has taken it; `OutcomeUnknown` after
    10 s says that no actor worker has done so yet, and that one will.
    """

    def __init__(self, session: Session, catalog: Catalog) -> None:
        self._session = session
        self._catalog = catalog

    async def create(
        self,
        schedule_id: str,
        call: Call[Any],
        spec: ScheduleSpec,
        *,
        overlap: Overlap = "skip",
        catch_up: str = CATCH_UP,
        is_paused: bool = False,
    ) -> None:
        """Creates a schedule; durable on return. Idempotent: what is there already may be created again.

        Times before this moment are none of its times, see `backfill`. A run has the id `<schedule id>-<time>`, and reads
        the time as `info().scheduled_at`.

        Args:
            schedule_id: Letters, digits, `_` and `-`, at most 96. Stays taken for 30 days after `delete`.
            call: What is started: `report.call("daily")`.
            overlap: What happens at a time while a run is still under way, see `Overlap`.
            catch_up: A time is made up for if that can begin within this; older ones are missed. At least "10s".

        Raises:
            RunConflict: There is such a schedule with another definition.
            RunEnded: There was one of that id, and it was deleted.
            InvalidName, InvalidValue, DefinitionError: Something cannot work; nothing was sent.
        """
        schedule = Schedule(spec=spec, overlap=overlap, catch_up=catch_up)
        state = ScheduleState(call=_scheduled(call), schedule=schedule, is_paused=is_paused)
        start = SCHEDULES.call(state)
        key = _key(schedule_id)
        try:
            record = await Starting(self._session, *key, start.args, start.kwargs).send([])
        except RunConflict:
            found = await read_schedule(self._session, schedule_id)
            _refuse_ended(schedule_id, found)
            if (found.state.call, found.state.schedule) != (state.call, schedule):
                text = f"schedule {schedule_id!r} is there with another definition; update it, or use another id"
                raise RunConflict(*key, text) from None
            return
        if record is not None and record.outcome is not None:
            _refuse_ended(schedule_id, await read_schedule(self._session, schedule_id))

    async def get(self, schedule_id: str) -> ScheduleStatus:
        """Reads where a schedule stands, also a deleted one. Its whole log is read and replayed: not for a tight loop.

        Raises:
            RunNotFound: There is none.
        """
        return _status(schedule_id, await read_schedule(self._session, check_schedule_id(schedule_id)))

    async def list(self, *, with_deleted: bool = False) -> AsyncGenerator[ScheduleStatus, None]:
        """Yields the schedules that the index names, each as `get` reads it. One younger than a second may be missing."""
        named = {
            summary.run_id: None
            async for summary in self._catalog.runs(workflow=SCHEDULE_WORKFLOW)
            if with_deleted or not summary.ended_at_us
        }
        for name in named:
            with suppress(RunNotFound):  # forgotten meanwhile
                found = await read_schedule(self._session, name)
                if with_deleted or found.word in ("active", "paused", "parked"):
                    yield _status(name, found)

    # --- orders ----------------------------------------------------------------------------------
    async def pause(self, schedule_id: str) -> None:
        """Lets times pass from now on. Runs that are under way or wait for their turn go on. Idempotent."""
        await self._tell(schedule_id, PauseOrder())

    async def resume(self, schedule_id: str) -> None:
        """Goes on with the next time; those that have passed meanwhile are not made up for. Idempotent."""
        await self._tell(schedule_id, ResumeOrder())

    async def update(
        self,
        schedule_id: str,
        *,
        call: Call[Any] | None = None,
        spec: ScheduleSpec | None = None,
        overlap: Overlap | None = None,
        catch_up: str | None = None,
    ) -> None:
        """Changes what is given, and leaves the rest as it is: counts, pause, runs under way. Idempotent.

        Raises:
            RunNotFound, RunEnded: There is no such schedule, or it was deleted.
            InvalidValue, DefinitionError: Something cannot work; nothing was sent.
        """
        order = UpdateOrder(
            call=None if call is None else _scheduled(call), spec=spec, overlap=overlap, catch_up=catch_up
        )
        if order == UpdateOrder():
            raise DefinitionError("an update of nothing; give call, spec, overlap or catch_up")
        example = spec or ScheduleSpec(every="1h")
        Schedule(spec=example, overlap=overlap or "skip", catch_up=CATCH_UP if catch_up is None else catch_up)
        await self._tell(schedule_id, order)

    async def trigger(
        self,
        schedule_id: str,
        *,
        overlap: Overlap | None = None,
        id: str | None = None,  # noqa: A002 - the word on the wire
    ) -> RunHandle[Any] | None:
        """Starts a run now, also of a paused schedule.

        Args:
            overlap: Instead of the schedule's own.
            id: Names this intent: a second trigger with the same id is the first one.

        Returns:
            The run, which may have to wait for its turn; None where the overlap policy has passed it over.

        Raises:
            RunNotFound, RunEnded: There is no such schedule, or it was deleted.
        """
        if overlap is not None:
            check_overlap(overlap)
        intent, at_us = id or message_id(), self._session.broker.now_us()
        mark = blake2b(intent.encode(), digest_size=3).hexdigest()
        planned = Planned(at_us=at_us, run=run_id(check_schedule_id(schedule_id), at_us, mark))
        told = await self._tell(schedule_id, StartOrder(runs=[planned], overlap=overlap), intent)
        order = msgspec.json.decode(told.payload, type=Order).order
        run = order.runs[0].run if isinstance(order, StartOrder) else planned.run
        found = await read_schedule(self._session, schedule_id)
        begun = (c for record in found.log for c in record.commands if isinstance(c, StartChild) and c.run == run)
        key = RunKey(next((command.workflow for command in begun), found.state.call.workflow), run)
        is_there = any(one.run == run for one in (*found.state.running, *found.state.buffered))
        if not is_there and await self._session.reader.last(key) is None:
            return None
        return RunHandle(self._session, key, Any)

    async def backfill(
        self, schedule_id: str, start: datetime, end: datetime, *, overlap: Overlap | None = None
    ) -> Sequence[str]:
        """Starts runs for the schedule's times from `start` on and before `end`, also of a paused schedule.

        Idempotent: a time that had its run before is passed over.

        Args:
            start: With a time zone or offset.
            end: Likewise; at most now.
            overlap: By default one run after the other, or all at once where the schedule allows that. Other times
                come due meanwhile: under `skip` they are passed over until the backfill is done.

        Returns:
            The ids of the runs, oldest first, whether or not they had begun before.

        Raises:
            InvalidValue: The range is empty, in the future, or holds more than 1,000 times.
            RunNotFound, RunEnded: There is no such schedule, or it was deleted.
        """
        if overlap is not None:
            check_overlap(overlap)
        from_us, to_us = (due_at_us(at, now_us=0, what="backfill") for at in (start, end))
        where = f"backfill from {start.isoformat()} to {end.isoformat()}"
        if from_us >= to_us:
            raise InvalidValue(
                where, "the range is empty; give its first instant, then the end, which is not part of it"
            )
        if to_us > self._session.broker.now_us() + 1_000_000:
            raise InvalidValue(where, "the end is in the future; those times come by themselves")
        found = await read_schedule(self._session, check_schedule_id(schedule_id))
        times = between(found.state.schedule.spec, from_us - 1, to_us - 1, limit=BACKFILL_TIMES_MAX + 1)
        if len(times) > BACKFILL_TIMES_MAX:
            raise InvalidValue(where, f"more than {BACKFILL_TIMES_MAX} times; do it piece by piece")
        runs = [Planned(at_us=at_us, run=run_id(schedule_id, at_us)) for at_us in times]
        begun = await asyncio.gather(*(self._has_begun(found, planned.run) for planned in runs))
        new = [planned for planned, has_begun in zip(runs, begun, strict=True) if not has_begun]
        if new:
            usual: Overlap = "allow_all" if found.state.schedule.overlap == "allow_all" else "buffer_all"
            await self._tell(schedule_id, StartOrder(runs=new, overlap=overlap or usual))
        return [planned.run for planned in runs]

    async def delete(self, schedule_id: str) -> None:
        """Ends a schedule. Its runs go on, and what it has done can be read for 30 days. Idempotent."""
        with suppress(RunEnded):
            await self._tell(schedule_id, DeleteOrder())

    async def declare(self, workflow: Workflow[..., Any]) -> Literal["created", "updated", "unchanged", "deleted"]:
        """Brings the schedule that a workflow's decorator declares to what the code says; actor workers do so at start.

        One that was paused stays paused, one that was deleted stays deleted. Returns when it is durable.

        Raises:
            DefinitionError: It declares none.
        """
        schedule = workflow.schedule
        if schedule is None:
            raise DefinitionError(f"workflow {workflow.name!r} has no schedule=")
        schedule_id, call = AUTO_PREFIX + workflow.name, _scheduled(workflow.call())
        try:
            found = await read_schedule(self._session, schedule_id)
        except RunNotFound:
            start = SCHEDULES.call(ScheduleState(call=call, schedule=schedule))
            with suppress(RunConflict):  # a worker with other code was faster: the next start of a worker settles it
                await Starting(self._session, *_key(schedule_id), start.args, start.kwargs).send([])
            return "created"
        if found.word not in ("active", "paused", "parked"):
            return "deleted"
        if (found.state.call, found.state.schedule) == (call, schedule):
            return "unchanged"
        order = UpdateOrder(call=call, spec=schedule.spec, overlap=schedule.overlap, catch_up=schedule.catch_up)
        await self._handle(schedule_id).hook(ORDERS, Order(order=order))
        return "updated"

    # --- inside ----------------------------------------------------------------------------------
    def _handle(self, schedule_id: str) -> RunHandle[Any]:
        return RunHandle(self._session, _key(schedule_id), Any)

    async def _has_begun(self, found: ScheduleRead, run: str) -> bool:
        key = RunKey(found.state.call.workflow, run)
        return await self._session.reader.last(key) is not None

    async def _tell(self, schedule_id: str, order: _AnyOrder, intent: str | None = None) -> Hook:
        """Sends an order and waits until the schedule has taken it; returns the message as it was taken."""
        key, session = _key(schedule_id), self._session
        intent = intent or message_id()
        news = asyncio.Event()

        def hear(_subject: str, payload: bytes, _reply: str) -> None:
            with suppress(BadLog):  # anybody may publish anything there
                if _taken([decode_record(payload)], intent) is not None:
                    news.set()

        subscription = await session.broker.listen(session.app.live_of(key), hear)
        try:
            found = await read_schedule(session, schedule_id)
            told = _taken(found.log, intent)
            if told is not None:
                return told
            _refuse_ended(schedule_id, found)
            await self._handle(schedule_id).hook(ORDERS, Order(order=order), id=intent, before_start=True)
            async with asyncio.timeout(ORDER_TIMEOUT_S):
                while told is None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(READ_AGAIN_S / 4):
                            await news.wait()
                    news.clear()
                    told = _taken(await read_link(session, key), intent)
        except TimeoutError as error:
            text = f"schedule {schedule_id!r} has not taken it yet; it will, once an actor worker runs it"
            raise OutcomeUnknown(text) from error
        else:
            return told
        finally:
            await subscription.close()


_AnyOrder = PauseOrder | ResumeOrder | UpdateOrder | StartOrder | DeleteOrder


def _key(schedule_id: str) -> RunKey:
    return RunKey(SCHEDULE_WORKFLOW, check_schedule_id(schedule_id))


def _scheduled(call: Call[Any]) -> ScheduledCall:
    raw = msgspec.Raw(call.args)
    return ScheduledCall(
        workflow=call.workflow, args=raw, kwargs=None if call.kwargs is None else msgspec.Raw(call.kwargs)
    )


def _status(schedule_id: str, found: ScheduleRead) -> ScheduleStatus:
    return ScheduleStatus.of(schedule_id, found.state, found.word)


def _refuse_ended(schedule_id: str, found: ScheduleRead) -> None:
    if found.word not in ("active", "paused", "parked"):
        text = f"schedule {schedule_id!r} is {found.word}; its id is taken until its log is forgotten, use another one"
        raise RunEnded(SCHEDULE_WORKFLOW, schedule_id, text)


def _taken(log: Sequence[Record], intent: str) -> Hook | None:
    """Finds a hook that a log has taken: not only kept for later."""
    found: Hook | None = None
    for record in log:
        for folded in record.messages:
            if folded.verb == "hook" and folded.name == ORDERS:
                body = message_of(folded).body
                if isinstance(body, Hook) and body.id == intent:
                    found = body
        if found is not None and not record.undecided:
            return found
    return None
