"""MemoryBroker: one process's connection to the in-memory twin of JetStream; the twin itself is `MemoryServer`.

Implements `ports.Broker` and passes the same contract suite as the real server. Every call travels over a `Link`, so
that delays, cuts and the end of the process strike where they would strike on a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import msgspec

from ..actors.errors import (
    BrokerError,
    JetrunError,
    OutcomeUnknown,
    PayloadTooLarge,
    PermissionDenied,
    ServerLost,
)
from ..actors.limits import API_TIMEOUT_S, PUBLISH_TIMEOUT_S, PULL_BATCH
from .faults import NO_RESPONDERS
from .memory_faults import Faults
from .memory_link import LinkState
from .memory_notices import Listener
from .memory_pull import MemoryConsumption
from .memory_server import MemoryServer
from .memory_stream import headers_size
from .memory_subjects import matches
from .ports import UNKNOWN, ConsumerState, OnDeliveries, OnNotice, Outgoing, PubAck, Stored, StreamState
from .subjects import check_subject

__all__ = ["Faults", "MemoryBroker", "MemoryServer"]

T = TypeVar("T")

CORE: Final = "core"
API: Final = "api"


class MemoryBroker:
    """A connection, made inside the (simulated) process that owns it and while its loop runs.

    Args:
        server: The twin.
        clock_skew_us: How much this process's clock is ahead of the server's.
    """

    def __init__(self, server: MemoryServer, *, clock_skew_us: int = 0) -> None:
        self._server = server
        self._clock_skew_us = clock_skew_us
        self._loop = asyncio.get_running_loop()
        self._link = server.connect(self._cut, self._restored)
        self._publishes: dict[int, asyncio.Future[PubAck]] = {}
        self._doubtful: list[asyncio.Future[PubAck]] = []
        self._calls: dict[int, tuple[str, Callable[[], None]]] = {}
        self._requests: dict[str, asyncio.Future[bytes | None]] = {}
        self._listeners: list[Listener] = []
        self._consumptions: list[MemoryConsumption] = []
        self._on_reconnect: list[Callable[[], None]] = []
        self._inbox = f"_INBOX.{server.new_name('client')}"
        self._has_inbox = False
        self._count = 0

    @property
    def is_connected(self) -> bool:
        return self._link.state is LinkState.OPEN

    @property
    def payload_bytes_max(self) -> int:
        return self._server.payload_bytes_max

    def now_us(self) -> int:
        return self._server.now_us() + self._clock_skew_us

    def kill(self) -> None:
        """Ends the connection as the death of its process does: what was sent arrives, nothing else, and no callback is called.

        A simulation crashes the process's tasks too. Crashed tasks without this are a machine that lost its power: the
        server goes on serving the connection until leases and pins end.
        """
        self._server.disconnect(self._link, LinkState.DEAD)

    # --- writing ---------------------------------------------------------------------------------
    async def publish(self, message: Outgoing, *, timeout_s: float = PUBLISH_TIMEOUT_S) -> PubAck:
        return (await self.publish_many([message], timeout_s=timeout_s))[0]

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout_s: float = PUBLISH_TIMEOUT_S) -> list[PubAck]:
        self._check_open()
        for message in messages:
            self._check(message)
        answers = [self._send(message, timeout_s) for message in messages]
        return [await answer for answer in answers]

    def notify(self, subject: str, payload: bytes) -> None:
        self._link.up(CORE, lambda: self._server.take_notice(subject, payload))

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes | None:
        if not self._has_inbox:
            self._has_inbox = True
            await self.listen(f"{self._inbox}.*", self._answered)
        inbox = f"{self._inbox}.{self._next()}"
        answer: asyncio.Future[bytes | None] = self._loop.create_future()
        self._requests[inbox] = answer
        self._link.up(CORE, lambda: self._ask(inbox, subject, payload))
        timer = self._loop.call_later(timeout_s, self._settle, answer, None)
        try:
            return await answer
        finally:
            timer.cancel()
            self._requests.pop(inbox, None)

    # --- reading ---------------------------------------------------------------------------------
    async def last(self, stream: str, subject: str) -> Stored | None:
        return await self._call(API, lambda: self._server.stream(stream).last(subject))

    async def get(self, stream: str, seq: int) -> Stored | None:
        return await self._call(API, lambda: self._server.stream(stream).get(seq))

    async def last_direct(self, stream: str, subject: str) -> Stored | None:
        found = await self._call(API, lambda: self._server.as_of_replica(self._server.stream(stream).select(subject)))
        return found[-1] if found else None

    async def read(self, stream: str, subject: str, *, from_seq: int = 1, to_seq: int = 0) -> list[Stored]:
        def select() -> list[Stored]:
            found = self._server.stream(stream).select(subject, from_seq=from_seq, to_seq=to_seq)
            return self._server.as_of_replica(found)

        return await self._call(API, select)

    async def scan(
        self, stream: str, subject: str, *, follow: bool = False, last_per_subject: bool = False
    ) -> AsyncIterator[Stored]:
        def start() -> tuple[list[Stored], int]:
            found = self._server.stream(stream)
            return found.newest(subject) if last_per_subject else found.select(subject), found.last_seq

        def go_on() -> tuple[list[Stored], int]:
            found = self._server.stream(stream)
            return found.select(subject, from_seq=seen_seq + 1), found.last_seq

        page, seen_seq = await self._call(API, start)
        while True:
            for message in page:
                yield message
            if not follow:
                return
            await self._wait_stored(stream, subject, seen_seq)
            page, seen_seq = await self._call(API, go_on)

    async def purge(self, stream: str, subject: str, *, keep: int = 0, to_seq: int = 0) -> int:
        assert not (keep and to_seq), "the server takes one of the two"
        return await self._call(API, lambda: self._server.purge(stream, subject, keep, to_seq))

    async def delete(self, stream: str, subject: str, *, to_seq: int = 0) -> int:
        return await self._call(API, lambda: self._server.purge(stream, subject, 0, to_seq))

    async def stream_state(self, stream: str) -> StreamState:
        return await self._call(API, lambda: self._server.stream(stream).state)

    # --- consuming -------------------------------------------------------------------------------
    async def consume(
        self,
        stream: str,
        consumer: str,
        on_deliveries: OnDeliveries,
        *,
        batch: int = PULL_BATCH,
        credit: int | None = None,
        is_pinned: bool = False,
    ) -> MemoryConsumption:
        await self._call(API, lambda: self._server.consumer(stream, consumer))
        consumption = MemoryConsumption(
            self._server, self._link, stream, consumer, on_deliveries, batch=batch, credit=credit, is_pinned=is_pinned
        )
        self._consumptions.append(consumption)
        return consumption

    async def consumer_state(self, stream: str, consumer: str) -> ConsumerState:
        return await self._call(API, lambda: self._server.consumer(stream, consumer).state)

    async def unpin(self, stream: str, consumer: str) -> None:
        await self._call(API, lambda: self._server.unpin(stream, consumer))

    def ack(self, reply: str) -> None:
        self._link.up(_ack_lane(reply), lambda: self._server.ack(reply, is_final=True))

    async def ack_confirmed(self, reply: str, *, timeout_s: float = PUBLISH_TIMEOUT_S) -> bool:
        confirmed: asyncio.Future[bool] = self._loop.create_future()

        def acknowledge() -> None:
            if self._server.ack(reply, is_final=True):
                self._link.down(_ack_lane(reply), lambda: self._settle(confirmed, value=True))

        self._link.up(_ack_lane(reply), acknowledge)
        timer = self._loop.call_later(timeout_s, partial(self._settle, confirmed, value=False))
        try:
            return await confirmed
        finally:
            timer.cancel()

    def in_progress(self, reply: str) -> None:
        self._link.up(_ack_lane(reply), lambda: self._server.ack(reply, is_final=False))

    # --- notices ---------------------------------------------------------------------------------
    async def listen(self, subject: str, on_notice: OnNotice, *, queue: str = "") -> MemorySubscription:
        listener = Listener(self._link, subject, queue, on_notice)
        self._listeners.append(listener)
        await self._call(CORE, lambda: self._server.notices.add(listener))
        return MemorySubscription(self._server, listener, self._listeners)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._on_reconnect.append(callback)

    # --- large values ----------------------------------------------------------------------------
    async def put_object(self, bucket: str, name: str, data: bytes) -> None:
        await self._call(API, lambda: self._server.bucket(bucket).__setitem__(name, data))

    async def get_object(self, bucket: str, name: str) -> bytes | None:
        return await self._call(API, lambda: self._server.bucket(bucket).get(name))

    async def delete_objects(self, bucket: str, prefix: str) -> int:
        def delete() -> int:
            objects = self._server.bucket(bucket)
            doomed = [name for name in objects if name.startswith(prefix)]
            for name in doomed:
                del objects[name]
            return len(doomed)

        return await self._call(API, delete)

    # --- end -------------------------------------------------------------------------------------
    async def flush(self) -> None:
        for lane in self._link.lanes_up:
            await self._call(lane, lambda: None)

    async def close(self) -> None:
        if self._link.state is LinkState.OPEN:
            with suppress(BrokerError):  # no answer in time: what was sent may have arrived or not, as with any server
                await self.flush()
        for consumption in list(self._consumptions):
            await consumption.close()
        if self._link.state is not LinkState.DEAD:
            self._server.disconnect(self._link, LinkState.CLOSED)
        self._doubtful = list(self._publishes.values())
        self._settle_doubtful()

    # --- private ---------------------------------------------------------------------------------
    def _check_open(self) -> None:
        if self._link.state is LinkState.CLOSED:
            raise ServerLost("the connection is closed")

    def _check(self, message: Outgoing) -> None:
        check_subject(message.subject)
        size = len(message.payload) + headers_size(message.headers or {})
        if size > self.payload_bytes_max:
            raise PayloadTooLarge(
                f"message of {size} bytes to {message.subject!r}; the server takes {self.payload_bytes_max}, "
                "larger values go to the object store"
            )
        if any(matches(pattern, message.subject) for pattern in self._server.denied):
            raise PermissionDenied(f"may not publish to {message.subject!r}; grant it in the server's configuration")

    def _send(self, message: Outgoing, timeout_s: float) -> asyncio.Future[PubAck]:
        number = self._next()
        answer = self._publishes[number] = self._loop.create_future()
        timer = self._loop.call_later(
            timeout_s, self._settle, answer, PubAck(0, UNKNOWN, f"no answer in {timeout_s} s")
        )
        answer.add_done_callback(partial(self._forget, number, timer))
        lane = f"publish {self._server.stream_of(message.subject)}"
        self._link.up(
            lane,
            lambda: self._server.publish(message, lambda ack: self._link.down(lane, lambda: self._settle(answer, ack))),
        )
        return answer

    def _forget(self, number: int, timer: asyncio.TimerHandle, _: object) -> None:
        timer.cancel()
        self._publishes.pop(number, None)

    def _ask(self, inbox: str, subject: str, payload: bytes) -> None:
        ack = self._server.accept(Outgoing(subject, payload), inbox)
        if ack is None:
            return
        body = _ack_body(self._server.stream_of(subject), ack) if ack.seq or ack.code != NO_RESPONDERS else None
        self._link.down(CORE, lambda: self._answer(inbox, body))

    def _answered(self, subject: str, payload: bytes, _: str) -> None:
        self._answer(subject, payload)

    def _answer(self, inbox: str, body: bytes | None) -> None:
        answer = self._requests.get(inbox)
        if answer is not None:
            self._settle(answer, body)

    async def _wait_stored(self, stream: str, subject: str, after_seq: int) -> None:
        stored: asyncio.Future[None] = self._loop.create_future()
        number = self._next()
        lane = f"scan {number}"

        def follow() -> None:
            wake = partial(self._link.down, lane, lambda: self._settle(stored, None))
            self._server.follow(stream, subject, after_seq, self._link, wake)

        self._calls[number] = (lane, follow)
        self._link.up(lane, follow)
        try:
            await stored
        finally:
            del self._calls[number]

    async def _call(self, lane: str, work: Callable[[], T]) -> T:
        """Lets the server do something and returns its answer.

        Asks once more after `API_TIMEOUT_S` and after a reconnect: what is asked here can be repeated.

        Raises:
            OutcomeUnknown: No answer came.
        """
        self._check_open()
        answer: asyncio.Future[T] = self._loop.create_future()
        number = self._next()

        def ask() -> None:
            if lane == API and self._server.loses_call():
                return
            try:
                result = work()
            except JetrunError as error:
                refusal = error
                self._link.down(lane, lambda: None if answer.done() else answer.set_exception(refusal))
                return
            if lane != API or not self._server.loses_call():
                self._link.down(lane, lambda: self._settle(answer, result))

        self._calls[number] = (lane, ask)
        self._link.up(lane, ask)
        again = self._loop.call_later(API_TIMEOUT_S, self._link.up, lane, ask)
        timer = self._loop.call_later(2 * API_TIMEOUT_S, self._fail, answer)
        try:
            return await answer
        finally:
            again.cancel()
            timer.cancel()
            del self._calls[number]

    def _fail(self, answer: asyncio.Future[T]) -> None:
        if not answer.done() and self._link.state is not LinkState.DEAD:
            answer.set_exception(OutcomeUnknown(f"no answer from the server within {API_TIMEOUT_S:g} s; try again"))

    def _settle(self, answer: asyncio.Future[T], value: T) -> None:
        if not answer.done() and self._link.state is not LinkState.DEAD:
            answer.set_result(value)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _settle_doubtful(self) -> None:
        for answer in self._doubtful:
            self._settle(answer, PubAck(0, UNKNOWN, "connection lost"))
        self._doubtful.clear()

    def _cut(self) -> None:
        # Their answers cannot come any more; the client knows that once the next connection stands.
        self._doubtful += self._publishes.values()

    def _restored(self) -> None:
        self._settle_doubtful()
        for question in list(self._requests.values()):
            self._settle(question, None)
        for listener in self._listeners:
            self._link.up(CORE, partial(self._server.notices.add, listener))
        for consumption in self._consumptions:
            consumption.reopen()
        for lane, ask in list(self._calls.values()):
            self._link.up(lane, ask)
        for callback in self._on_reconnect:
            callback()


class MemorySubscription:
    """A subscription to notices."""

    def __init__(self, server: MemoryServer, listener: Listener, listeners: list[Listener]) -> None:
        self._server = server
        self._listener = listener
        self._listeners = listeners

    async def close(self) -> None:
        if self._listener in self._listeners:
            self._listeners.remove(self._listener)
            self._listener.is_open = False
            self._listener.link.up(CORE, partial(self._server.notices.remove, self._listener))


class _AckBody(msgspec.Struct, omit_defaults=True):
    stream: str = ""
    seq: int = 0
    error: dict[str, int | str] | None = None


def _ack_body(stream: str, ack: PubAck) -> bytes:
    """Writes what a plain client reads as its PubAck."""
    if ack.code:
        return msgspec.json.encode(
            _AckBody(stream=stream, error={"err_code": ack.code, "description": ack.description})
        )
    return msgspec.json.encode(_AckBody(stream=stream, seq=ack.seq))


def _ack_lane(reply: str) -> str:
    return "ack " + ".".join(reply.split(".")[2:4])
