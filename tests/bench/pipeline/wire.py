"""Wire: how the pipeline speaks JetStream through nats-py, in the cheapest way that was found.

One wildcard subscription receives all answers to publishes, with one future each: twice as fast as `js.publish`,
which makes a subscription's queue and a timeout per call.
"""

from __future__ import annotations

import asyncio
from typing import Self

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

OUTGOING_BYTES_MAX = 64 * 1024 * 1024
PULL_BATCH = 256
PULL_EXPIRES_NS = 30_000_000_000
EXPECT_LAST = "Nats-Expected-Last-Subject-Sequence"


class Refused(Exception):
    """The server refused a request or a publish; nothing here recovers, a measurement with refusals is void."""


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


_PUB_ACK = msgspec.json.Decoder(_PubAck)


class Wire:
    """A connection with one reply inbox for all publishes."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection
        self._inbox = connection.new_inbox() + "."
        self._answers: dict[str, asyncio.Future[bytes]] = {}
        self._count = 0
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, url: str) -> Self:
        wire = cls(await nats.connect(url, pending_size=OUTGOING_BYTES_MAX))
        await wire.connection.subscribe(wire._inbox + "*", cb=wire._on_answer, pending_msgs_limit=-1, pending_bytes_limit=-1)
        return wire

    async def close(self) -> None:
        await self.connection.close()

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> asyncio.Future[bytes]:
        """Sends at once and returns the answer to come: pass it to `stored`."""
        self._count += 1
        token = str(self._count)
        answer = self._answers[token] = self._loop.create_future()
        await self.connection.publish(subject, payload, reply=self._inbox + token, headers=headers)
        return answer

    async def ack(self, delivery: Msg) -> None:
        await self.connection.publish(delivery.reply, b"+ACK")

    async def request(self, subject: str, body: object) -> None:
        """Asks JetStream's API for something that must succeed."""
        answer = await self.connection.request(f"$JS.API.{subject}", msgspec.json.encode(body), timeout=10)
        if error := _PUB_ACK.decode(answer.data).error:
            raise Refused(f"{subject}: {error.description} ({error.err_code})")

    async def _on_answer(self, message: Msg) -> None:
        answer = self._answers.pop(message.subject[len(self._inbox) :])
        if not answer.done():
            answer.set_result(message.data)


async def stored(answer: asyncio.Future[bytes]) -> int:
    """Waits until a publish is stored and returns its sequence."""
    ack = _PUB_ACK.decode(await answer)
    if ack.error:
        raise Refused(f"publish: {ack.error.description} ({ack.error.err_code})")
    return ack.seq


class Arrivals:
    """Deliveries of any number of consumers, taken in batches of whatever is at hand."""

    def __init__(self, wire: Wire) -> None:
        self._connection = wire.connection
        self._waiting: list[Msg] = []
        self._has_some = asyncio.Event()

    async def pull(self, stream: str, consumer: str) -> None:
        """Pulls from a consumer from now on, always with a pull outstanding."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        body = msgspec.json.encode({"batch": PULL_BATCH, "expires": PULL_EXPIRES_NS})
        inbox = self._connection.new_inbox()
        credit = PULL_BATCH

        async def on_message(message: Msg) -> None:
            nonlocal credit
            if message.reply:
                self._waiting.append(message)
                self._has_some.set()
                credit -= 1
                if credit >= PULL_BATCH // 2:
                    return
                credit += PULL_BATCH
            else:  # a status: the pull has expired
                credit = PULL_BATCH
            await self._connection.publish(subject, body, reply=inbox)

        await self._connection.subscribe(inbox, cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await self._connection.publish(subject, body, reply=inbox)

    async def take(self) -> list[Msg]:
        """Waits for deliveries and returns all that are at hand, in order."""
        await self._has_some.wait()
        self._has_some.clear()
        batch, self._waiting = self._waiting, []
        return batch
