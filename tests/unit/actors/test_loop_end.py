"""A loop that was killed decides nothing: what its code still does when it is closed reaches nobody."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jetrun.actors import shield, sleep, step, workflow
from jetrun.actors.loop import _NEVER_COLLECTED, running_loop
from support.log_rig import LogRig
from support.loop_bench import LoopBench

CALLS: list[object] = []


@step
async def charge(amount: int) -> int:
    CALLS.append(("charge", amount))
    return amount


@step
def refund(amount: int) -> int:
    CALLS.append(("refund", amount))
    return amount


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


@workflow
async def saga() -> None:
    try:
        await charge(1)
    finally:
        CALLS.append("cleanup")
        await refund(1)
        CALLS.append("refunded")


@workflow
async def nested_cleanup() -> None:
    try:
        try:
            await charge(1)
        finally:
            await refund(1)
    finally:
        async with shield():
            await asyncio.gather(refund(2), sleep(5))


@workflow
async def swallows() -> None:
    while True:
        try:
            await charge(1)
        except BaseException:
            CALLS.append("swallowed")


@workflow
async def spawns_on_exit() -> None:
    try:
        await charge(1)
    finally:
        async with asyncio.TaskGroup() as group:
            group.create_task(refund(1))
            asyncio.create_task(asyncio.sleep(1))  # noqa: RUF006


def test_eviction_never_calls_a_step_as_a_plain_function() -> None:
    """A `finally` block that refunds would refund whenever a worker drops a run from its cache."""
    rig = LogRig(saga, check=False)
    rig.start()

    rig.actor.close()

    assert CALLS == ["cleanup"]


async def test_eviction_leaves_the_workers_loop_alone() -> None:
    """Clean-up code asks for the running loop: it must not find the worker's."""
    rig = LogRig(spawns_on_exit, check=False)
    rig.start()
    before = asyncio.all_tasks()

    rig.actor.close()
    gc.collect()
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before
    assert CALLS == []


def test_clean_up_that_awaits_again_and_again_ends() -> None:
    rig = LogRig(nested_cleanup, check=False)
    rig.start()

    rig.actor.close()
    gc.collect()

    assert CALLS == []


def test_code_that_catches_everything_is_left_where_it_is() -> None:
    """Closing it for ever would hold the worker; collecting it would run it once more."""
    rig = LogRig(swallows, check=False)
    rig.start()
    known = len(_NEVER_COLLECTED)

    rig.actor.close()
    count = len(CALLS)
    del rig
    gc.collect()

    assert len(_NEVER_COLLECTED) == known + 1
    assert len(CALLS) == count
    assert ("charge", 1) not in CALLS


def test_nothing_of_a_killed_loop_runs() -> None:
    bench, log = LoopBench(), list[object]()

    async def main() -> None:
        await asyncio.sleep(1)
        log.append("woke")

    bench.spawn(main())
    timer = bench.open[1][1]
    bench.loop.kill()
    bench.loop.fire(timer)
    bench.loop.call_soon(log.append, "called")
    bench.loop.run_until_quiet()

    assert log == []
    assert bench.loop.is_closed()


def test_exits_raised_by_clean_up_do_not_reach_the_worker() -> None:
    bench = LoopBench()

    async def main() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            raise SystemExit(1)

    bench.spawn(main())

    bench.loop.kill()

    assert running_loop() is None


def test_generators_of_a_killed_loop_do_not_run() -> None:
    """An async generator that was left open is not closed on somebody else's loop."""
    log: list[object] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(1)
        finally:
            log.append(running_loop())

    async def main() -> None:
        generator = numbers()
        await anext(generator)
        await asyncio.sleep(1)

    bench = LoopBench()
    bench.spawn(main())
    bench.loop.kill()
    gc.collect()

    assert log == []


def test_task_that_nobody_holds_lives_until_it_is_done() -> None:
    """Garbage collection would end it at a time that no replay could repeat."""
    bench, log = LoopBench(), list[object]()

    async def background(event: asyncio.Event) -> None:
        try:
            await event.wait()
            log.append("woke")
        finally:
            log.append("ended")

    async def main() -> Any:
        event = asyncio.Event()
        asyncio.create_task(background(event))  # noqa: RUF006  only the event knows of it, and it of the event
        await asyncio.sleep(1)
        return weakref.ref(event)

    bench.spawn(main())
    gc.collect()
    bench.advance_us(1_000_000)
    gc.collect()

    assert log == []


def test_done_tasks_are_forgotten() -> None:
    """A run of a million rounds must not keep a task of each."""
    bench = LoopBench()

    async def main() -> None:
        for _ in range(1_000):
            await asyncio.create_task(asyncio.sleep(0))

    bench.run(main())

    assert len(bench.loop._tasks) < 100


def test_ended_run_is_gone_without_a_garbage_collection() -> None:
    """Cycles of ended runs would have the collector look again and again at all runs that are under way."""
    bench = LoopBench()
    bench.run(asyncio.sleep(1))
    bench.loop.kill()
    host = weakref.ref(bench)
    gc.disable()
    try:
        del bench

        assert host() is None
    finally:
        gc.enable()
