"""Limits of logs, lost workers, retention and lists: what keeps an app healthy (docs/behaviours.md)."""

from __future__ import annotations

import logging

import pytest

from jetrun.actors import WorkerLost, continue_as_new, hook, info, step, workflow
from jetrun.actors.errors import DefinitionError, RunFailed, RunNotFound
from jetrun.actors.limits import RECORDS_MAX
from jetrun.client import testing
from jetrun.client.testing_twin import APP
from jetrun.streams.janitor import Janitor

DAY_US = 86_400 * 1_000_000


@step
async def work(number: int) -> int:
    return number


@step(recover_on_worker_loss=False)
async def pay(cents: int) -> str:
    raise NotImplementedError(cents)


@workflow(records_warn=3, records_max=6, max_retries=2)
async def counting() -> list[bool]:
    seen = [info().should_continue_as_new]
    while await hook("number", int):
        seen.append(info().should_continue_as_new)
    return seen


@workflow(records_warn=3, records_max=6)
async def renewed(links: int = 1) -> int:
    while not info().should_continue_as_new:
        await work(1)
    if links < 3:
        continue_as_new(links + 1)
    return links


@workflow(durable=False, records_warn=1, records_max=2)
async def fleeting(count: int) -> int:
    return sum([await work(number) for number in range(count)])


# --- limits of a log ------------------------------------------------------------------------------------


async def test_long_log_is_told_once_and_ends_the_run_at_its_bound(caplog: pytest.LogCaptureFixture) -> None:
    """To the operator, and to the code in time to continue as new; beyond the bound it fails for good, with the numbers."""
    caplog.set_level(logging.INFO, "jetrun")
    async with testing.app(counting) as app:
        run = await app.client.start(counting.call(), run_id="c-1")
        for number in range(1, 6):
            await run.hook("number", number)
            await app.until_settled()

        with pytest.raises(RunFailed, match="6 records") as raised:
            await run.result()
        assert raised.value.error.code == "run_too_long"
        assert len(await run.chain()) == 1
    told = [record.message for record in caplog.records if record.message.startswith("run.long")]
    assert told == ["run.long run=counting/c-1 records=3"]


async def test_short_log_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """A warning that comes always is read by nobody."""
    caplog.set_level(logging.INFO, "jetrun")
    async with testing.app(counting) as app:
        run = await app.client.start(counting.call(), run_id="c-1", hooks=[("number", 0)])

        assert await run.result() == [False]
    assert "run.long" not in caplog.text


async def test_code_that_continues_in_time_goes_on_for_ever() -> None:
    """The bound is for each link: what the code is told is enough to stay below it."""
    async with testing.app(renewed) as app:
        run = await app.client.start(renewed.call(), run_id="r-1")

        assert await run.result() == 3
        assert all(link.records < 6 for link in await run.chain())


async def test_body_without_records_has_no_long_log() -> None:
    """Steps in place write nothing, so nothing grows."""
    async with testing.app(fleeting) as app:
        run = await app.client.start(fleeting.call(20), run_id="f-1")

        assert await run.result() == 190


@pytest.mark.parametrize(("warn", "most"), [(0, 5), (5, 5), (6, 5), (1, RECORDS_MAX + 1)])
def test_bounds_that_make_no_sense_are_refused_where_they_are_written(warn: int, most: int) -> None:
    """Not at the first run that comes near them."""
    with pytest.raises(DefinitionError, match=f"records_warn={warn}, records_max={most}"):
        workflow(records_warn=warn, records_max=most)(renewed.function)


# --- lost workers -----------------------------------------------------------------------------------------


@workflow
async def payout() -> list[str]:
    number = await work(7)
    try:
        return [await pay(number)]
    except WorkerLost as error:
        return [type(error).__mro__[1].__name__, f"{await work(8)}"]


async def test_step_in_hand_runs_again_when_its_worker_is_lost_and_done_ones_do_not() -> None:
    """What was recorded is kept over any interruption; the rest is handed to whoever lives, and the log says so."""
    begun: list[int] = []

    async def fragile(number: int) -> int:
        begun.append(number)
        if begun == [7, 8]:
            app.crash_step_worker()
        return number

    @workflow
    async def both() -> list[int]:
        return [await work(7), await work(8)]

    app = testing.app(both, work, steps=[testing.stub(work, fragile)])
    async with app:
        run = await app.client.start(both.call(), run_id="b-1")

        assert await run.result() == [7, 8]
        assert begun == [7, 8, 8]
        interrupted = [event for event in await run.events() if event.kind == "step.interrupted"]
        assert [(event.n, event.data) for event in interrupted] == [(2, {"attempt": 1, "interruptions": 1})]


async def test_step_that_must_not_run_twice_fails_when_its_worker_is_lost() -> None:
    """Nobody knows whether it was done: the code decides, with the results that it has."""

    async def lost(cents: int) -> str:
        app.crash_step_worker()
        return f"paid {cents}"

    app = testing.app(payout, steps=[testing.stub(pay, lost)])
    async with app:
        run = await app.client.start(payout.call(), run_id="p-1")

        assert await run.result() == ["StepFailed", "8"]
        assert [one.step for one in app.calls()] == ["work", "pay", "work"]


# --- retention and lists ------------------------------------------------------------------------------------


@workflow
async def ending(how: str) -> str:
    if how == "fails":
        raise ValueError(how)
    if how == "waits":
        await hook("go")
    return how


async def test_retention_takes_ended_runs_that_are_old_enough_and_no_others() -> None:
    """Logs, index entries, whatever they ended as; runs that go on are kept, however old, and so are young ones."""
    async with testing.app(ending) as app:
        for how in ("completes", "fails", "waits"):
            await app.client.start(ending.call(how), run_id=how)
        await app.skip("3d")
        await app.client.start(ending.call("completes"), run_id="young")
        await app.skip("1m")
        broker = app.twin.connect()
        janitor = Janitor(
            broker, APP, partitions=1, is_on_duty=lambda: True, retention_us=2 * DAY_US, forget_after_us=2 * DAY_US
        )

        assert await janitor.clean() == 2
        assert await janitor.clean() == 0
        assert sorted([run.run_id async for run in app.client.list()]) == ["waits", "young"]
        for gone in ("completes", "fails"):
            with pytest.raises(RunNotFound):
                await app.client.get(ending, gone).log()
        old = app.client.get(ending, "waits")
        await old.hook("go")
        assert await old.result() == "waits"
        assert await app.client.get(ending, "young").result() == "completes"


async def test_lists_are_of_summaries_by_status_and_workflow() -> None:
    """What a list shows costs no log; limits are kept, and equal times hide no run."""
    async with testing.app(ending, counting) as app:
        with app.held():
            for index in range(7):
                await app.client.start(ending.call("waits"), run_id=f"w-{index}")
            await app.client.start(ending.call("fails"), run_id="f")
            await app.client.start(counting.call(), run_id="c")
            await app.until_settled()
            await app.skip("5s")

        assert len({run.run_id async for run in app.client.list()}) == 9
        assert len([run async for run in app.client.list(limit=4)]) == 4
        assert [run.run_id async for run in app.client.list(status="failed")] == ["f"]
        assert [run.run_id async for run in app.client.list(workflow="counting")] == ["c"]
        assert [run.run_id async for run in app.client.list(workflow="nothing")] == []
