"""A whole engine in the test's own process: one actor worker and one step worker, on a real server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.actor_worker import ActorOptions, ActorWorker
from jetrun.streams.inventory import app_facts
from jetrun.streams.jetstream import JetStream
from jetrun.streams.provision import provision
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.subjects import App

START_S = 10.0


@asynccontextmanager
async def running_engine(
    url: str,
    app: App,
    registry: Registry,
    options: ActorOptions = ActorOptions(has_threads=False),  # noqa: B008  # frozen
    *,
    worker_id: str = "1",
) -> AsyncGenerator[None]:
    """Provisions the app and serves it until the end of the block; drains then."""
    brokers = [await JetStream.connect(url, name=name) for name in ("provision", "actors", "steps")]
    queues = sorted({"default", *registry.queues})
    await provision(brokers[0], app, queues=queues)
    facts = await app_facts(brokers[0], app)
    actors = ActorWorker(
        brokers[1],
        app,
        registry,
        worker_id=f"actors-{worker_id}",
        key=facts.key,
        partitions=facts.partitions,
        options=options,
    )
    steps = StepWorker(brokers[2], app, registry, dict.fromkeys(queues, 50), worker_id=f"steps-{worker_id}")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(actors.run)
            tasks.start_soon(steps.run)
            with anyio.fail_after(START_S):
                await actors.wait_ready()
                await steps.ready.wait()
            yield
            actors.drain()
            steps.drain()
    finally:  # also of a test that has failed: what it leaves open would fail another one
        for broker in brokers:
            await broker.close()


@asynccontextmanager
async def running_client(url: str, app: App, registry: Registry) -> AsyncGenerator[Client]:
    """An engine, and a client of it."""
    async with running_engine(url, app, registry), await Client.connect(url, app=app.name) as client:
        yield client
