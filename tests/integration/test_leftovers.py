"""Messages behind their consumer's position: delivered to nobody, so swept away, or queued anew (R8).

A server that is killed brings this about now and then. Here the consumer looks elsewhere while the work is queued, and its
position runs past it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from jetrun.actors import step, workflow
from jetrun.actors.names import RunKey
from jetrun.actors.registry import Registry
from jetrun.client import Client, RunHandle
from jetrun.streams.actor_worker import ActorOptions, ActorWorker
from jetrun.streams.attempts import Attempts
from jetrun.streams.effects import Effects
from jetrun.streams.inventory import app_facts
from jetrun.streams.jetstream import JetStream
from jetrun.streams.leftovers import Leftovers
from jetrun.streams.ports import Delivery, Outgoing, Stored
from jetrun.streams.provision import provision
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.subjects import App

pytestmark = pytest.mark.anyio

WAIT_S = 10.0


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def doubled(number: int) -> int:
    """Waits for one step."""
    return await double(number)


REGISTRY = Registry.of(doubled, double)


class _Info(msgspec.Struct):
    config: dict[str, object]


class Scene:
    """An app with an actor worker and no step worker; its work is looked at by hand."""

    def __init__(self, broker: JetStream, app: App, client: Client, leftovers: Leftovers) -> None:
        self.broker = broker
        self.app = app
        self.client = client
        self.leftovers = leftovers
        self._consumer = app.queue_consumer("default")

    async def start(self) -> RunHandle[int]:
        return await self.client.start(doubled.call(21), run_id="r-1")

    async def queued(self) -> list[Stored]:
        """Reads what is in the queue, delivered or not."""
        return await self.broker.read(self.app.work, self.app.work_filter("default"))

    async def wait_queued(self) -> list[Stored]:
        with anyio.fail_after(WAIT_S):
            while not (queued := await self.queued()):
                await anyio.sleep(0.01)
        return queued

    async def pass_by(self) -> None:
        """Moves the consumer's position past all that is queued, without delivering any of it."""
        elsewhere = f"wf.{self.app.name}.work.elsewhere.order.other.1"
        await self._look_at(elsewhere)
        assert (await self.broker.publish(Outgoing(elsewhere, b""))).code == 0
        bait = await self.take()
        assert await self.broker.ack_confirmed(bait.reply)
        await self._look_at(self.app.work_filter("default"))
        assert (await self.broker.consumer_state(self.app.work, self._consumer)).ack_floor == bait.seq

    async def take(self) -> Delivery:
        """Takes one message out and leaves it unacked."""
        taken: list[Delivery] = []
        arrived = anyio.Event()

        def on_deliveries(deliveries: Sequence[Delivery]) -> None:
            taken.extend(deliveries)
            arrived.set()

        consumption = await self.broker.consume(self.app.work, self._consumer, on_deliveries, credit=1)
        with anyio.fail_after(WAIT_S):
            await arrived.wait()
        await consumption.close()
        (delivery,) = taken
        return delivery

    async def _look_at(self, subjects: str) -> None:
        stream, name = self.app.work, self._consumer
        info = await self.broker.requests.get(f"CONSUMER.INFO.{stream}.{name}", None, _Info, what=name)
        body = {"stream_name": stream, "config": {**info.config, "filter_subject": subjects}, "action": "update"}
        await self.broker.requests.get(f"CONSUMER.CREATE.{stream}.{name}.{subjects}", body, _Info, what=name)


@asynccontextmanager
async def scene(nats_url: str, app: App) -> AsyncGenerator[Scene]:
    broker, actors_broker = [await JetStream.connect(nats_url, name=name) for name in ("leftovers", "actors")]
    await provision(broker, app, queues=["default"])
    facts = await app_facts(broker, app)
    actors = ActorWorker(
        actors_broker,
        app,
        REGISTRY,
        worker_id="actors-1",
        key=facts.key,
        partitions=facts.partitions,
        options=ActorOptions(has_threads=False),
    )
    leftovers = Leftovers(
        broker,
        app,
        Effects(broker, app, actors_key=facts.key, partitions=facts.partitions),
        Attempts(broker, app, actors_key=facts.key, partitions=facts.partitions),
        partitions=facts.partitions,
        queues=["default"],
        is_on_duty=lambda: True,
    )
    async with anyio.create_task_group() as tasks, await Client.connect(nats_url, app=app.name) as client:
        tasks.start_soon(actors.run)
        with anyio.fail_after(WAIT_S):
            await actors.wait_ready()
        yield Scene(broker, app, client, leftovers)
        actors.drain()
    await broker.close()
    await actors_broker.close()


async def run_steps(nats_url: str, app: App, run: RunHandle[int]) -> int:
    """Serves the queue until the run has ended."""
    broker = await JetStream.connect(nats_url, name="steps")
    worker = StepWorker(broker, app, REGISTRY, {"default": 5}, worker_id="steps-1")
    result = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        with anyio.fail_after(WAIT_S):
            result = await run.result()
        worker.drain()
    await broker.close()
    return result


async def test_work_that_nobody_will_get_is_queued_anew(nats_url: str, app: App) -> None:
    """The run would wait for ever for a step that lies in the queue."""
    async with scene(nats_url, app) as now:
        run = await now.start()
        (queued,) = await now.wait_queued()
        await now.pass_by()

        await now.leftovers.sweep()
        (again,) = await now.wait_queued()

        assert (again.subject, again.payload) == (queued.subject, queued.payload)
        assert again.seq > queued.seq
        assert await run_steps(nats_url, app, run) == 42


async def test_work_that_is_settled_is_swept_away(nats_url: str, app: App) -> None:
    """It would lie in the stream for ever."""
    async with scene(nats_url, app) as now:
        run = await now.start()
        (queued,) = await now.wait_queued()
        await run.terminate(wait=True)
        with anyio.fail_after(WAIT_S):
            while await now.queued():
                await anyio.sleep(0.01)  # the end takes it back
        await now.broker.publish(Outgoing(queued.subject, queued.payload))  # and the server forgets that
        await now.pass_by()

        await now.leftovers.sweep()

        assert await now.queued() == []


async def test_work_in_front_of_the_position_stays(nats_url: str, app: App) -> None:
    """Queued steps would be lost, and those under way."""
    async with scene(nats_url, app) as now:
        run = await now.start()
        mine = await now.take()

        assert await now.leftovers.sweep() is True
        assert [stored.seq for stored in await now.queued()] == [mine.seq]

        assert await now.broker.ack_confirmed(mine.reply)
        assert await now.leftovers.sweep() is False
        await run.terminate()


async def test_a_step_worker_is_told_whether_an_attempt_is_waited_for(nats_url: str, app: App) -> None:
    """Old work would be run again, or dropped though nobody has done it."""

    async def ask(command: int, attempt: int) -> bytes | None:
        question = msgspec.json.encode({"command": command, "attempt": attempt})
        return await now.broker.request(app.ask(RunKey("doubled", "r-1"), "attempt"), question, timeout_s=WAIT_S)

    async with scene(nats_url, app) as now:
        run = await now.start()
        await now.wait_queued()

        assert [await ask(1, 1), await ask(1, 2), await ask(2, 1)] == [
            b'{"is_open":true}',
            b'{"is_open":true}',
            b'{"is_open":false}',
        ]
        unclear = await now.broker.request(
            app.ask(RunKey("doubled", "r-1"), "attempt"), b'{"command":"1"}', timeout_s=WAIT_S
        )
        assert unclear is not None
        assert msgspec.json.decode(unclear)["error"]["code"] == "schema"

        await run.terminate(wait=True)
        assert await ask(1, 1) == b'{"is_open":false}'
