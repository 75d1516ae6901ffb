"""SimLoop: virtual time, reproducible order, processes that crash and freeze."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from support.simloop import EPOCH_US, SimLoop, Stuck, run


async def race(loop: SimLoop) -> list[str]:
    """Forty tasks that wake at the same instants."""
    trace: list[str] = []

    async def runner(number: int) -> None:
        for lap in range(3):
            await asyncio.sleep(1)
            trace.append(f"{loop.time():.6f} {number}.{lap}")

    await asyncio.gather(*(runner(number) for number in range(40)))
    return trace


def test_the_same_seed_gives_the_same_trace() -> None:
    """A failing seed could not be run again."""
    assert run(race, 7) == run(race, 7)


def test_another_seed_gives_another_trace() -> None:
    """Ten thousand seeds would try one order."""
    first, second = run(race, 1), run(race, 2)

    assert first != second
    assert sorted(first) == sorted(second)


def test_waiting_costs_no_time() -> None:
    """A simulation of a day would take a day."""

    async def main(loop: SimLoop) -> tuple[float, int]:
        await asyncio.sleep(86_000)
        return loop.time(), loop.now_us()

    began_at = time.monotonic()

    assert run(main, 1) == (86_000.0, EPOCH_US + 86_000_000_000)
    assert time.monotonic() - began_at < 5


def test_ready_callbacks_run_in_the_order_in_which_they_were_made_ready() -> None:
    """asyncio promises it, and code relies on it."""

    async def main(loop: SimLoop) -> list[int]:
        order: list[int] = []
        for number in range(50):
            loop.call_soon(order.append, number)
        await asyncio.sleep(0)
        return order

    assert run(main, 3) == list(range(50))


def test_a_cancelled_timer_does_not_fire_and_does_not_stay() -> None:
    """A million publishes would leave a million timeouts."""

    async def main(loop: SimLoop) -> tuple[list[int], int]:
        fired: list[int] = []
        for number in range(5_000):
            loop.call_later(100, fired.append, number).cancel()
        loop.call_later(50, fired.append, -1)
        count = len(loop._timers)
        await asyncio.sleep(200)
        return fired, count

    fired, count = run(main, 1)

    assert fired == [-1]
    assert count < 2_500


def test_sockets_and_subprocesses_are_refused() -> None:
    """A simulation that talks to the world is not one."""

    async def main(_: SimLoop) -> None:
        with pytest.raises(NotImplementedError):
            await asyncio.open_connection("127.0.0.1", 1)
        with pytest.raises(NotImplementedError):
            await asyncio.create_subprocess_exec("true")

    run(main, 1)


def test_what_goes_to_a_thread_runs_in_place() -> None:
    """A thread would bring real time back."""

    async def main(_: SimLoop) -> tuple[int, str]:
        result = await asyncio.to_thread(lambda: 41 + 1)
        with pytest.raises(KeyError, match="inside") as caught:
            await asyncio.to_thread(_fail)
        return result, str(caught.value)

    assert run(main, 1) == (42, "'inside'")


def test_anyio_works_on_it() -> None:
    """Workers and clients wait with anyio."""

    async def main(loop: SimLoop) -> tuple[float, list[str]]:
        seen: list[str] = []

        async def child(name: str, delay: float) -> None:
            await anyio.sleep(delay)
            seen.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child, "slow", 2)
            tasks.start_soon(child, "fast", 1)
        with anyio.move_on_after(10) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        return loop.time(), seen

    assert run(main, 1) == (12.0, ["fast", "slow"])


def test_nothing_to_wait_for_is_an_error() -> None:
    """A deadlock would hang the test run."""

    async def main(loop: SimLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        run(main, 1, limit_s=None)


def test_a_run_that_does_not_end_is_an_error() -> None:
    """A livelock would hang the test run."""

    async def main(_: SimLoop) -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        run(main, 1, limit_s=100)


def test_an_error_in_a_callback_fails_the_run() -> None:
    """A bug in a callback would go by unseen."""

    async def main(loop: SimLoop) -> None:
        loop.call_soon(_fail)
        await asyncio.sleep(1)

    with pytest.raises(KeyError):
        run(main, 1)


def test_nothing_of_a_crashed_process_runs_again() -> None:
    """A killed worker would tidy up."""
    after: list[str] = []

    async def main(loop: SimLoop) -> list[str]:
        seen: list[str] = []

        async def child() -> None:
            while True:
                await asyncio.sleep(1)
                seen.append("child")

        async def worker() -> None:
            loop.call_later(5, seen.append, "timer")
            children = asyncio.ensure_future(child())
            try:
                await children
            finally:
                after.append("finally")
                await asyncio.sleep(0)
                after.append("finally, too")

        process = loop.process("worker")
        process.spawn(worker())
        await asyncio.sleep(2.5)
        process.crash()
        assert after == []
        await asyncio.sleep(100)
        assert after == []
        return seen

    assert run(main, 1) == ["child", "child"]


def test_other_processes_live_on_after_a_crash() -> None:
    """A kill would take the whole simulation along."""

    async def main(loop: SimLoop) -> list[str]:
        seen: list[str] = []

        async def worker(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append(name)

        dead, alive = loop.process("dead"), loop.process("alive")
        dead.spawn(worker("dead"))
        surviving = alive.spawn(worker("alive"))
        await asyncio.sleep(1.5)
        dead.crash()
        await surviving
        return seen

    assert sorted(run(main, 1)) == ["alive", "alive", "alive", "dead"]


def test_a_frozen_process_sleeps_through_and_then_catches_up_in_order() -> None:
    """SIGSTOP and SIGCONT could not be imitated."""

    async def main(loop: SimLoop) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def worker() -> None:
            await asyncio.sleep(1)
            seen.append(("first", loop.time()))
            await asyncio.sleep(1)
            seen.append(("second", loop.time()))

        process = loop.process("worker")
        task = process.spawn(worker())
        process.run(lambda: loop.call_later(2.5, lambda: seen.append(("timer", loop.time()))))
        process.run(lambda: loop.call_later(2.2, lambda: seen.append(("earlier timer", loop.time()))))
        await asyncio.sleep(1.5)
        process.freeze()
        await asyncio.sleep(10)
        assert len(seen) == 1
        process.thaw()
        await task
        return seen

    assert run(main, 1) == [("first", 1.0), ("earlier timer", 11.5), ("timer", 11.5), ("second", 11.5)]


def test_an_abandoned_generator_of_a_living_process_is_closed() -> None:
    """A scan that nobody finishes would keep its consumer."""

    async def main(_: SimLoop) -> list[str]:
        closed: list[str] = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                closed.append("closed")

        async for _number in numbers():
            break
        await asyncio.sleep(0.1)
        return closed

    assert run(main, 1) == ["closed"]


def _fail() -> None:
    raise KeyError("inside")
