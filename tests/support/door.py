"""The public door as a stranger uses it: plain publishes by nats-py, and what becomes of them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from jetrun.streams.subjects import App

WAIT_S = 10.0


class Door:
    """A connection that publishes to an app, and hears its notices and dead letters as any service may."""

    def __init__(self, connection: Nats, app: App) -> None:
        self.nats = connection
        self._prefix = f"wf.{app.name}"
        self._heard: list[tuple[str, dict[str, Any]]] = []
        self._news = asyncio.Event()

    async def listen(self) -> None:
        for tree in ("done", "dead"):
            await self.nats.subscribe(f"{self._prefix}.{tree}.>", cb=self._hear)
        await self.nats.flush()

    async def send(self, to: str, body: bytes | str, *, headers: Mapping[str, str] | None = None) -> int:
        """Publishes to `run.<to>` and returns the sequence under which it is stored: the sender has been told so."""
        payload = body if isinstance(body, bytes) else body.encode()
        ack = await self.nats.jetstream().publish(
            f"{self._prefix}.run.{to}", payload, headers=dict(headers) if headers else None
        )
        return ack.seq

    async def dead(self, seq: int) -> dict[str, Any]:
        """Waits for the dead letter of the message of that sequence."""
        subject, letter = await self._wait(lambda subject, body: ".dead." in subject and body["seq"] == seq)
        return {**letter, "tokens": subject.split(".")[3:]}

    async def notice(self, run: str, status: str = "") -> dict[str, Any]:
        """Waits for a `done` notice of `<workflow>.<run>`, of that status where one is given."""
        wanted = f"{self._prefix}.done.{run}"
        _, notice = await self._wait(lambda subject, body: subject == wanted and status in ("", body["status"]))
        return notice

    def notices(self, run: str) -> list[dict[str, Any]]:
        """Lists the notices of a run that were heard so far."""
        return [body for subject, body in self._heard if subject == f"{self._prefix}.done.{run}"]

    async def _wait(self, is_wanted: Callable[[str, dict[str, Any]], bool]) -> tuple[str, dict[str, Any]]:
        async with asyncio.timeout(WAIT_S):
            while True:
                for subject, body in self._heard:
                    if is_wanted(subject, body):
                        return subject, body
                self._news.clear()
                await self._news.wait()

    async def _hear(self, message: Msg) -> None:
        self._heard.append((message.subject, json.loads(message.data)))
        self._news.set()


def body_of(letter: Mapping[str, Any]) -> bytes:
    """Reads the original bytes in a dead letter."""
    if "body" in letter:
        return str(letter["body"]).encode()
    return base64.b64decode(letter["body_base64"])


@asynccontextmanager
async def open_door(url: str, app: App) -> AsyncGenerator[Door]:
    """Opens a door, listening."""
    connection = await nats.connect(url)
    try:
        door = Door(connection, app)
        await door.listen()
        yield door
    finally:
        await connection.close()
