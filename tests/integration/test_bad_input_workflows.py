"""Workflows that a worker does not know: refused where nobody knows them, parked where a deploy is on its way (R3, R17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jetrun.actors import call, hook, step, workflow
from jetrun.actors.errors import MessageRefused
from jetrun.actors.registry import Registry
from jetrun.client import Client, RunHandle
from jetrun.streams.actor_worker import ActorOptions
from jetrun.streams.inventory import app_facts
from jetrun.streams.jetstream import JetStream
from jetrun.streams.provision import provision
from jetrun.streams.subjects import App
from support.engine import running_engine

pytestmark = pytest.mark.slow


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def old() -> str:
    return "old"


@workflow
async def new(number: int) -> int:
    return await double(await hook("more", int) + number)


OLD, NEW = Registry.of(old, double), Registry.of(old, new, double)


@pytest.fixture
async def broker(nats_url: str) -> AsyncIterator[JetStream]:
    broker = await JetStream.connect(nats_url, name="test")
    yield broker
    await broker.close()


@pytest.fixture
async def client(nats_url: str, app: App) -> AsyncIterator[Client]:
    async with await Client.connect(nats_url, app=app.name) as client:
        yield client


def knowing(*names: str) -> ActorOptions:
    return ActorOptions(has_threads=False, known_workflows=frozenset(names))


async def wait_status(run: RunHandle[Any], wanted: str) -> None:
    async with asyncio.timeout(10):
        while (await run.status()).status != wanted:
            await asyncio.sleep(0.02)


async def test_names_are_provisioned_with_the_streams(broker: JetStream, app: App) -> None:
    """A worker learns from them what a deploy is about to bring."""
    await provision(broker, app, queues=["default"], workflows=["old", "new"])
    first = (await app_facts(broker, app)).workflows
    changes = await provision(broker, app, queues=["default"])
    kept = (await app_facts(broker, app)).workflows
    await provision(broker, app, queues=["default"], workflows=["new"])

    assert first == kept == {"old", "new"}
    assert changes == []
    assert (await app_facts(broker, app)).workflows == {"new"}


async def test_what_nobody_knows_is_refused_with_the_names_that_are_known(
    nats_url: str, broker: JetStream, app: App, client: Client
) -> None:
    """A typing error would wait for ever."""
    await provision(broker, app, queues=["default"])
    async with running_engine(nats_url, app, OLD):
        run = await client.start(call("odl"), run_id="r-1")
        with pytest.raises(MessageRefused, match="workflow 'odl' is not registered; this app has: old") as refused:
            await run.result(timeout=10)

    assert refused.value.code == "workflow"


async def test_what_is_provisioned_waits_for_the_worker_that_has_it(
    nats_url: str, broker: JetStream, app: App, client: Client
) -> None:
    """During a deploy starts of a new workflow would be refused, or not, by chance."""
    await provision(broker, app, queues=["default"])
    async with running_engine(nats_url, app, OLD, knowing("old", "new")):
        run = await client.start(call("new", 1), run_id="r-1")
        await wait_status(run, "parked")
        await run.hook("more", 20)
        parked = (await run.status()).parked
        beside = await client.start(old.call(), run_id="r-1")
        assert await beside.result(timeout=10) == "old"

    async with running_engine(nats_url, app, NEW):
        assert await run.result(timeout=10) == 42

    assert parked is not None
    assert parked.code == "unknown_workflow"


async def test_what_a_live_worker_knows_waits_for_it(
    nats_url: str, broker: JetStream, app: App, client: Client
) -> None:
    """Two versions serve side by side for a while; a start may reach either."""
    await provision(broker, app, queues=["default"])
    async with running_engine(nats_url, app, OLD, worker_id="a"), running_engine(nats_url, app, NEW, worker_id="b"):
        runs = [await client.start(call("new", 1), run_id=f"r-{number}", hooks=[("more", 20)]) for number in range(16)]
        await asyncio.sleep(0.5)
        statuses = [(await run.status()).status for run in runs]
    async with running_engine(nats_url, app, NEW):
        results = [await run.result(timeout=10) for run in runs]

    assert set(statuses) <= {"parked", "completed", "running"}
    assert "parked" in statuses
    assert results == [42] * 16


async def test_a_run_whose_workflow_was_taken_out_is_parked_not_lost(
    nats_url: str, broker: JetStream, app: App, client: Client
) -> None:
    """A wrong deploy would stop the worker, or end the runs of the workflow that it lacks."""
    await provision(broker, app, queues=["default"])
    async with running_engine(nats_url, app, NEW):
        run = await client.start(new.call(1), run_id="r-1")
        async with asyncio.timeout(10):
            while not (await run.status()).hooks_open:
                await asyncio.sleep(0.02)
    async with running_engine(nats_url, app, OLD):
        await run.hook("more", 20)
        await wait_status(run, "parked")
        beside = await client.start(old.call(), run_id="r-2")
        assert await beside.result(timeout=10) == "old"
    async with running_engine(nats_url, app, NEW):
        assert await run.result(timeout=10) == 42
