"""The two worlds in which every scenario of the contract is played."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from functools import partial

import msgspec
import pytest

from contract.worlds import PARTITIONS, QUEUES, WAIT_S, Play, Scenario
from jetrun.streams.definitions import ConsumerDefinition, define
from jetrun.streams.jetstream import JetStream
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.ports import Broker
from jetrun.streams.provision import provision
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App
from support.nats import delete_streams
from support.simloop import SimLoop, run

SEED = 1
DOWN_S = 0.3


class MemoryWorld:
    """The twin, under virtual time."""

    def __init__(self, loop: SimLoop) -> None:
        self.app = App("t1")
        self._server = MemoryServer(loop.now_us, seed=SEED)
        self._server.provision(self.app, QUEUES, PARTITIONS)

    async def connect(self) -> Broker:
        return MemoryBroker(self._server)

    async def lose(self, broker: Broker) -> None:
        assert isinstance(broker, MemoryBroker)
        broker.kill()

    async def tune(self, stream: str, consumer: str, *, ack_wait_s: float = 30.0, ack_pending_max: int = -1) -> None:
        definition = _definition(self.app, stream, consumer)
        self._server.add_consumer(stream, _tuned(definition, ack_wait_s, ack_pending_max))

    async def forget(self, stream: str, consumer: str) -> None:
        self._server.delete_consumer(stream, consumer)
        self._server.add_consumer(stream, _definition(self.app, stream, consumer))

    async def stop(self) -> None:
        self._server.stop()

    async def start(self) -> None:
        await asyncio.sleep(DOWN_S)
        self._server.start()


class JetStreamWorld:
    """A real server; `own` when the scenario may stop it."""

    def __init__(self, url: str, own: EmbeddedServer | None = None) -> None:
        self.app = App(f"t{secrets.token_hex(5)}")
        self.url = url
        self._own = own
        self._brokers: list[JetStream] = []

    async def connect(self) -> Broker:
        return await self._connect()

    async def _connect(self) -> JetStream:
        broker = await JetStream.connect(self.url, name="contract")
        self._brokers.append(broker)
        return broker

    async def provision(self) -> None:
        await provision(await self._connect(), self.app, queues=QUEUES, partitions=PARTITIONS)

    async def close(self) -> None:
        for broker in self._brokers:
            await broker.close()

    async def lose(self, broker: Broker) -> None:
        assert isinstance(broker, JetStream)
        broker.wire.options["allow_reconnect"] = False
        broker.wire._hang_up()

    async def tune(self, stream: str, consumer: str, *, ack_wait_s: float = 30.0, ack_pending_max: int = -1) -> None:
        await self._make(stream, _tuned(_definition(self.app, stream, consumer), ack_wait_s, ack_pending_max))

    async def forget(self, stream: str, consumer: str) -> None:
        await self._brokers[0].requests.get(
            f"CONSUMER.DELETE.{stream}.{consumer}", None, dict[str, object], what="delete"
        )
        await self._make(stream, _definition(self.app, stream, consumer))

    async def _make(self, stream: str, definition: ConsumerDefinition) -> None:
        body = {"stream_name": stream, "config": msgspec.to_builtins(definition)}
        subject = f"CONSUMER.CREATE.{stream}.{definition.durable_name}"
        await self._brokers[0].requests.get(subject, body, dict[str, object], what="create")

    async def stop(self) -> None:
        assert self._own is not None
        os.kill(self._own.pid, signal.SIGKILL)

    async def start(self) -> None:
        assert self._own is not None
        await asyncio.to_thread(self._own.restart)


@pytest.fixture(params=["memory", "jetstream"])
def play(request: pytest.FixtureRequest) -> Play:
    """Plays a scenario in one world."""
    if request.param == "memory":
        return _play_in_memory
    return partial(_play_on_server, request.getfixturevalue("nats_url"), None)


@pytest.fixture(params=["memory", "jetstream"])
def play_on_own(request: pytest.FixtureRequest) -> Play:
    """Plays a scenario with a server that it may stop and start."""
    if request.param == "memory":
        return _play_in_memory
    server: EmbeddedServer = request.getfixturevalue("own_server")
    return partial(_play_on_server, server.url, server)


def _play_in_memory(scenario: Scenario) -> None:
    run(lambda loop: scenario(MemoryWorld(loop)), SEED)


def _play_on_server(url: str, own: EmbeddedServer | None, scenario: Scenario) -> None:
    async def main() -> None:
        world = JetStreamWorld(url, own)
        try:
            await world.provision()
            await scenario(world)
        finally:
            await world.close()
            await delete_streams(url, world.app)

    asyncio.run(asyncio.wait_for(main(), 4 * WAIT_S))


def _definition(app: App, stream: str, consumer: str) -> ConsumerDefinition:
    consumers = define(app, queues=QUEUES, partitions=PARTITIONS).consumers[stream]
    return next(definition for definition in consumers if definition.durable_name == consumer)


def _tuned(definition: ConsumerDefinition, ack_wait_s: float, ack_pending_max: int) -> ConsumerDefinition:
    return msgspec.structs.replace(definition, ack_wait=int(ack_wait_s * 1e9), max_ack_pending=ack_pending_max)
