"""The janitor within its worker, in virtual time: how long the log of an ended run is kept whole (R15)."""

from __future__ import annotations

import anyio

from jetrun.actors import hook, workflow
from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.actor_worker import ActorOptions, ActorWorker
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.subjects import App
from support.simloop import SimLoop, run

APP = App("t")


@workflow
async def greet(name: str) -> str:
    """Two records: the start, and the end."""
    return f"hello {name} from {await hook('me', str)}"


def test_worker_keeps_logs_as_long_as_it_was_told() -> None:
    """Neither shorter, nor for the seven days of those that were told nothing."""

    async def main(loop: SimLoop) -> None:
        server = MemoryServer(loop.now_us)
        server.provision(APP, ["default"], partitions=1)
        worker = ActorWorker(
            MemoryBroker(server),
            APP,
            Registry.of(greet),
            worker_id="a",
            key=b"k",
            partitions=1,
            options=ActorOptions(has_threads=False, retention_us=20 * 60 * 1_000_000),
        )
        async with anyio.create_task_group() as tasks, Client(MemoryBroker(server), APP.name) as client:
            tasks.start_soon(worker.run)
            handle = await client.start(greet.call("ann"), run_id="g-1")
            await anyio.sleep(1)
            await handle.hook("me", "ben")
            assert await handle.result() == "hello ann from ben"

            await anyio.sleep(19 * 60)
            assert len(await handle.log()) == 2
            await anyio.sleep(6 * 60)
            assert len(await handle.log()) == 1
            assert await client.get(greet, "g-1").result() == "hello ann from ben"
            worker.drain()

    run(main, seed=1)


def test_a_clock_that_was_ahead_keeps_nothing_for_ever() -> None:
    """The server's clock was a year ahead when a run ended: it is cleaned in its turn, and holds up nobody behind it (W6)."""
    ahead_us = [365 * 86_400 * 1_000_000]

    async def main(loop: SimLoop) -> None:
        server = MemoryServer(lambda: loop.now_us() + ahead_us[0])
        server.provision(APP, ["default"], partitions=1)
        options = ActorOptions(has_threads=False, retention_us=20 * 60 * 1_000_000)
        worker = ActorWorker(
            MemoryBroker(server), APP, Registry.of(greet), worker_id="a", key=b"k", partitions=1, options=options
        )
        async with anyio.create_task_group() as tasks, Client(MemoryBroker(server), APP.name) as client:
            tasks.start_soon(worker.run)
            early = await client.start(greet.call("ann"), run_id="g-1")
            await anyio.sleep(1)
            await early.hook("me", "ben")
            assert await early.result() == "hello ann from ben"
            await anyio.sleep(1)  # until it is listed, which follows its end
            ahead_us[0] = 0
            late = await client.start(greet.call("eve"), run_id="g-2")
            await anyio.sleep(1)
            await late.hook("me", "ben")
            await late.result()
            assert [len(await handle.log()) for handle in (early, late)] == [2, 2]
            open_run = await client.start(greet.call("joe"), run_id="g-3")

            await anyio.sleep(45 * 60)
            assert [len(await handle.log()) for handle in (early, late)] == [1, 1]
            assert (await open_run.status()).status == "running"
            worker.drain()

    run(main, seed=1)
