"""Schedules: declared in code, started by themselves, steered from outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio

from examples.metrics import collect, report
from jetrun.actors.schedule import SCHEDULE_WORKFLOW
from jetrun.client import Client, ScheduleSpec
from support.story import wait_run_events

WAIT_S = 20.0


async def test_metrics_are_collected_by_themselves(client: Client) -> None:
    await wait_run_events(client, SCHEDULE_WORKFLOW, "auto-collect", "child.completed", 2)
    status = await client.schedules.get("auto-collect")

    assert status.completed >= 2
    assert status.last_at is not None
    assert await client.get(collect, status.last_run).result(timeout=WAIT_S) >= 1
    await client.schedules.pause("auto-collect")


async def test_a_clean_up_is_triggered_by_hand(client: Client) -> None:
    with anyio.fail_after(WAIT_S):
        await wait_run_events(client, SCHEDULE_WORKFLOW, "auto-clean_up", "run.started")
    run = await client.schedules.trigger("auto-clean_up")

    assert run is not None
    assert await run.result(timeout=WAIT_S) >= 0


async def test_reports_of_yesterday_are_made_up_for(client: Client) -> None:
    spec = ScheduleSpec(cron="0 */6 * * *")
    await client.schedules.create("reports", report.call("eu"), spec)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    runs = await client.schedules.backfill("reports", today - timedelta(days=1), today)
    await wait_run_events(client, SCHEDULE_WORKFLOW, "reports", "child.completed", 4)

    results = [await client.get(report, run).result(timeout=WAIT_S) for run in runs]
    day = today - timedelta(days=1)
    assert results == [f"eu at {day:%Y-%m-%d} {hour}:00" for hour in ("00", "06", "12", "18")]
    await client.schedules.delete("reports")
