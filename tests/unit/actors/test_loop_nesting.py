"""The loop runs inside the worker's: on plain asyncio and on uvloop, and leaves it as it was."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from jetrun.actors import workflow
from support.log_rig import LogRig
from support.loop_bench import LoopBench

on_both = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def run_on(new_loop: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)


@on_both
def test_the_outer_loop_and_its_task_are_as_before(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def outer() -> None:
        bench = LoopBench()
        loop, task, hooks = asyncio.get_running_loop(), asyncio.current_task(), sys.get_asyncgen_hooks()

        async def inner() -> tuple[bool, bool]:
            await asyncio.sleep(0)
            return asyncio.get_running_loop() is bench.loop, asyncio.current_task() is found

        found = bench.loop.create_task(inner())
        bench.loop.run_until_quiet()

        assert found.result() == (True, True)
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        assert sys.get_asyncgen_hooks() == hooks
        await asyncio.sleep(0)  # the outer task still works
        assert [one.get_name() for one in asyncio.all_tasks()] == [task.get_name() if task else ""]

    run_on(new_loop, outer())


@on_both
def test_the_outer_loop_comes_back_when_the_inner_one_is_interrupted(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """The watchdog raises wherever the code is."""

    async def outer() -> None:
        bench = LoopBench()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        async def spin() -> None:
            while True:
                await asyncio.sleep(0)

        bench.loop.create_task(spin())
        with pytest.raises(BaseException, match="callbacks"):
            bench.loop.run_until_quiet()
        bench.loop.kill()

        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        async with asyncio.timeout(5):
            await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))

    run_on(new_loop, outer())


def test_without_an_outer_loop_it_runs_too() -> None:
    bench = LoopBench()

    assert bench.run(asyncio.sleep(1, "done")) == "done"


@workflow
async def who() -> list[str]:
    seen = [WHO.get(), str(decimal.getcontext().prec)]
    WHO.set("the workflow")
    decimal.getcontext().prec = 3
    await asyncio.gather(asyncio.sleep(0))
    return [*seen, WHO.get(), str(decimal.getcontext().prec)]


def test_context_variables_of_the_worker_do_not_reach_workflows_nor_theirs_the_worker() -> None:
    """Another worker's would differ; so would the precision that another run has set (R13)."""
    precision = decimal.getcontext().prec
    WHO.set("the worker")
    try:
        for _ in range(2):
            rig = LogRig(who)
            rig.start()

            assert rig.result == ["nobody", "28", "the workflow", "3"]
            assert WHO.get() == "the worker"
            assert decimal.getcontext().prec == precision
    finally:
        WHO.set("nobody")
