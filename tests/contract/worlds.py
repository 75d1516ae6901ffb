"""Worlds: the twin and a real server behind one face, and the decorator that plays a scenario in both.

A scenario is an `async def` that gets a world with a provisioned app of its own. Under the twin its time is virtual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from jetrun.actors.names import RunKey
from jetrun.streams.ports import SCHEDULE, SCHEDULE_TARGET, Broker, Delivery, Outgoing
from jetrun.streams.subjects import App, partition_of

T = TypeVar("T")

PARTITIONS = 2
QUEUES = ("default", "slow")
WAIT_S = 15.0


class World(Protocol):
    """A server with an app on it, and connections to it."""

    @property
    def app(self) -> App: ...

    async def connect(self) -> Broker:
        """Opens one more connection; all are closed after the scenario."""
        ...

    async def lose(self, broker: Broker) -> None:
        """Ends a connection as the death of its process would."""
        ...

    async def tune(self, stream: str, consumer: str, *, ack_wait_s: float = 30.0, ack_pending_max: int = -1) -> None:
        """Changes a consumer's bounds; the app's own would make the scenarios slow."""
        ...

    async def forget(self, stream: str, consumer: str) -> None:
        """Deletes a consumer and makes it again."""
        ...

    async def stop(self) -> None:
        """Ends the server as kill -9 does. Only for scenarios with a server of their own."""
        ...

    async def start(self) -> None:
        """Starts it again on what it had stored."""
        ...


Scenario = Callable[[World], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]


def contract(scenario: Scenario) -> Callable[[Play], None]:
    """Makes a test of a scenario: once against the twin, once against the server of the session."""

    def test(play: Play) -> None:
        play(scenario)

    test.__name__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    return test


def contract_of_restarts(scenario: Scenario) -> Callable[[Play], None]:
    """Like `contract`, for scenarios that stop and start the server."""

    def test(play_on_own: Play) -> None:
        play_on_own(scenario)

    test.__name__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    return test


class Collected(Generic[T]):
    """What has arrived so far, and a way to wait for more."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._arrived = asyncio.Event()

    def add(self, items: Sequence[T]) -> None:
        self.items.extend(items)
        self._arrived.set()

    def add_notice(self: Collected[tuple[str, bytes]], subject: str, payload: bytes, _: str) -> None:
        self.add([(subject, payload)])

    async def wait(self, count: int, timeout_s: float = WAIT_S) -> list[T]:
        """Waits until at least `count` items are there and returns all."""
        async with asyncio.timeout(timeout_s):
            while len(self.items) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.items


async def wait_until(condition: Callable[[], Coroutine[Any, Any, bool]], timeout_s: float = WAIT_S) -> None:
    """Asks until the answer is yes; for what the server does without telling anybody."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)


class Mailbox:
    """The partition of one run, as seen by a worker."""

    def __init__(self, world: World, run: str = "o-1") -> None:
        self.app = world.app
        self.key = RunKey("order", run)
        self.partition = partition_of(run, PARTITIONS)
        self.stream = world.app.mail
        self.consumer = world.app.mail_consumer(self.partition)
        self.deliveries: Collected[Delivery] = Collected()

    def message(self, payload: bytes = b"{}", verb: str = "start") -> Outgoing:
        return Outgoing(self.app.input(self.key, verb), payload)


class Queue:
    """A work queue, as seen by a step worker."""

    def __init__(self, world: World, name: str = "default") -> None:
        self.app = world.app
        self.name = name
        self.key = RunKey("order", "o-1")
        self.stream = world.app.work
        self.consumer = world.app.queue_consumer(name)
        self.deliveries: Collected[Delivery] = Collected()

    def message(self, command: int, payload: bytes = b"{}") -> Outgoing:
        return Outgoing(self.app.work_of(self.name, self.key, command), payload)


def at(us: int) -> str:
    return "@at " + (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")


class Timers:
    """Partition 0 of an app's timers."""

    def __init__(self, world: World, broker: Broker) -> None:
        self.app = world.app
        self.key = RunKey("order", "o-1")
        self.broker = broker
        self.fired: Collected[Delivery] = Collected()

    def message(self, name: str, due_at_us: int, body: bytes = b"{}") -> Outgoing:
        headers = {SCHEDULE: at(due_at_us), SCHEDULE_TARGET: self.app.fired(0, self.key)}
        return Outgoing(self.app.timer(0, self.key, name), body, headers)

    async def watch(self) -> None:
        await self.broker.consume(self.app.timers, self.app.fired_consumer(0), self.fired.add, is_pinned=True)


def payloads(items: Sequence[Delivery]) -> list[bytes]:
    return [item.payload for item in items]
