"""Leftovers: messages that were acked and are there again, behind the position of their consumer: delivered to nobody.

A server that was killed may have written how far a consumer is, and not yet that the messages up to there are gone (seen on
2.15.1: hundreds after one kill). They would keep the janitor away from their runs for ever, and count as queued work. What
lies at or below a consumer's ack floor is acked, whoever says otherwise: it is deleted. Work only once the log says that
it is settled: were it not, nobody would ever do it, so it is queued anew. Delayed messages of retries that have fired may
be there again, too, and never fire again: those that are overdue are treated alike. One worker at a time sweeps, the owner
of the first partition; two at once would do no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf
from typing import Final, NamedTuple

import anyio
import msgspec

from ..actors.errors import BadLog, BadMessage, BrokerError
from ..actors.names import RunKey
from ..actors.work import Work, decode_work, encode_work
from .attempts import Attempts
from .effects import Effects
from .ports import SCHEDULE, SCHEDULE_TARGET, Broker, Outgoing, Stored
from .subjects import App
from .telemetry import log

SWEEP_EVERY_S: Final = 300.0
_PAUSE_FIRST_S: Final = 2.0
_OVERDUE_S: Final = 10.0
"""A retry that has not fired so long after its time will not."""


class _Reader(NamedTuple):
    """A durable consumer of a stream that forgets what is acked."""

    stream: str
    consumer: str
    filter: str


class Leftovers:
    """The leftovers of one app's streams.

    Args:
        partitions: The app's number of partitions.
        queues: Those that the app's steps name.
        is_on_duty: Asked before each sweep.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        effects: Effects,
        attempts: Attempts,
        *,
        partitions: int,
        queues: Sequence[str],
        is_on_duty: Callable[[], bool],
    ) -> None:
        self._broker = broker
        self._app = app
        self._effects = effects
        self._attempts = attempts
        self._is_on_duty = is_on_duty
        numbers = range(partitions)
        self._readers = [
            *(_Reader(app.mail, app.mail_consumer(n), app.mail_filter(n)) for n in numbers),
            *(_Reader(app.timers, app.fired_consumer(n), app.fired_filter(n)) for n in numbers),
            *(_Reader(app.work, app.queue_consumer(queue), app.work_filter(queue)) for queue in queues),
        ]
        self._connected = anyio.Event()
        self._retries: dict[int, float] = {}
        """Delayed retries by sequence, with the time at which this worker saw each first."""

    async def run(self) -> None:
        """Sweeps until cancelled: at the start, after each reconnect until nothing is left, and every `SWEEP_EVERY_S`."""
        self._broker.on_reconnect(self._look_soon)
        while True:
            self._connected = anyio.Event()
            await self._sweep_all()
            with anyio.move_on_after(SWEEP_EVERY_S):
                await self._connected.wait()

    async def sweep(self) -> bool:
        """Deletes what is left; returns whether there may be more, that the consumers have not passed yet.

        Safe to repeat and to interrupt.

        Raises:
            BrokerError: The server cannot be asked now.
            BadLog: A run's log cannot be read.
        """
        is_more = False
        first: dict[str, int] = {}
        for stream in (self._app.mail, self._app.timers, self._app.work):
            state = await self._broker.stream_state(stream)
            first[stream] = state.first_seq if state.messages else 0
        for reader in self._readers:
            if first[reader.stream]:
                is_more = await self._sweep_one(reader, first[reader.stream]) or is_more
        if first[self._app.work]:
            is_more = await self._sweep_retries() or is_more
        return is_more

    async def _sweep_all(self) -> None:
        pause_s = _PAUSE_FIRST_S
        is_more = True
        while is_more and pause_s < SWEEP_EVERY_S:
            await anyio.sleep(pause_s)  # a server that has just come back has others to serve
            pause_s *= 2
            if not self._is_on_duty():
                continue
            try:
                is_more = await self.sweep()
            except (BrokerError, BadLog) as error:
                log("leftovers.failed", logging.WARNING, error=error)

    async def _sweep_one(self, reader: _Reader, first_seq: int) -> bool:
        state = await self._broker.consumer_state(reader.stream, reader.consumer)
        if state.ack_floor >= first_seq:
            if reader.stream == self._app.work:
                await self._queue_anew(reader, state.ack_floor)
            deleted = await self._broker.delete(reader.stream, reader.filter, to_seq=state.ack_floor)
            if deleted:
                log("leftovers.deleted", logging.WARNING, consumer=reader.consumer, messages=deleted)
        return state.delivered > state.ack_floor

    async def _queue_anew(self, reader: _Reader, ack_floor: int) -> None:
        """Queues what is still waited for behind the consumer's position, where it will be delivered."""
        for stored in await self._broker.read(reader.stream, reader.filter, to_seq=ack_floor):
            try:
                work = decode_work(stored.payload)
            except BadMessage:
                continue  # written by nobody of us, and acked
            await self._queue_if_open(work, stored.subject, stored.payload)

    async def _sweep_retries(self) -> bool:
        """Deletes retries that ought to have fired long ago; returns whether others may come to that soon."""
        is_more = False
        retries = await self._broker.read(self._app.work, self._app.retry_of_run(RunKey("*", "*")))
        now_s, before = anyio.current_time(), self._retries
        self._retries = {stored.seq: before.get(stored.seq, now_s) for stored in retries}
        for stored in retries:
            # By the server's own times and by how long it was seen here: clocks of machines differ.
            left_s = self._retries[stored.seq] + _delay_s(stored) + _OVERDUE_S - now_s
            if left_s > 0:
                is_more = is_more or left_s < SWEEP_EVERY_S
                continue
            try:
                work = decode_work(stored.payload)
            except BadMessage:
                continue
            target = stored.headers.get(SCHEDULE_TARGET, "")
            if target:
                await self._queue_if_open(work, target, stored.payload)
            await self._broker.delete(self._app.work, stored.subject, to_seq=stored.seq)
            log("leftovers.retry_deleted", logging.WARNING, run=work.key, command=work.command, attempt=work.attempt)
        return is_more

    async def _queue_if_open(self, work: Work, subject: str, payload: bytes) -> None:
        if await self._attempts.is_open(work.key, work.command, work.attempt):
            log("leftovers.queued", logging.WARNING, run=work.key, command=work.command, attempt=work.attempt)
            if work.recoveries_max == 1:  # what is not to run again may have run: its next worker says so
                payload = encode_work(msgspec.structs.replace(work, losses=1))
            await self._effects.publish(Outgoing(subject, payload))

    def _look_soon(self) -> None:
        self._connected.set()


def _delay_s(stored: Stored) -> float:
    """Reads for how long a delayed message was to wait when it was stored; for ever where it does not say."""
    try:
        due = datetime.fromisoformat(stored.headers.get(SCHEDULE, "").removeprefix("@at "))
    except ValueError:
        return inf
    return max(0.0, due.timestamp() - stored.at_us / 1_000_000) if due.tzinfo is not None else inf
