"""Taking back: what a decision leaves in queues, timers and lists that nobody waits for any more (R8, R22).

Where a run ends, nothing follows, and all that bears its name may go. Where only a link of its chain ends, the next one
queues work and sets timers under the same names: a worker that was held up must not take those for the old link's.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

import anyio
import msgspec

from ..actors.errors import BrokerError
from .debt import Debt
from .ports import Broker
from .subjects import App, partition_of
from .telemetry import log

_LITERAL_PURGES_MAX: Final = 50
"""Above this one wildcard purge is cheaper than one per subject (R8)."""

_STOPS_MAX: Final = 1_000
"""Of a link that has ended, so many of the newest commands are named to step workers."""

_BACKOFF_FIRST_S: Final = 0.02
_BACKOFF_MAX_S: Final = 2.0


class _Doomed(NamedTuple):
    """A subject in a stream, and the last sequence that may go; 0 for the end."""

    stream: str
    subject: str
    to_seq: int = 0


class TakingBack:
    """Takes back what decisions leave.

    Args:
        partitions: The app's number of partitions.
    """

    def __init__(self, broker: Broker, app: App, *, partitions: int) -> None:
        self._broker = broker
        self._app = app
        self._partitions = partitions

    async def purge(self, debt: Debt) -> None:
        """Takes back queued work and timers, tells running steps, cleans INDEX. Safe to repeat, however late."""
        owed, app = debt.owed, self._app
        doomed = [_Doomed(app.index, app.details_of(debt.key, c.n)) for c in owed.closed_steps if c.heartbeat_us]
        if owed.outcome is None and owed.is_continued:
            doomed += await self._of_link(debt)
        else:
            doomed += self._work(debt) + self._timers(debt)
        if owed.outcome is not None and debt.is_old:
            states = ("open", "parked")
            doomed += [_Doomed(app.index, app.index_of(state, debt.key)) for state in states]
        elif owed.is_unparked:
            doomed.append(_Doomed(app.index, app.index_of("parked", debt.key)))
        self._tell_steps(debt)
        async with anyio.create_task_group() as tasks:
            for one in doomed:
                tasks.start_soon(self.purge_one, one.stream, one.subject, one.to_seq)

    async def purge_one(self, stream: str, subject: str, to_seq: int = 0) -> None:
        """Takes back until the server says so: nobody would do later what is left now."""
        take_back = self._broker.delete if stream == self._app.work else self._broker.purge
        delay_s = _BACKOFF_FIRST_S
        while True:
            try:
                await take_back(stream, subject, to_seq=to_seq)
            except BrokerError as error:
                log("purge.failed", logging.WARNING, subject=subject, error=error)
                await anyio.sleep(delay_s)
                delay_s = min(delay_s * 2, _BACKOFF_MAX_S)
            else:
                return

    # --- inside ---------------------------------------------------------------------------------
    def _work(self, debt: Debt) -> list[_Doomed]:
        app, key, closed = self._app, debt.key, debt.owed.closed_steps
        is_over = debt.owed.outcome is not None
        if is_over and (debt.is_repeat or len(closed) > _LITERAL_PURGES_MAX):
            return [_Doomed(app.work, app.work_of_run(key)), _Doomed(app.work, app.retry_of_run(key))]
        subjects = [s for c in closed for s in (app.work_of(c.queue, key, c.n), app.retry(key, c.n))]
        return [_Doomed(app.work, subject) for subject in subjects]

    def _timers(self, debt: Debt) -> list[_Doomed]:
        app, key, owed = self._app, debt.key, debt.owed
        is_over = owed.outcome is not None
        if is_over and (debt.is_repeat or len(owed.closed_timers) > _LITERAL_PURGES_MAX):
            return [_Doomed(app.timers, app.timers_of_run(key))]
        names = [str(n) for n in owed.closed_timers]
        if is_over and (debt.is_old or debt.has_deadline):
            names += ("max", "park", "early") if debt.is_old else ("max",)
        if is_over and debt.link is not None:
            names.append("next")
        partition = partition_of(key.run, self._partitions) if names else 0
        return [_Doomed(app.timers, app.timer(partition, key, name)) for name in names]

    async def _of_link(self, debt: Debt) -> list[_Doomed]:
        """Lists what a link leaves: all that bears the run's name and was stored before the next link has begun."""
        closed = debt.owed.closed_steps
        is_plain = not (debt.is_repeat or debt.is_old or debt.has_deadline)
        if is_plain and len(closed) + len(debt.owed.closed_timers) <= _LITERAL_PURGES_MAX:
            return self._work(debt) + self._timers(debt)
        while True:
            try:
                return await self._before_next(debt)
            except BrokerError as error:
                log("purge.failed", logging.WARNING, run=debt.key, error=error)
                await anyio.sleep(_BACKOFF_MAX_S)

    async def _before_next(self, debt: Debt) -> list[_Doomed]:
        app, broker, key = self._app, self._broker, debt.key
        work_seq = (await broker.stream_state(app.work)).last_seq
        timers_seq = (await broker.stream_state(app.timers)).last_seq
        last = await broker.last(app.log, app.log_of(key))
        if last is not None and last.seq > debt.log_seq:
            return []  # whoever has advanced the run has carried this out before (R7)
        # Not before this moment can the next link's first record be stored, and nothing of its own before that.
        doomed = [_Doomed(app.work, app.work_of_run(key), work_seq), _Doomed(app.work, app.retry_of_run(key), work_seq)]
        timers = await broker.read(app.timers, app.timers_of_run(key), to_seq=timers_seq) if timers_seq else []
        # But for what begins the next try: it may be another worker's, who does not set it again.
        subjects = {stored.subject for stored in timers if not stored.subject.endswith(".next")}
        doomed += [_Doomed(app.timers, subject, timers_seq) for subject in sorted(subjects)]
        return [one for one in doomed if one.to_seq]

    def _tell_steps(self, debt: Debt) -> None:
        owed, link = debt.owed, debt.link
        is_end = owed.outcome is not None or owed.is_continued
        if not owed.closed_steps and not (is_end and debt.is_repeat):
            return
        commands: list[int] | None = [command.n for command in owed.closed_steps]
        if owed.outcome is not None:
            commands = None
        elif owed.is_continued and debt.is_repeat and link is not None:
            commands = list(range(max(1, link.commands - _STOPS_MAX + 1), link.commands + 1))
        self._broker.notify(self._app.stop(debt.key), msgspec.json.encode({"commands": commands}))
