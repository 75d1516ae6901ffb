"""The testing kit: an app in one process, time that is skipped, steps that are stubbed, hooks at any time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from jetrun.actors import FatalError, attempt, step, workflow
from jetrun.actors.errors import JetrunError, RunCancelled, RunEnded, RunFailed
from jetrun.actors.registry import RegistrationError
from jetrun.client import testing
from support import tested_flows as flows
from support.tested_flows import (
    asked,
    crawl,
    endless,
    fetch,
    guarded,
    measured,
    month,
    naps,
    retried,
    slow,
    two_answers,
)


# --- time ------------------------------------------------------------------------------------------
async def test_month_passes_at_once() -> None:
    """A workflow's long sleep takes no time, and takes exactly as long as it says."""
    async with testing.app(month, steps={fetch: "page 3"}) as app:
        began = app.now()
        run = await app.client.start(month.call(3), run_id="m-1")

        assert await run.result() == "page 3 at 2027-01-31 00:00"
        assert app.now() - began == timedelta(days=30)


def test_workflow_runs_without_async() -> None:
    """A test that is no coroutine needs one line."""
    start = datetime(2030, 2, 1, tzinfo=UTC)

    assert testing.run(month.call(3), steps={fetch: "page"}, start=start) == "page at 2030-03-03 00:00"


def test_plain_asyncio_needs_no_plugin() -> None:
    """Whatever runs the test's coroutine: the kit takes the loop as it is, and gives it back."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        before = time.monotonic() - loop.time()
        async with testing.app(month, steps={fetch: "x"}) as app:
            await (await app.client.start(month.call(1), run_id="m")).result()
        async with testing.app(month, steps={fetch: "x"}) as app:
            await (await app.client.start(month.call(1), run_id="m")).result()
        async with asyncio.timeout(60):
            await asyncio.to_thread(time.monotonic)
        return loop.time() + before - time.monotonic()

    assert timedelta(seconds=asyncio.run(main())) >= timedelta(days=60)


async def test_the_tests_own_waiting_is_skipped_too() -> None:
    """Sleeps and timeouts of the test pass by the same clock as those of workflows, in order."""
    async with testing.app(month, steps={fetch: "page"}) as app:
        run = await app.client.start(month.call(1), run_id="m-1")

        with pytest.raises(TimeoutError):
            await run.result(timeout=29 * 86_400)
        await asyncio.sleep(86_399)
        assert (await run.status()).status == "running"
        await asyncio.sleep(1)
        await app.until_settled()
        assert (await run.status()).status == "completed"


async def test_time_is_skipped_by_hand() -> None:
    """Before and after a moment can be told apart, to the second."""
    async with testing.app(month, steps={fetch: "page"}) as app:
        run = await app.client.start(month.call(1), run_id="m-1")
        began = app.now()
        await app.skip("29d")
        await app.skip("23h59m59s")

        assert (await run.status()).timers_open == 1
        await app.skip("1s")
        assert (await run.status()).status == "completed"
        assert app.now() - began == timedelta(days=30)


async def test_held_time_stands_still() -> None:
    """Nothing happens by itself while time is held, and the test is told instead of waiting for ever."""
    async with testing.app(month, steps={fetch: "page"}) as app:
        with app.held():
            began = app.now()
            run = await app.client.start(month.call(1), run_id="m-1")
            await app.until_settled()
            assert (await run.status()).timers_open == 1
            assert app.now() == began
            await app.skip("2h")
            assert app.now() - began == timedelta(hours=2)
        assert (await run.result()).startswith("page at 2027-01-31")


async def test_who_waits_in_held_time_is_told() -> None:
    """A test that forgot to move time does not hang."""

    async def wait_in_vain() -> None:
        async with testing.app(month, steps={fetch: "page"}) as app:
            with app.held():
                await (await app.client.start(month.call(1), run_id="m-2")).result()

    with pytest.raises(testing.Stuck, match=r"time is held.*skip.*run month/m-2 is running and waits for 1 timer"):
        await wait_in_vain()


async def test_short_sleeps_are_exact() -> None:
    """Timers that workers serve themselves come neither early nor late."""
    async with testing.app(naps) as app:
        began = app.now()

        assert await (await app.client.start(naps.call(10), run_id="n")).result() == 10
        assert app.now() - began == timedelta(seconds=2)


async def test_endless_workflow_meets_the_limit() -> None:
    """A run without an end does not hang the test."""
    with pytest.raises(testing.Stuck, match=r"limit of the app's time.*endless/e"):
        async with testing.app(endless, limit="2d") as app:
            await (await app.client.start(endless.call(), run_id="e")).result()


async def test_who_waits_for_nothing_is_told() -> None:
    """A hook that nobody sends is named."""
    with pytest.raises(testing.Stuck, match=r"nothing is left.*two_answers/t .* waits for hook 'answer'"):
        async with testing.app(two_answers) as app:
            await (await app.client.start(two_answers.call(), run_id="t")).result()


async def test_threads_are_waited_for() -> None:
    """Time stands still while a thread works for the loop."""
    async with testing.app(month, steps={fetch: "page"}) as app:
        began = app.now()
        async with asyncio.timeout(1):
            assert await asyncio.to_thread(sum, range(100_000)) > 0

        assert app.now() == began


async def test_one_app_at_a_time() -> None:
    """Two clocks for one loop are refused."""
    async with testing.app(month):
        with pytest.raises(JetrunError, match="one at a time"):
            async with testing.app(month):
                raise AssertionError


async def test_runs_are_listed() -> None:
    """The rest of the client works as well: the index of open runs follows within the time that is skipped."""
    async with testing.app(month, steps={fetch: "page"}) as app:
        await app.client.start(month.call(1), run_id="m-1")
        await app.skip("1d")

        assert [run.run_id async for run in app.client.list(status="running")] == ["m-1"]


# --- steps -----------------------------------------------------------------------------------------
async def test_retries_back_off() -> None:
    """One outcome for each attempt; the delays between them pass in virtual time."""
    async with testing.app(retried, steps=[testing.attempts(fetch, OSError("away"), TimeoutError, "page")]) as app:
        began = app.now()
        run = await app.client.start(retried.call(1), run_id="r-1")

        assert await run.result() == "page"
        assert [(call.args, call.attempt) for call in app.calls(fetch)] == [((1,), 1), ((1,), 2), ((1,), 3)]
        assert app.now() - began == timedelta(seconds=20)


async def test_exhausted_retries_fail_the_run() -> None:
    """The last outcome stands for all later attempts."""
    async with testing.app(retried, steps={fetch: [OSError("away")]}) as app:
        run = await app.client.start(retried.call(1), run_id="r-1")

        with pytest.raises(OSError, match="away"):
            await run.result()
        assert [call.attempt for call in app.calls(fetch)] == [1, 2, 3, 4, 5]


async def test_step_times_out_in_virtual_time() -> None:
    """A step's own waiting is skipped, and its timeout strikes before a longer wait ends."""

    async def creep(page: int) -> str:
        await asyncio.sleep(3_601 if page else 3_599)
        return "crawled"

    async with testing.app(slow, steps=[testing.stub(crawl, creep)]) as app:
        assert await (await app.client.start(slow.call(0), run_id="s-0")).result() == "crawled"
        with pytest.raises(RunFailed, match="ran longer than its timeout"):
            await (await app.client.start(slow.call(1), run_id="s-1")).result()


async def test_sync_steps_run_on_the_loop() -> None:
    """A step that production runs in a thread runs here without one, and knows its attempt."""
    async with testing.app(measured) as app:
        assert await (await app.client.start(measured.call("abc"), run_id="m")).result() == 9
        assert [(call.step, call.command, call.kwargs) for call in app.calls()] == [
            ("measure", 1, {}),
            ("measure", 2, {}),
        ]


async def test_stub_sees_its_attempt() -> None:
    """Functions in a step's place may ask what steps may ask."""

    def fake(page: int) -> str:
        return attempt().idempotency_key

    async with testing.app(retried, steps={fetch: fake}) as app:
        assert await (await app.client.start(retried.call(1), run_id="r")).result() == "retried/r/1"


def test_misfits_are_refused_where_they_are_made() -> None:
    """One line says which stub, and what is wrong with it; the type checker refuses the same lines."""
    with pytest.raises(testing.StubMisfit, match=r"^stub of step 'fetch' gives 5, .* str"):
        testing.returns(fetch, 5)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    with pytest.raises(testing.StubMisfit, match="gives None"):
        testing.attempts(fetch, OSError(), None)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    with pytest.raises(testing.StubMisfit, match="cannot be called as the step"):
        testing.stub(fetch, lambda: "x")  # type: ignore[misc, arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(testing.StubMisfit, match="no outcome"):
        testing.attempts(fetch)


async def test_misfit_at_the_call_ends_the_run() -> None:
    """What only the call shows fails at once, without retries."""
    async with testing.app(retried, steps={fetch: lambda page: page}) as app:
        with pytest.raises(testing.StubMisfit, match="stub of step 'fetch' gives 7"):
            await (await app.client.start(retried.call(7), run_id="r")).result()
        assert len(app.calls(fetch)) == 1


async def test_steps_without_stub_are_refused_on_demand() -> None:
    """A test can make sure that it charges nobody."""
    async with testing.app(retried, unstubbed="refuse") as app:
        with pytest.raises(FatalError, match="'fetch' has no stub"):
            await (await app.client.start(retried.call(1), run_id="r")).result()


def test_workflow_that_is_not_loaded_is_named() -> None:
    """`run` finds workflows of modules; others have to be given."""

    @step
    async def double(n: int) -> int:
        return 2 * n

    @workflow
    async def nearby(n: int) -> int:
        return await double(n)

    with pytest.raises(RegistrationError, match=r"'nearby' is in no loaded module; name it"):
        testing.run(nearby.call(2))
    assert testing.run(nearby.call(2), nearby) == 4
    assert testing.run(month.call(1), flows, steps={fetch: "x"}).startswith("x")


# --- hooks -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("after", "answer"), [("23h59m59s", "ann: yes"), ("24h0m1s", "ann: no answer")])
async def test_hook_comes_in_time_or_not(after: str, answer: str) -> None:
    """A hook's timeout is met to the second."""
    async with testing.app(asked) as app:
        run = await app.client.start(asked.call("ann"), run_id="a")
        await app.hook(run, "answer", "yes", after=after)

        assert await run.result() == answer
        if answer.endswith("no answer"):
            await app.until_settled()


async def test_hook_that_comes_after_the_end_is_told() -> None:
    """Sending to a run that has ended is the test's mistake, and does not pass in silence."""

    async def send_too_late() -> None:
        async with testing.app(asked) as app:
            run = await app.client.start(asked.call("ann"), run_id="a")
            await app.hook(run, "answer", "yes", after="25h")
            await run.result()
            await app.skip("2h")

    with pytest.raises(RunEnded, match="asked/a"):
        await send_too_late()


async def test_waits_until_the_run_waits() -> None:
    """Each wait of a name can be told from the one before."""
    async with testing.app(two_answers) as app:
        run = await app.client.start(two_answers.call(), run_id="t")
        first = await app.until_waiting(run, "answer")
        await app.hook(run, "answer", "one")
        second = await app.until_waiting(run, "answer", beyond=first)
        await app.hook(run, "answer", "two")

        assert await run.result() == ["one", "two"]
        assert second > first
        with pytest.raises(RunEnded, match="does not wait for hook 'answer'"):
            await app.until_waiting(run, "answer")


def test_hooks_of_a_run_are_sent_in_order() -> None:
    """`run` sends each payload when the run waits for it."""
    assert testing.run(two_answers.call(), hooks=[("answer", "one"), ("answer", "two")]) == ["one", "two"]


# --- ends ------------------------------------------------------------------------------------------
async def test_cancel_runs_the_cleanup() -> None:
    """A cancel reaches the workflow where it sleeps."""
    async with testing.app(guarded, steps={fetch: "cleaned"}) as app:
        run = await app.client.start(guarded.call(), run_id="g")
        await app.skip("1d")
        await run.cancel(reason="enough", wait=True)

        with pytest.raises(RunCancelled, match="enough"):
            await run.result()
        assert len(app.calls(fetch)) == 1


async def test_failure_of_the_test_comes_through() -> None:
    """What the test itself raises is not hidden, and runs that go on do not hold it up."""

    async def fail() -> None:
        async with testing.app(month, steps={fetch: "x"}) as app:
            await app.client.start(month.call(1), run_id="m")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_the_tests_own_error_goes_before_others() -> None:
    """Where something beside the test fails in the same moment, the test's own error is shown."""

    async def fail() -> None:
        async with testing.app(month, steps={fetch: "x"}) as app:
            run = await app.client.start(month.call(1), run_id="m")
            await run.terminate(wait=True)
            await app.hook(run, "late", after="1s")
            try:
                await asyncio.sleep(3_600)
            finally:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await asyncio.sleep(0)  # no cancellation is left over


async def test_crashed_workers_are_replaced() -> None:
    """A crash by hand: the run goes on, and the step in hand is run again once its lease has ended, in no time."""

    async def crashing(page: int) -> str:
        if page == 1 and len(app.calls(fetch)) == 1:
            app.crash_step_worker()
        return "page"

    app = testing.app(month, steps={fetch: crashing})
    async with app:
        began = app.now()
        run = await app.client.start(month.call(1), run_id="m")
        await app.until_settled()
        app.crash_actor_worker()
        await run.result()

        assert [call.attempt for call in app.calls(fetch)] == [1, 1]
        assert app.now() - began == timedelta(days=30)
