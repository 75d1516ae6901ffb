"""Schedules through the client, with real workers on virtual time: days in milliseconds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jetrun.actors import Overlap, ScheduleSpec, call, info, sleep, step, workflow
from jetrun.actors.errors import DefinitionError, InvalidValue, RunConflict, RunEnded, RunNotFound
from jetrun.actors.limits import BACKFILL_TIMES_MAX, SCHEDULE_COMMANDS_MAX
from jetrun.actors.schedule import Schedule, ScheduledCall, ScheduleState
from jetrun.actors.schedule_run import run_schedule
from jetrun.client import testing
from jetrun.client.testing import AppUnderTest

NEW_YORK = ZoneInfo("America/New_York")
DAILY = ScheduleSpec(cron="0 9 * * *")
EVERY_6H = ScheduleSpec(every="6h")


@step
async def note(scheduled_at: str) -> None: ...


@workflow
async def job(length_s: float = 0) -> None:
    at = info().scheduled_at
    await note(at.isoformat() if at is not None else "")
    await sleep(length_s)


@workflow(durable=False)
async def quick() -> str:
    return str(info().scheduled_at)


@workflow(schedule=DAILY)
async def declared() -> None: ...


def times(app: AppUnderTest) -> list[datetime]:
    """The nominal times that runs of `job` have read, in the order of their starts."""
    return [datetime.fromisoformat(call.args[0]) for call in app.calls(note)]


async def test_thirty_days_of_a_daily_job() -> None:
    async with testing.app(job) as app:
        await app.client.schedules.create("daily", job.call(), DAILY)
        await app.skip("30d")

        assert times(app) == [datetime(2027, 1, 1, 9, tzinfo=UTC) + timedelta(days=day) for day in range(30)]
        status = await app.client.schedules.get("daily")
        assert (status.status, status.runs, status.completed, status.missed) == ("active", 30, 30, 0)
        assert status.next_times(2) == [datetime(2027, 1, 31, 9, tzinfo=UTC), datetime(2027, 2, 1, 9, tzinfo=UTC)]


@pytest.mark.parametrize("around", [datetime(2027, 3, 14, tzinfo=UTC), datetime(2027, 11, 7, tzinfo=UTC)])
async def test_nine_in_new_york_is_nine_in_new_york_also_when_the_clocks_change(around: datetime) -> None:
    async with testing.app(job, start=around - timedelta(days=3)) as app:
        await app.client.schedules.create("open", job.call(), ScheduleSpec(cron="0 9 * * *", timezone=str(NEW_YORK)))
        await app.skip("6d")

        shown = [moment.astimezone(NEW_YORK) for moment in times(app)]
        assert [moment.hour for moment in shown] == [9] * 6
        assert len({moment.date() for moment in shown}) == 6
        assert len({moment.utcoffset() for moment in shown}) == 2


@pytest.mark.parametrize("around", [datetime(2027, 3, 14, tzinfo=UTC), datetime(2027, 11, 7, tzinfo=UTC)])
async def test_a_time_that_is_skipped_or_comes_twice_has_one_run(around: datetime) -> None:
    """Half past two does not exist on 14 March, half past one comes twice on 7 November."""
    spec = ScheduleSpec(cron="30 1,2 * * *", timezone=str(NEW_YORK))
    async with testing.app(job, start=around - timedelta(days=1)) as app:
        await app.client.schedules.create("night", job.call(), spec)
        await app.skip("3d")

        days = [moment.astimezone(NEW_YORK).date() for moment in times(app)]
        assert len(times(app)) == len(set(times(app)))
        assert all(days.count(day) == 2 for day in set(days))


@pytest.mark.parametrize(
    ("overlap", "hours"),
    [
        ("skip", [6, 24, 42]),
        ("buffer_one", [6, 12, 24]),
        ("buffer_all", [6, 12, 18]),
        ("allow_all", [6, 12, 18, 24, 30, 36, 42, 48]),
    ],
)
async def test_each_overlap_policy_with_runs_that_take_too_long(overlap: Overlap, hours: list[int]) -> None:
    async with testing.app(job) as app:
        length_s = 14 * 3600
        await app.client.schedules.create("long", job.call(length_s), EVERY_6H, overlap=overlap)
        await app.skip("48h")

        zero = datetime(2027, 1, 1, tzinfo=UTC)
        begun = [round((moment - zero) / timedelta(hours=1)) for moment in times(app)]
        assert begun[: len(hours)] == hours


async def test_cancel_other_never_has_two_at_once() -> None:
    async with testing.app(job) as app:
        await app.client.schedules.create("long", job.call(1e6), EVERY_6H, overlap="cancel_other")
        await app.skip("25h")

        status = await app.client.schedules.get("long")
        assert (status.runs, status.cancelled, len(status.running)) == (4, 3, 1)


async def test_a_schedule_is_paused_and_goes_on() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("daily", job.call(), DAILY, is_paused=True)
        await app.skip("3d")
        assert (await schedules.get("daily")).status == "paused"
        assert (await schedules.get("daily")).next_times() == []
        await schedules.resume("daily")
        await app.skip("2d")
        await schedules.pause("daily")
        await app.skip("2d")

        assert [moment.day for moment in times(app)] == [4, 5]


async def test_a_schedule_is_created_once() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        for _ in range(3):
            await schedules.create("daily", job.call(), DAILY)
        with pytest.raises(RunConflict, match="there with another definition"):
            await schedules.create("daily", job.call(1), DAILY)
        await schedules.update("daily", call=job.call(1))
        await schedules.create("daily", job.call(1), DAILY)

        await app.skip("2s")  # the index has it

        assert [status.schedule_id async for status in schedules.list()] == ["daily"]


async def test_what_an_update_leaves_out_stays() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("one", job.call(7), DAILY, overlap="allow_all")
        await schedules.update("one", spec=EVERY_6H)
        status = await schedules.get("one")
        with pytest.raises(DefinitionError, match="an update of nothing"):
            await schedules.update("one")
        with pytest.raises(DefinitionError, match="too short"):
            await schedules.update("one", catch_up="1s")

        assert (status.spec, status.overlap, bytes(status.args)) == (EVERY_6H, "allow_all", b"[7]")


async def test_a_trigger_gives_its_run() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("daily", job.call(60), DAILY)
        first = await schedules.trigger("daily", id="mine")
        again = await schedules.trigger("daily", id="mine")
        skipped = await schedules.trigger("daily")
        beside = await schedules.trigger("daily", overlap="allow_all")
        assert first is not None
        assert again is not None
        assert beside is not None
        await first.result()

        assert first.run_id == again.run_id != beside.run_id
        assert skipped is None
        assert (await schedules.get("daily")).runs == 2
        assert times(app)[0] == datetime(2027, 1, 1, tzinfo=UTC)


async def test_a_backfill_runs_each_time_once_and_in_order() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("six", job.call(60), EVERY_6H)
        start = app.now() - timedelta(days=1)
        first = await schedules.backfill("six", start, app.now() - timedelta(hours=12))
        await app.skip("10m")
        second = await schedules.backfill("six", start, app.now())
        await app.skip("10m")

        assert first == [f"six-20261231T{hour}0000Z" for hour in ("00", "06")]
        assert second == [f"six-20261231T{hour}0000Z" for hour in ("00", "06", "12", "18")] + ["six-20270101T000000Z"]
        assert times(app) == sorted(times(app))
        assert len(times(app)) == 5
        assert [letter async for letter in app.client.dead()] == []


async def test_a_backfill_that_makes_no_sense_is_refused() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("six", job.call(), EVERY_6H)
        now, day = app.now(), timedelta(days=1)
        for start, end, reason in (
            (now, now - day, "empty"),
            (now - day, now + day, "future"),
            (now - BACKFILL_TIMES_MAX * day, now, "piece by piece"),
        ):
            with pytest.raises(InvalidValue, match=reason):
                await schedules.backfill("six", start, end)
        assert list(await schedules.backfill("six", now - day / 6, now - day / 8)) == []


async def test_a_deleted_schedule_keeps_its_history() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("daily", job.call(), DAILY)
        await app.skip("2d")
        await schedules.delete("daily")
        await schedules.delete("daily")
        await app.skip("2d")

        status = await schedules.get("daily")
        assert (status.status, status.runs, status.next_at) == ("deleted", 2, None)
        assert [one.schedule_id async for one in schedules.list()] == []
        assert [one.schedule_id async for one in schedules.list(with_deleted=True)] == ["daily"]
        for attempt in (schedules.pause("daily"), schedules.create("daily", job.call(), DAILY)):
            with pytest.raises(RunEnded, match="is deleted"):
                await attempt


async def test_a_schedule_that_is_not_there_is_named() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        for attempt in (schedules.get("nope"), schedules.pause("nope"), schedules.delete("nope")):
            with pytest.raises(RunNotFound, match="no schedule 'nope'"):
                await attempt


async def test_a_workflow_that_nobody_knows_counts_as_failed() -> None:
    async with testing.app(job) as app:
        await app.client.schedules.create("odd", call("nobody"), DAILY)
        await app.skip("1d")

        status = await app.client.schedules.get("odd")
        assert (status.runs, status.failed) == (1, 1)
        assert "nobody" in status.last_error


async def test_a_workflow_without_a_log_of_steps_knows_its_time_too() -> None:
    async with testing.app(quick) as app:
        await app.client.schedules.create("q", quick.call(), DAILY)
        await app.skip("10h")

        assert await app.client.get(quick, "q-20270101T090000Z").result() == "2027-01-01 09:00:00+00:00"


async def test_declared_schedules_follow_the_code_and_the_operator() -> None:
    """Changed code changes the schedule; a pause and a delete of an operator's last."""
    async with testing.app(declared, job) as app:
        schedules = app.client.schedules
        assert await schedules.declare(declared) == "created"
        await app.until_settled()
        assert await schedules.declare(declared) == "unchanged"
        await schedules.pause("auto-declared")
        changed = workflow(name="declared", schedule=EVERY_6H)(declared.function)
        assert await schedules.declare(changed) == "updated"
        await app.until_settled()
        assert await schedules.declare(changed) == "unchanged"
        status = await schedules.get("auto-declared")
        assert (status.status, status.spec) == ("paused", EVERY_6H)
        await schedules.delete("auto-declared")
        assert await schedules.declare(declared) == "deleted"
        with pytest.raises(DefinitionError, match="has no schedule"):
            await schedules.declare(job)


async def test_a_crash_of_the_actor_worker_repeats_no_time() -> None:
    async with testing.app(job) as app:
        await app.client.schedules.create("six", job.call(), EVERY_6H)
        for _ in range(8):
            await app.skip("5h30m")
            app.crash_actor_worker()

        assert len(times(app)) == len(set(times(app))) == 44 // 6


@pytest.mark.slow
async def test_a_log_does_not_grow_with_the_times_and_nothing_is_lost_between_its_links() -> None:
    async with testing.app(job) as app:
        schedules = app.client.schedules
        await schedules.create("each", job.call(0.3), ScheduleSpec(every="1s"), overlap="allow_all")
        first = await schedules.trigger("each", id="mine")
        for _ in range(4):
            await app.skip("5m")
            app.crash_actor_worker()
        await app.skip("1s")
        status = await schedules.get("each")
        again = await schedules.trigger("each", id="other")

        assert first is not None
        assert again is not None
        assert (status.runs, status.completed + len(status.running), status.missed) == (1202, 1202, 0)
        assert len(times(app)) == len(set(times(app))) + 1 == 1203, "the second trigger stands for the same instant"
        chain = await app.client.get("jetrun-schedule/each").chain()
        assert len(chain) == 3
        assert chain[0].commands < SCHEDULE_COMMANDS_MAX + 10


@workflow
async def two_days(state: ScheduleState) -> int:
    """A schedule that ends by itself, for the sweep."""
    keeping = asyncio.ensure_future(run_schedule(state))
    await sleep("26h")
    keeping.cancel()
    return state.completed


@pytest.mark.slow
def test_a_schedule_survives_every_crash() -> None:
    schedule = Schedule(spec=ScheduleSpec(every="6h", jitter="1h"), overlap="buffer_one")
    state = ScheduleState(call=ScheduledCall(workflow="job"), schedule=schedule)

    sweep = testing.survives_every_crash(two_days.call(state), two_days, job)

    assert sweep.crashes > 20
