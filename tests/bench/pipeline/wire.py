"""Wire: how the pipeline speaks JetStream through nats-py, in the cheapest way that was found.

One wildcard subscription receives the answers to all publishes: twice as fast as `js.publish`, which makes a future
and a timeout per call. What follows an answer or a delivery is called from nats-py's own task, without a task, a
future or a queue in between: each of them is a turn of the loop, and a sequential step passes four.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

OUTGOING_BYTES_MAX = 64 * 1024 * 1024
PULL_BATCH = 256
PULL_EXPIRES_NS = 3_600_000_000_000
EXPECT_LAST = "Nats-Expected-Last-Subject-Sequence"

OnStored = Callable[[int], Awaitable[None]]
"""Called with the sequence of a message that is stored now."""

OnMessage = Callable[[Msg], Awaitable[None]]


class Refused(Exception):
    """The server refused something; nothing here recovers, a measurement with refusals is void."""


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


_decode_pub_ack = msgspec.json.Decoder(_PubAck).decode


class Wire:
    """A connection with one reply inbox for all publishes."""

    def __init__(self, connection: Client, failure: asyncio.Future[None]) -> None:
        self._connection = connection
        self._failure = failure
        self._inbox = connection.new_inbox() + "."
        self._awaited: dict[str, OnStored] = {}
        self._count = 0

    @classmethod
    async def connect(cls, url: str) -> Self:
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def on_error(error: Exception) -> None:
            if not failure.done():
                failure.set_exception(error)

        # Subjects are ours and well formed: nats-py need not look at each again.
        connection = await nats.connect(
            url, pending_size=OUTGOING_BYTES_MAX, error_cb=on_error, skip_subject_validation=True
        )
        wire = cls(connection, failure)
        await wire.subscribe(wire._inbox + "*", wire._on_answer)
        return wire

    async def close(self) -> None:
        await self._connection.close()

    async def wait_failure(self) -> None:
        """Returns never; raises what a callback has raised or the connection has met."""
        await self._failure

    async def subscribe(self, subject: str, on_message: OnMessage) -> None:
        await self._connection.subscribe(subject, cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)

    async def publish(
        self, subject: str, payload: bytes, then: OnStored, headers: dict[str, str] | None = None
    ) -> None:
        """Sends at once; calls `then` when the message is stored."""
        self._count += 1
        token = str(self._count)
        self._awaited[token] = then
        await self._connection.publish(subject, payload, self._inbox + token, headers)

    async def notify(self, subject: str, payload: bytes) -> None:
        """Sends a notice."""
        await self._connection.publish(subject, payload)

    async def ack(self, delivery: Msg) -> None:
        await self._connection.publish(delivery.reply, b"+ACK")

    async def pull(self, stream: str, consumer: str, on_delivery: OnMessage) -> None:
        """Pulls from a consumer from now on, always with a pull outstanding."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        body = msgspec.json.encode({"batch": PULL_BATCH, "expires": PULL_EXPIRES_NS})
        inbox = self._connection.new_inbox()
        credit = 0

        async def on_message(delivery: Msg) -> None:
            nonlocal credit
            if not delivery.reply:
                # A pull that lives an hour does not expire within a measurement: this status says that it was refused.
                raise Refused(f"{subject}: {delivery.headers}")
            credit -= 1
            if credit < PULL_BATCH // 2:
                await more()
            await on_delivery(delivery)

        async def more() -> None:
            nonlocal credit
            credit += PULL_BATCH
            await self._connection.publish(subject, body, inbox)

        await self.subscribe(inbox, on_message)
        await more()

    async def request(self, subject: str, body: object) -> None:
        """Asks JetStream's API for something that must succeed."""
        answer = await self._connection.request(f"$JS.API.{subject}", msgspec.json.encode(body), timeout=10)
        if error := _decode_pub_ack(answer.data).error:
            raise Refused(f"{subject}: {error.description} ({error.err_code})")

    async def _on_answer(self, answer: Msg) -> None:
        then = self._awaited.pop(answer.subject[len(self._inbox) :])
        ack = _decode_pub_ack(answer.data)
        if ack.error:
            raise Refused(f"publish: {ack.error.description} ({ack.error.err_code})")
        await then(ack.seq)
