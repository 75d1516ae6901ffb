"""Schedule status: a schedule as people see it, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from ..actors.errors import RunNotFound
from ..actors.fold import refs_of
from ..actors.journal import message_of
from ..actors.messages import Start
from ..actors.names import RunKey
from ..actors.records import Record, Summary
from ..actors.schedule import SCHEDULE_WORKFLOW, Overlap, ScheduleState
from ..actors.schedule_run import SCHEDULES, state_in
from ..actors.schedule_times import ScheduleSpec, between
from ..actors.work import decode_packed
from .reader import Chain
from .session import Session

ScheduleWord: TypeAlias = Literal["active", "paused", "parked", "deleted", "cancelled", "terminated", "failed"]
"""`parked`: it cannot decide, as other runs can be. The last three are ends that nobody wanted, as other runs may have."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


class ScheduleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule starts, when, and what has come of it. Times are nominal: what the spec says."""

    schedule_id: str
    status: ScheduleWord
    workflow: str
    args: msgspec.Raw
    """The JSON array of positional arguments."""
    kwargs: dict[str, msgspec.Raw] | None = None
    spec: ScheduleSpec
    overlap: Overlap
    catch_up: str
    runs: int
    """Started, whatever has come of them."""
    completed: int
    failed: int
    """Also those that were terminated, or never began."""
    cancelled: int
    skipped: int
    """By the overlap policy, or because the time had its run before."""
    missed: int
    """Longer ago than `catch_up` when they could be made up for; up to 1,000 are counted for each gap."""
    last_at: datetime | None = None
    """The time for which a run was started last."""
    last_run: str = ""
    last_error: str = ""
    """Of the run that failed last."""
    next_at: datetime | None = None
    """The time that is waited for; None while it is paused, and where no time is left."""
    running: list[str] = []
    """Ids of the runs that are under way."""
    buffered: list[str] = []
    """Ids of the runs that wait for their turn."""

    def next_times(self, count: int = 5) -> Sequence[datetime]:
        """Returns the next times, as far as the zone data of this process know; none unless it is active."""
        if self.next_at is None:
            return []
        first_us = (self.next_at - _EPOCH) // _TICK
        return [instant(at_us) for at_us in between(self.spec, first_us - 1, 2**62, limit=count)]

    @classmethod
    def of(cls, schedule_id: str, state: ScheduleState, word: ScheduleWord) -> ScheduleStatus:
        """Makes it of a state."""
        is_live = word == "active"
        kwargs = state.call.kwargs
        return cls(
            schedule_id=schedule_id,
            status=word,
            workflow=state.call.workflow,
            args=state.call.args,
            kwargs=None if kwargs is None else msgspec.json.decode(kwargs, type=dict[str, msgspec.Raw]),
            spec=state.schedule.spec,
            overlap=state.schedule.overlap,
            catch_up=state.schedule.catch_up,
            runs=state.runs,
            completed=state.completed,
            failed=state.failed,
            cancelled=state.cancelled,
            skipped=state.skipped,
            missed=state.missed,
            last_at=instant(state.last_us) if state.last_us else None,
            last_run=state.last_run,
            last_error=state.last_error,
            next_at=instant(state.next_us) if is_live and state.next_us else None,
            running=[planned.run for planned in state.running],
            buffered=[planned.run for planned in state.buffered],
        )


class ScheduleRead(msgspec.Struct, frozen=True):
    """A schedule as its log tells it."""

    state: ScheduleState
    word: ScheduleWord
    log: list[Record]
    """Of the present link, and the record that has begun it; empty where no worker has looked at it yet."""


async def read_schedule(session: Session, schedule_id: str) -> ScheduleRead:
    """Reads a schedule. This is the one place that knows where its state is: in its log, to be replayed.

    Raises:
        RunNotFound: There is none.
    """
    key = RunKey(SCHEDULE_WORKFLOW, schedule_id)
    log = await read_link(session, key)
    state = None if log else await _starting(session, key)
    if state is None and not log:
        log = await read_link(session, key)  # a worker may have taken it from there meanwhile
    last = log[-1] if log else None
    if last is not None and last.start is not None:
        if last.outcome is not None and last.outcome.status == "completed":
            raw = last.outcome.result
            if last.outcome.ref is not None:
                raw = msgspec.Raw(await session.claims.get(key, last.outcome.ref))
            state = msgspec.json.decode(raw, type=ScheduleState)
        elif log[0].k <= (last.link.k if last.link is not None else 1):
            state = state_in(session.app.name, key, log, await _objects(session, key, log))
    if state is None:
        raise no_schedule(schedule_id, session.app.name)
    return ScheduleRead(state, _word(state, last.summary if last is not None else None), log)


def no_schedule(schedule_id: str, app: str) -> RunNotFound:
    """Makes the error for a schedule that is not there."""
    text = f"no schedule {schedule_id!r} in app {app!r}; create it, or check id and app"
    return RunNotFound(SCHEDULE_WORKFLOW, schedule_id, text)


def instant(at_us: int) -> datetime:
    """Returns an instant as people's programs want it."""
    return _EPOCH + timedelta(microseconds=at_us)


async def read_link(session: Session, key: RunKey) -> list[Record]:
    """Reads the present link of a run's chain, from the record that has begun it on; nothing of earlier ones."""
    last = await session.reader.last(key)
    if last is None:
        return []
    chain, app = Chain(), session.app
    from_seq = last.link.seq if last.link is not None else 1
    stored = await session.broker.read(app.log, app.log_of(key), from_seq=from_seq)
    return [record for message in stored if (record := chain.accept(message.payload)) is not None]


async def _objects(session: Session, key: RunKey, log: list[Record]) -> dict[str, bytes]:
    refs = [refs_of(message_of(folded)) for record in log for folded in (*record.messages, *record.carried)]
    refs += [record.continued.ref for record in log if record.continued is not None]
    return {ref.sha256: await session.claims.get(key, ref) for ref in refs if ref is not None}


async def _starting(session: Session, key: RunKey) -> ScheduleState | None:
    """Reads a schedule that is durable and that no worker has looked at yet."""
    stored = await session.broker.last(session.app.mail, session.app.starts_waiting(key))
    if stored is None:
        return None
    start = msgspec.json.decode(stored.payload, type=Start)
    args = start.args
    if start.ref is not None:
        args = msgspec.Raw(decode_packed(await session.claims.get(key, start.ref)).args)
    (state,), _ = SCHEDULES.signature.unpack(args, None)
    return state if isinstance(state, ScheduleState) else None


def _word(state: ScheduleState, summary: Summary | None) -> ScheduleWord:
    match summary.status if summary is not None else "running":
        case "completed":
            return "deleted"
        case "cancelled" | "terminated" | "failed" | "parked" as word:
            return word
        case _:
            return "paused" if state.is_paused else "active"
