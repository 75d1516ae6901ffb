"""The deterministic loop: plain asyncio, always in the same order."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors.errors import InvalidDuration
from jetrun.actors.limits import DELAY_US_MAX, TURN_CALLBACKS_MAX
from jetrun.actors.signals import Blocked
from support.loop_bench import LoopBench


async def put(log: list[object], value: object, delay: float = 0.0) -> object:
    if delay:
        await asyncio.sleep(delay)
    log.append(value)
    return value


# --- order -----------------------------------------------------------------------------------------


def test_ready_callbacks_run_first_in_first_out() -> None:
    """Nothing overtakes: the order of asking is the order of running."""
    bench, log = LoopBench(), list[object]()

    for number in range(5):
        bench.loop.call_soon(log.append, number)
    bench.loop.call_soon(bench.loop.call_soon, log.append, "last")
    bench.loop.run_until_quiet()

    assert log == [0, 1, 2, 3, 4, "last"]


def test_tasks_take_turns_in_the_order_of_their_making() -> None:
    bench, log = LoopBench(), list[object]()

    async def count(name: str) -> None:
        for number in range(3):
            log.append((name, number))
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(count("a"), count("b"))

    bench.run(main())
    assert log == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_timers_fire_by_due_time_and_then_by_number() -> None:
    """Equal times are in the order of asking (R13)."""
    bench, log = LoopBench(), list[object]()

    async def main() -> None:
        await asyncio.gather(put(log, "late", 2), put(log, "first", 1), put(log, "second", 1), put(log, "early", 0.5))

    bench.run(main())
    assert log == ["early", "first", "second", "late"]
    assert bench.started == [2_000_000, 1_000_000, 1_000_000, 500_000]


def test_time_is_the_runs_and_stands_still_while_code_runs() -> None:
    bench = LoopBench()

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        await asyncio.sleep(1.5)
        times.append(loop.time())
        sum(range(100_000))
        return [*times, loop.time()]

    assert bench.run(main()) == [0.0, 1.5, 1.5]


def test_timer_that_is_due_already_needs_no_command() -> None:
    bench, log = LoopBench(), list[object]()

    bench.loop.call_later(-5, log.append, "past")
    bench.loop.call_at(0.0, log.append, "now")
    bench.loop.run_until_quiet()

    assert log == ["past", "now"]
    assert bench.started == []


def test_cancelled_timer_is_told_to_the_host_once() -> None:
    bench = LoopBench()

    timer = bench.loop.call_later(5, print)
    timer.cancel()
    timer.cancel()

    assert bench.cancelled == [1]


@pytest.mark.parametrize("delay", [float("inf"), float("nan"), DELAY_US_MAX / 1e6 + 1])
def test_timer_without_an_end_is_refused(delay: float) -> None:
    """The server's own clock ends in 2262 and would fire at once."""
    bench = LoopBench()

    with pytest.raises((InvalidDuration, RuntimeError), match="timer"):
        bench.loop.call_later(delay, print)

    assert bench.started == []


# --- bounds ------------------------------------------------------------------------------------------


def test_code_that_never_waits_is_stopped_by_a_bound() -> None:
    """100,000 callbacks are more than any turn needs (R16)."""
    bench = LoopBench()

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Blocked, match=str(TURN_CALLBACKS_MAX)):
        bench.spawn(spin())
    bench.loop.kill()


def test_errors_of_callbacks_and_lost_tasks_change_nothing() -> None:
    """When asyncio finds out about them depends on garbage collection."""
    bench, log = LoopBench(), list[object]()

    async def bad() -> None:
        raise ValueError("nobody looks")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        asyncio.create_task(bad())  # noqa: RUF006
        await asyncio.sleep(1)
        log.append("went on")

    bench.run(main())
    assert log == ["went on"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_exits_of_workflow_code_stay_in_their_task(error: BaseException) -> None:
    """They end the run, not the worker."""
    bench = LoopBench()

    async def main() -> None:
        raise error

    task = bench.spawn(main())

    assert task.exception() is error
