"""Publisher: hundreds of publishes in flight over one reply inbox, one future per batch.

A batch has one number; the reply subject is `<inbox>.<batch>.<index>`, so an answer finds its place by two numbers
and nothing is registered per message. One coarse timer looks for batches that are overdue. What was written to a
connection that broke is `UNKNOWN` once the next connection stands: the answer cannot come any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from ..actors.errors import PayloadTooLarge, ServerLost
from ..actors.limits import PUBLISH_BYTES_PENDING_MAX, PUBLISHES_PENDING_MAX, SWEEP_S
from .connection import Wire
from .faults import NO_RESPONDERS, denied
from .headers import encode_headers, read_status
from .ports import UNKNOWN, Outgoing, PubAck
from .subjects import check_subject

_SLICE: Final = 256
"""Messages sent between two looks at the room that is left."""


class _Refusal(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    seq: int = 0
    error: _Refusal | None = None


_DECODE: Final = msgspec.json.Decoder(_Answer).decode
_PENDING: Final = PubAck(0, UNKNOWN, "no answer")


class _Batch:
    """The publishes of one call."""

    __slots__ = ("acks", "bytes", "deadline", "first_command", "future", "left", "messages", "sent")

    def __init__(self, messages: Sequence[Outgoing], deadline: float, future: asyncio.Future[None]) -> None:
        self.messages = messages
        self.acks: list[PubAck] = [_PENDING] * len(messages)
        self.left = len(messages)
        self.sent = 0
        self.bytes = 0
        self.deadline = deadline
        self.first_command = 0
        self.future = future


class Publisher:
    """The publish pipeline of one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._inbox = wire.new_inbox() + "."
        self._inbox_bytes = len(self._inbox)
        self._batches: dict[int, _Batch] = {}
        self._number = 0
        self._pending = 0
        self._pending_bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._lost_command = -1
        self._is_closed = False
        wire.attach(self._inbox + ">", self._on_answer)
        wire.on_disconnect.append(self._on_disconnect)
        wire.on_reconnect.append(self._on_reconnect)
        wire.on_denied.append(self._on_denied)
        wire.on_closed.append(self._on_closed)

    async def publish(self, messages: Sequence[Outgoing], *, timeout_s: float) -> list[PubAck]:
        """Publishes all in order and waits for all answers, as `Broker.publish_many` promises.

        Cancellation leaves the outcome of what was sent unknown.

        Raises:
            PayloadTooLarge: A message exceeds the server's limit; none was sent.
            PermissionDenied: The server denied a subject; the others' outcome is then unknown to the caller.
            ServerLost: The connection is closed for good.
        """
        if not messages:
            return []
        if self._is_closed:
            raise ServerLost(f"the connection to {self._wire.target.shown} is closed")
        blocks, sizes = self._check(messages)
        if self._waiting or self._is_crowded():
            await self._wait_room()
        self._number += 1
        number = self._number
        batch = _Batch(messages, self._loop.time() + timeout_s, self._loop.create_future())
        self._batches[number] = batch
        batch.first_command = self._wire.appended_count
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_S, self._on_sweep)
        try:
            await self._send(number, batch, blocks, sizes)
            await batch.future
        finally:
            self._forget(number, batch)
        return batch.acks

    def close(self) -> None:
        """Gives every waiting publish the answer `UNKNOWN`."""
        self._on_closed("closed")

    # --- sending ------------------------------------------------------------------------------------
    def _check(self, messages: Sequence[Outgoing]) -> tuple[list[bytes], list[int]]:
        """Refuses what cannot be sent; returns the header blocks, and the sizes of blocks and payloads together."""
        limit = self._wire.max_payload
        blocks: list[bytes] = []
        sizes: list[int] = []
        for message in messages:
            subject, payload = message.subject, message.payload
            check_subject(subject)
            block = encode_headers(message.headers) if message.headers else b""
            # The server counts headers too, and drops the connection of who exceeds it; nats-py checks the body alone.
            size = len(payload) + len(block)
            if size > limit:
                raise PayloadTooLarge(
                    f"message to {subject!r} has {size} bytes, the server takes {limit}; raise its max_payload"
                )
            blocks.append(block)
            sizes.append(size)
        return blocks, sizes

    async def _send(self, number: int, batch: _Batch, blocks: list[bytes], sizes: list[int]) -> None:
        send, reply, messages = self._wire.send_publish, f"{self._inbox}{number}.", batch.messages
        for start in range(0, len(messages), _SLICE):
            if start and self._is_crowded():
                await self._wait_room()
                if batch.future.done():
                    return
            end = min(start + _SLICE, len(messages))
            for index in range(start, end):
                message = messages[index]
                send(message.subject, f"{reply}{index}", blocks[index], message.payload)
            # Counted for the whole slice: no answer is read before the next await.
            size = sum(sizes[start:end])
            batch.bytes += size
            self._pending_bytes += size
            self._pending += end - start
            batch.sent = end
        self._wake_next()

    def _is_crowded(self) -> bool:
        return self._pending >= PUBLISHES_PENDING_MAX or self._pending_bytes >= PUBLISH_BYTES_PENDING_MAX

    async def _wait_room(self) -> None:
        """Waits in line until there is room for more."""
        future = self._loop.create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            self._waiting = deque(other for other in self._waiting if other is not future)
            self._wake_next()
            raise
        if self._is_closed:
            raise ServerLost(f"the connection to {self._wire.target.shown} is closed")

    def _wake_next(self) -> None:
        while self._waiting and (self._is_closed or not self._is_crowded()):
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                if not self._is_closed:
                    return

    # --- answers ---------------------------------------------------------------------------------------
    def _on_answer(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        number, _, index = subject[self._inbox_bytes :].partition(b".")
        try:
            batch = self._batches.get(int(number))
            place = int(index)
        except ValueError:
            return  # Anybody may send to an inbox; what does not name a publish is not an answer.
        if batch is None or not 0 <= place < batch.sent or batch.acks[place] is not _PENDING:
            return
        batch.acks[place] = _read_answer(payload, headers)
        self._pending -= 1
        batch.left -= 1
        if not batch.left and not batch.future.done():
            batch.future.set_result(None)
        if self._waiting:
            self._wake_next()

    def _forget(self, number: int, batch: _Batch) -> None:
        if self._batches.pop(number, None) is not None:
            if batch.left:
                self._pending -= sum(ack is _PENDING for ack in batch.acks[: batch.sent])
            self._pending_bytes -= batch.bytes
            self._wake_next()

    def _on_sweep(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for batch in self._batches.values():
            if batch.deadline <= now and not batch.future.done():
                batch.future.set_result(None)  # what has no answer stays UNKNOWN
        if self._batches and not self._is_closed:
            self._sweep = self._loop.call_later(SWEEP_S, self._on_sweep)

    # --- what happens to the connection ---------------------------------------------------------------------
    def _on_disconnect(self) -> None:
        self._lost_command = self._wire.written_count

    def _on_reconnect(self) -> None:
        for batch in self._batches.values():
            if batch.first_command < self._lost_command and not batch.future.done():
                batch.future.set_result(None)

    def _on_denied(self, kind: str, subject: str) -> None:
        if kind != "publish":
            return
        for batch in self._batches.values():
            pairs = zip(batch.messages, batch.acks, strict=True)
            if not batch.future.done() and any(
                ack is _PENDING and message.subject == subject for message, ack in pairs
            ):
                batch.future.set_exception(denied(kind, subject))

    def _on_closed(self, reason: str) -> None:
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for batch in self._batches.values():
            if not batch.future.done():
                batch.future.set_result(None)
        self._wake_next()


def _read_answer(payload: bytes, headers: bytes) -> PubAck:
    if headers and not payload:
        status, text = read_status(headers)
        return PubAck(0, status or UNKNOWN, "no responders" if status == NO_RESPONDERS else text)
    try:
        answer = _DECODE(payload)
    except msgspec.DecodeError:
        return PubAck(0, UNKNOWN, "answer is not a PubAck")
    if answer.error is not None:
        return PubAck(0, answer.error.err_code or answer.error.code or UNKNOWN, answer.error.description)
    return PubAck(answer.seq) if answer.seq else PubAck(0, UNKNOWN, "answer is not a PubAck")
