"""Schedules as operators and the code that they start see them (docs/behaviours.md)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jetrun.actors import Schedule, ScheduleSpec, hook, info, step, workflow
from jetrun.actors.errors import DefinitionError
from jetrun.actors.schedule import Overlap
from jetrun.client import testing

DAILY = ScheduleSpec(cron="0 9 * * *")
FIRST = datetime(2027, 1, 1, 9, tzinfo=UTC)


@step
async def note(text: str) -> str:
    return text


@workflow(schedule=Schedule(spec=ScheduleSpec(cron="@daily", timezone="Europe/Paris"), overlap="buffer_one"))
async def report(kind: str = "short", *, copies: int = 1) -> str:
    at = info().scheduled_at
    return await note(f"{copies} {kind} of {at:%d %H:%M}" if at is not None else f"{copies} {kind}")


@workflow
async def job(how: str) -> str:
    await note(how)
    if how == "fails":
        raise ValueError("no paper")
    if how == "waits":
        await hook("go")
    return how


async def test_scheduled_runs_get_their_arguments_and_their_time() -> None:
    """Of all kinds; and the time that a run stands for, however late it is."""
    async with testing.app(report) as app:
        await app.client.schedules.create("daily", report.call("long", copies=2), DAILY)
        await app.skip("2d")

        assert [call.args for call in app.calls(note)] == [("2 long of 01 09:00",), ("2 long of 02 09:00",)]
        run = app.client.get(report, f"daily-{FIRST:%Y%m%dT%H%M%SZ}")
        assert await run.result() == "2 long of 01 09:00"


def test_workflow_with_a_schedule_is_still_a_workflow() -> None:
    """It can be called, started, and run in a test; the schedule is one of its options."""
    assert report.schedule is not None
    assert (report.schedule.overlap, report.schedule.spec.timezone) == ("buffer_one", "Europe/Paris")
    assert testing.run(report.call(), report) == "1 short"
    assert job.schedule is None


@pytest.mark.parametrize(("how", "counted"), [("well", "completed"), ("fails", "failed"), ("waits", "cancelled")])
async def test_counts_follow_what_has_come_of_the_runs(how: str, counted: str) -> None:
    """A run that is under way is named, and is not any more when it has ended, whichever way."""
    async with testing.app(job) as app:
        await app.client.schedules.create("daily", job.call(how), DAILY)
        await app.skip("10h")
        run_id = f"daily-{FIRST:%Y%m%dT%H%M%SZ}"
        if how == "waits":
            assert (await app.client.schedules.get("daily")).running == [run_id]
            await app.client.get(job, run_id).cancel(wait=True)
            await app.until_settled()

        status = await app.client.schedules.get("daily")
        counts = {"completed": status.completed, "failed": status.failed, "cancelled": status.cancelled}
        assert counts == {"completed": 0, "failed": 0, "cancelled": 0} | {counted: 1}
        assert (status.runs, status.running, status.last_run, status.last_at) == (1, [], run_id, FIRST)
        assert ("no paper" in status.last_error) == (how == "fails")
        assert status.next_at == FIRST + timedelta(days=1)


async def test_interval_begins_at_its_grid_and_a_run_at_once_is_triggered() -> None:
    """Elapsed time from `start_at` or 1970, so that creating a schedule anew moves nothing."""
    async with testing.app(job, start=datetime(2027, 1, 1, 1, tzinfo=UTC)) as app:
        schedules = app.client.schedules
        await schedules.create("six", job.call("well"), ScheduleSpec(every="6h"))
        assert (await schedules.get("six")).next_at == datetime(2027, 1, 1, 6, tzinfo=UTC)
        run = await schedules.trigger("six")

        assert run is not None
        assert await run.result() == "well"
        assert (await schedules.get("six")).next_at == datetime(2027, 1, 1, 6, tzinfo=UTC)


async def test_times_lie_within_start_and_end() -> None:
    """The start counts, the end does not; behind it nothing is waited for."""
    spec = ScheduleSpec(cron="0 9 * * *", start_at=FIRST + timedelta(days=1), end_at=FIRST + timedelta(days=3))
    async with testing.app(job) as app:
        await app.client.schedules.create("some", job.call("well"), spec)
        await app.skip("10d")

        status = await app.client.schedules.get("some")
        assert (status.runs, status.last_at, status.next_at) == (2, FIRST + timedelta(days=2), None)


async def test_schedules_are_listed_with_all_that_there_is_to_filter_by() -> None:
    """Two of one workflow are two; one that is paused starts nothing, one that is deleted is not listed."""
    async with testing.app(job, report) as app:
        schedules = app.client.schedules
        await schedules.create("one", job.call("well"), DAILY)
        await schedules.create("two", job.call("well"), DAILY, is_paused=True)
        await schedules.create("three", report.call(), DAILY)
        await schedules.create("four", report.call(), DAILY)
        await schedules.delete("four")
        await app.skip("1d")

        found = [one async for one in schedules.list()]
        assert {(one.schedule_id, one.workflow, one.status) for one in found} == {
            ("one", "job", "active"),
            ("two", "job", "paused"),
            ("three", "report", "active"),
        }
        assert {one.schedule_id: one.runs for one in found} == {"one": 1, "two": 0, "three": 1}


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"])
async def test_policy_is_kept_as_it_was_given_and_changed_by_an_update(overlap: Overlap) -> None:
    """As a word, in code, on the wire and in the log."""
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("daily", job.call("well"), DAILY, overlap=overlap)
        assert (await schedules.get("daily")).overlap == overlap
        await schedules.update("daily", overlap="skip" if overlap != "skip" else "allow_all")
        assert (await schedules.get("daily")).overlap != overlap


BAD_SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"cron": "61 * * * *"},
    {"cron": "* * *"},
    {"every": "-1h"},
    {"cron": "@daily", "timezone": "X"},
)


async def test_bad_definitions_are_refused_before_anything_is_sent() -> None:
    """Not by a worker, at night, when the first time comes."""
    async with testing.app(job) as app:
        for fields in BAD_SPECS:
            with pytest.raises(DefinitionError):
                ScheduleSpec(**fields)
        wrong: Overlap = "queue"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        with pytest.raises(DefinitionError, match="use one of skip"):
            await app.client.schedules.create("daily", job.call("well"), DAILY, overlap=wrong)
        await app.skip("2s")

        assert [one async for one in app.client.schedules.list()] == []
        assert app.twin.records() == []


async def test_creators_that_race_make_one_schedule() -> None:
    """Several processes may create what they need at their start."""
    async with testing.app(job) as app:
        creating = (app.client.schedules.create("daily", job.call("well"), DAILY) for _ in range(5))
        await asyncio.gather(*creating)
        await app.skip("1d")

        assert (await app.client.schedules.get("daily")).runs == 1
        assert len(app.calls(note)) == 1
