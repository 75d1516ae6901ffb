"""Local: an app in the program's own process, for scripts: workers and client beside the program, on its loop.

The same code as in production, in real time. In memory, runs end with the program; with a store, an embedded server
keeps them, and the next program on that store goes on with them.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, cast

import anyio
import anyio.to_thread

from ..actors.registry import Registry
from ..streams.actor_worker import ActorOptions, ActorWorker
from ..streams.jetstream import JetStream
from ..streams.lease import Lease, LoopLease, ThreadLease
from ..streams.memory import MemoryBroker, MemoryServer
from ..streams.memory_faults import Faults
from ..streams.ports import Broker
from ..streams.provision import app_facts, provision
from ..streams.server import EmbeddedServer
from ..streams.step_worker import StepWorker
from ..streams.subjects import App
from .client import Client
from .declaring import declare_schedules
from .definitions import Definition, collect

CONCURRENCY: Final = 100

_DRAIN_S: Final = 5.0


class _Place(NamedTuple):
    """Where an app lives."""

    connect: Callable[[str], Awaitable[Broker]]
    """Opens a connection of that name."""
    lease: Lease | None
    """None for one that the step worker's own connection keeps."""
    key: bytes
    partitions: int


@asynccontextmanager
async def local(
    *definitions: Definition,
    store: str | Path | None = None,
    app: str = "default",
    concurrency: int = CONCURRENCY,
) -> AsyncGenerator[Client]:
    """Runs an app in this process and gives its client.

    For `async with local(order) as client: ...`. At the end of the block the workers finish what they have in hand, for
    up to 5 s; steps that still run are cancelled.

    Args:
        definitions: Workflows, steps, and modules or their names. Steps that a workflow sees in its module are found.
        store: Folder of an embedded server; runs are durable there. None keeps all in memory.
        concurrency: Steps that may run at once, for each queue.

    Raises:
        RegistrationError: The definitions are in conflict, or there is none.
        StoreInUse, BrokerError: The server cannot be started on the store.
    """
    registry = collect(definitions)
    queues = sorted({"default", *registry.queues})
    names = App(app)
    async with AsyncExitStack() as stack:
        place = _memory(names, queues) if store is None else await _stored(stack, Path(store), names, registry)
        mark = f"{os.getpid()}-{secrets.token_hex(3)}"
        actors = ActorWorker(
            await place.connect("local actors"),
            names,
            registry,
            worker_id=f"actors-{mark}",
            key=place.key,
            partitions=place.partitions,
            options=ActorOptions(drain_s=_DRAIN_S),
        )
        steps_broker = await place.connect("local steps")
        steps = StepWorker(
            steps_broker,
            names,
            registry,
            dict.fromkeys(queues, concurrency),
            worker_id=f"steps-{mark}",
            lease=place.lease or LoopLease(steps_broker),
            drain_s=_DRAIN_S,
        )
        own: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(actors.run)
                tasks.start_soon(steps.run)
                await actors.wait_ready()
                await steps.ready.wait()
                await declare_schedules(steps_broker, names, registry)
                async with Client(await place.connect("local client"), app) as client:
                    try:
                        yield client
                    except Exception as error:  # noqa: BLE001  # raised below: the group would wrap it
                        own = error
                steps.drain()
                actors.drain()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        if own is not None:
            raise own


def _first(error: BaseException) -> BaseException:
    """Returns what a worker died of, out of the groups around it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _memory(app: App, queues: list[str]) -> _Place:
    server = MemoryServer(lambda: time.time_ns() // 1000, faults=Faults(timer_late_s=0.0))
    server.provision(app, queues, partitions=1)

    async def connect(_: str) -> Broker:
        return MemoryBroker(server)

    return _Place(connect, None, secrets.token_bytes(32), 1)


async def _stored(stack: AsyncExitStack, store: Path, app: App, registry: Registry) -> _Place:
    server = await anyio.to_thread.run_sync(EmbeddedServer.start, store)
    stack.push_async_callback(anyio.to_thread.run_sync, server.stop)

    async def connect(name: str) -> JetStream:
        broker = await JetStream.connect(server.url, name=name)
        stack.push_async_callback(broker.close)
        return broker

    js = await connect("local")
    await provision(js, app, queues=registry.queues, workflows=registry.workflows)
    facts = await app_facts(js, app)
    lease = ThreadLease(lambda: JetStream.connect(server.url, name="local lease"))
    return _Place(connect, lease, facts.key, facts.partitions)
