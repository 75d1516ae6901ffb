"""Inline steps: run by the actor worker, promised as all steps are."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors import Step, StepFailed, attempt, hook, step, workflow
from jetrun.client import RunFailed, testing


@step(inline=True)
async def number(x: int) -> int:
    return 2 * x


@step(inline=True)
def text(x: int) -> str:
    return f"number {x}"


@step(inline=True, timeout="20s")
async def slow(x: int) -> int:
    await asyncio.sleep(10)
    return attempt().number


@step(inline=True, timeout="1s", retry_delay="3s")
async def late(x: int) -> int:
    if attempt().number == 1:
        await asyncio.sleep(5)
    return attempt().number


@step(inline=True, max_retries=2, retry_delay="1s")
async def flaky(x: int) -> int:
    if attempt().number < 3:
        raise OSError("no luck")
    return attempt().number


@step(inline=True)
async def large(size: int) -> str:
    return "x" * size


@workflow
async def short(x: int) -> str:
    return await text(await number(x))


@workflow
async def many(count: int) -> int:
    return sum(await asyncio.gather(*(number(n) for n in range(count))))


@workflow
async def slowly(x: int) -> int:
    return await slow(x)


@workflow
async def asked() -> int:
    return await slow(1) + await hook("more", int)


def called(one: Step[[int], int]) -> int:
    """Runs a workflow that calls the step, and returns what it came to."""

    @workflow(name="calling")
    async def calling(x: int) -> int:
        return await one(x)

    return testing.run(calling.call(1), calling)


async def test_inline_steps_need_no_step_worker() -> None:
    """Async or sync; there is no queue and no work message."""
    async with testing.app(short) as app:
        app.twin.steps.end()
        run = await app.client.start(short.call(4), run_id="r-1")

        assert await run.result() == "number 8"
        assert [call.step for call in app.calls()] == ["number", "text"]


async def test_many_of_one_decision_run_side_by_side() -> None:
    """Beyond a bound they are queued: their results must fit the mailbox while the run waits."""
    async with testing.app(many) as app:
        run = await app.client.start(many.call(150), run_id="r-1")

        assert await run.result() == 149 * 150
        assert len(app.calls(number)) == 150


async def test_run_takes_messages_again_when_its_inline_steps_have_ended() -> None:
    """A hook or a cancel waits for that long."""
    async with testing.app(asked) as app:
        run = await app.client.start(asked.call(), run_id="r-1")
        began = app.now()
        await app.skip("1s")
        await run.hook("more", 5)

        assert await run.result() == 6
        assert (app.now() - began).total_seconds() == pytest.approx(10, abs=0.5)


async def test_other_runs_do_not_wait() -> None:
    async with testing.app(short, slowly) as app:
        slow_run = await app.client.start(slowly.call(1), run_id="r-1")
        began = app.now()
        run = await app.client.start(short.call(4), run_id="r-2")

        assert await run.result() == "number 8"
        assert (app.now() - began).total_seconds() < 1
        assert await slow_run.result() == 1


async def test_crash_of_the_actor_worker_runs_it_again() -> None:
    """At least once, one result: the successor finds it owed."""
    async with testing.app(slowly) as app:
        run = await app.client.start(slowly.call(1), run_id="r-1")
        await app.skip("5s")
        app.crash_actor_worker()

        assert await run.result() == 1
        assert [call.attempt for call in app.calls(slow)] == [1, 1]


def test_retries_are_work_on_the_queue() -> None:
    assert called(flaky) == 3


def test_inline_step_has_a_timeout() -> None:
    """Five seconds unless it says otherwise; the attempt that hangs is given up and tried again elsewhere."""
    assert called(late) == 2


def test_large_results_go_to_the_store() -> None:
    @workflow
    async def measuring(size: int) -> int:
        return len(await large(size))

    assert testing.run(measuring.call(300_000), measuring) == 300_000


def test_failure_is_the_steps_own() -> None:
    @step(inline=True, max_retries=0)
    async def failing(x: int) -> int:
        raise KeyError(x)

    @workflow(name="caught")
    async def catching() -> str:
        try:
            return str(await failing(1))
        except KeyError as error:
            return f"{type(error).__name__} {error.attempts}" if isinstance(error, StepFailed) else ""

    assert testing.run(catching.call(), catching) == "KeyError 1"
    with pytest.raises(RunFailed):
        called(failing)


def test_inline_steps_survive_every_crash() -> None:
    testing.survives_every_crash(short.call(4))
    testing.survives_every_crash(many.call(5))
    testing.survives_every_crash(slowly.call(1))
