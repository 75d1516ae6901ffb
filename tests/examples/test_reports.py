"""The periodic report."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from examples.reports import weekly_report
from jetrun.client import Client
from support.story import scheduled


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
