"""asyncio's own tools on the deterministic loop: as everywhere, and always in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jetrun.actors.loop import running_loop
from support.loop_bench import LoopBench


async def put(log: list[object], value: object, delay: float = 0.0) -> object:
    if delay:
        await asyncio.sleep(delay)
    log.append(value)
    return value


def test_gather_returns_in_the_order_of_its_arguments() -> None:
    bench, log = LoopBench(), list[object]()

    async def main() -> list[object]:
        return [*await asyncio.gather(put(log, 1, 3), put(log, 2, 1), put(log, 3, 2))]

    assert bench.run(main()) == [1, 2, 3]
    assert log == [2, 3, 1]


def test_gather_keeps_exceptions_where_asked() -> None:
    bench = LoopBench()

    async def bad() -> None:
        raise ValueError("no")

    async def main() -> list[Any]:
        return [*await asyncio.gather(bad(), asyncio.sleep(1, "ok"), return_exceptions=True)]

    found = bench.run(main())
    assert isinstance(found[0], ValueError)
    assert found[1] == "ok"


def test_wait_hands_out_its_sets_in_one_order() -> None:
    """asyncio keeps tasks in sets: by number, not by address (R13)."""
    orders: set[tuple[str, ...]] = set()
    for _ in range(20):
        bench, ballast = LoopBench(), [object() for _ in range(100)]

        async def main() -> tuple[str, ...]:
            tasks = [asyncio.create_task(asyncio.sleep(0, str(n))) for n in range(30)]
            gathered = [asyncio.gather(asyncio.sleep(0, "g")) for _ in range(10)]
            everything: list[asyncio.Future[Any]] = [*tasks, *gathered]
            done, pending = await asyncio.wait(everything)
            assert not pending
            return tuple(str(task.result()) for task in done)

        orders.add(bench.run(main()))
        del ballast

    assert len(orders) == 1


def test_wait_for_gives_up_in_time_and_cancels_what_it_waited_for() -> None:
    bench, log = LoopBench(), list[object]()

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            log.append(("cancelled", asyncio.get_running_loop().time()))
            raise

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 2)
        assert await asyncio.wait_for(asyncio.sleep(1, "in time"), 5) == "in time"

    bench.run(main())
    assert log == [("cancelled", 2.0)]
    assert not bench.open


def test_timeout_blocks_nest_and_can_be_moved() -> None:
    bench = LoopBench()

    async def main() -> list[object]:
        seen: list[object] = []
        async with asyncio.timeout(10):
            try:
                async with asyncio.timeout(1) as inner:
                    inner.reschedule(asyncio.get_running_loop().time() + 3)
                    await asyncio.sleep(5)
            except TimeoutError:
                seen.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)
        async with asyncio.timeout(None):
            await asyncio.sleep(50)
        async with asyncio.timeout(0.5) as unused:
            pass
        return [*seen, unused.expired(), asyncio.get_running_loop().time()]

    assert bench.run(main()) == [3.0, False, 54.0]
    assert not bench.open


def test_task_group_cancels_the_others_in_the_order_of_their_making() -> None:
    """The standard one keeps its tasks in a set (R13)."""
    bench, log = LoopBench(), list[object]()

    async def wait(number: int) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            log.append(number)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(wait(number))
            await asyncio.sleep(1)
            raise ValueError("stop")

    with pytest.raises(ExceptionGroup) as raised:
        bench.run(main())

    assert [str(error) for error in raised.value.exceptions] == ["stop"]
    assert log == list(range(20))


def test_as_completed_yields_in_the_order_of_completion() -> None:
    bench = LoopBench()

    async def main() -> list[list[Any]]:
        plain = [await one for one in asyncio.as_completed([asyncio.sleep(d, d) for d in (3, 1, 2)])]
        ready = [await one for one in asyncio.as_completed([asyncio.sleep(0, n) for n in range(10)])]
        return [plain, ready]

    assert bench.run(main()) == [[1, 2, 3], list(range(10))]


def test_as_completed_gives_up_in_time() -> None:
    bench = LoopBench()

    async def main() -> list[Any]:
        found: list[Any] = []
        for one in asyncio.as_completed([asyncio.sleep(d, d) for d in (1, 5, 9)], timeout=3):
            try:
                found.append(await one)
            except TimeoutError:
                found.append("late")
        return found

    assert bench.run(main()) == [1, "late", "late"]


def test_as_completed_can_be_iterated_asynchronously() -> None:
    """As from Python 3.13 on, in every version: it yields the tasks themselves."""
    bench = LoopBench()

    async def main() -> list[Any]:
        tasks = [asyncio.ensure_future(asyncio.sleep(d, d)) for d in (2, 1)]
        completed: Any = asyncio.as_completed(tasks)
        return [tasks.index(task) async for task in completed]

    assert bench.run(main()) == [1, 0]


def test_as_completed_takes_an_awaitable_given_twice_once() -> None:
    bench = LoopBench()

    async def main() -> int:
        task = asyncio.ensure_future(asyncio.sleep(1, 7))
        return sum([await one for one in asyncio.as_completed([task, task])])

    assert bench.run(main()) == 7


async def test_as_completed_outside_of_workflows_is_the_standard_one() -> None:
    found = [await one for one in asyncio.as_completed([asyncio.sleep(0.001, 1), asyncio.sleep(0, 2)])]

    assert sorted(found) == [1, 2]


async def test_gather_outside_of_workflows_is_not_changed() -> None:
    gathered = asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))

    done, _ = await asyncio.wait([gathered])

    assert [list(future.result()) for future in done] == [[1, 2]]


def test_queues_hand_over_in_order() -> None:
    bench, log = LoopBench(), list[tuple[str, int]]()

    async def produce(queue: asyncio.Queue[int]) -> None:
        for number in range(5):
            await queue.put(number)

    async def consume(name: str, queue: asyncio.Queue[int]) -> None:
        while True:
            log.append((name, await queue.get()))
            queue.task_done()

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        consumers = [asyncio.create_task(consume(name, queue)) for name in "ab"]
        await produce(queue)
        await queue.join()
        for consumer in consumers:
            consumer.cancel()

    bench.run(main())
    assert [number for _, number in log] == list(range(5))


def test_locks_events_semaphores_and_conditions_wake_in_the_order_of_waiting() -> None:
    bench, log = LoopBench(), list[object]()

    async def locked(lock: asyncio.Lock, number: int) -> None:
        async with lock:
            await asyncio.sleep(1)
            log.append(("lock", number))

    async def main() -> None:
        lock = asyncio.Lock()
        await asyncio.gather(*(locked(lock, n) for n in range(3)))

        event = asyncio.Event()
        waiters = [asyncio.create_task(wait_event(event, n)) for n in range(3)]
        await asyncio.sleep(1)
        event.set()
        await asyncio.gather(*waiters)

        semaphore = asyncio.Semaphore(2)
        await asyncio.gather(*(limited(semaphore, n) for n in range(4)))

        condition = asyncio.Condition()
        notified = [asyncio.create_task(conditional(condition, n)) for n in range(3)]
        await asyncio.sleep(1)
        async with condition:
            condition.notify_all()
        await asyncio.gather(*notified)

    async def wait_event(event: asyncio.Event, number: int) -> None:
        await event.wait()
        log.append(("event", number))

    async def limited(semaphore: asyncio.Semaphore, number: int) -> None:
        async with semaphore:
            await asyncio.sleep(1)
            log.append(("semaphore", number, asyncio.get_running_loop().time()))

    async def conditional(condition: asyncio.Condition, number: int) -> None:
        async with condition:
            await condition.wait()
            log.append(("condition", number))

    bench.run(main())
    assert log == [
        *(("lock", n) for n in range(3)),
        *(("event", n) for n in range(3)),
        *(("semaphore", n, 5.0 + n // 2) for n in range(4)),
        *(("condition", n) for n in range(3)),
    ]


def test_async_generators_run_and_may_be_left() -> None:
    """What is left half-way is not closed by garbage collection, whose time nobody knows."""
    bench, log = LoopBench(), list[object]()

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(5):
                await asyncio.sleep(1)
                yield number
        finally:
            log.append("closed")

    async def main() -> list[int]:
        found = [number async for number in numbers()]
        async for number in numbers():
            if number == 1:
                break
        return found

    assert bench.run(main()) == [0, 1, 2, 3, 4]
    assert log == ["closed"]


def test_shielded_work_goes_on_when_its_waiter_is_cancelled() -> None:
    bench, log = LoopBench(), list[object]()

    async def main() -> None:
        work = asyncio.create_task(put(log, "done", 3))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(work), 1)
        await work

    bench.run(main())
    assert log == ["done"]


def test_tasks_are_named_by_their_number_within_the_run() -> None:
    """asyncio's own counter goes on through all runs of a process."""
    names: list[str] = []
    for _ in range(2):
        bench = LoopBench()

        async def main() -> str:
            task = asyncio.current_task()
            assert task is not None
            return task.get_name()

        names.append(bench.run(main()))

    assert names == ["task-1", "task-1"]


def test_code_sees_its_own_loop_and_no_other() -> None:
    bench = LoopBench()

    async def main() -> bool:
        return asyncio.get_running_loop() is bench.loop and running_loop() is bench.loop and bench.loop.is_running()

    assert bench.run(main())
    assert running_loop() is None
