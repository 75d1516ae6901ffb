"""The periodic report."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from examples.reports import standing_report, weekly_report
from jetrun.client import Client
from support.story import scheduled, wait_run_events


@pytest.mark.slow
async def test_reports_follow_each_other_without_gap_or_drift(client: Client) -> None:
    """Each report begins where the last one ended, at whole weeks after the start, and none is made early."""
    week = timedelta(milliseconds=400)
    run = await client.start(weekly_report.call("north", weeks=3, week=week), run_id="north")

    reports = await run.result()
    assert [report.until - report.since for report in reports] == [week] * 3
    assert all(earlier.until == later.since for earlier, later in pairwise(reports))
    assert all(report.made_at >= report.until for report in reports)
    assert scheduled(await run.events()) == ["count_sales", "send_report"] * 3


async def test_standing_report_goes_on_link_by_link(client: Client) -> None:
    """Each link holds one report, and begins where the one before ended."""
    run = await client.start(standing_report.call("south", week=timedelta(milliseconds=300)), run_id="south")
    await wait_run_events(client, "standing_report", "south", "run.continued", 3)

    assert await run.cancel(wait=True) == "cancelled"
    events = await run.events()
    reports = [event.data["args"][1] for event in events if event.data.get("name") == "send_report"]
    assert all(earlier["until"] == later["since"] for earlier, later in pairwise(reports))
    assert [link.status for link in await run.chain()][:3] == ["continued"] * 3
