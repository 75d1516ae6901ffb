"""A periodic report: due at fixed times that do not drift, however long a report takes, and made up for after an outage.

Try it:
    wfctl dev -m tests.examples.reports
    wfctl start weekly_report '"north"' --kwargs '{"weeks": 52}' --run-id north
    wfctl start standing_report '"south"' --kwargs '{"week": "PT5S"}' --run-id south
    wfctl runs chain standing_report/south
    wfctl runs cancel standing_report/south
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from jetrun.actors import continue_as_new, info, now, sleep, step, workflow


class Report(msgspec.Struct, frozen=True):
    since: datetime
    until: datetime
    sales: int
    made_at: datetime


@step
async def count_sales(shop: str, since: datetime, until: datetime) -> int:
    """Stands for a query."""
    return len(shop) * 100


@step
async def send_report(shop: str, report: Report) -> None:
    """Stands for a mail."""


@workflow
async def weekly_report(shop: str, weeks: int = 52, week: timedelta = timedelta(days=7)) -> list[Report]:
    """Reports once a week for a year."""
    reports: list[Report] = []
    since = info().started_at
    for _ in range(weeks):
        until = since + week
        await sleep(until)  # a point in time; one that has passed is due at once
        report = Report(since, until, await count_sales(shop, since, until), made_at=now())
        await send_report(shop, report)
        reports.append(report)
        since = until
    return reports


@workflow
async def standing_report(shop: str, since: datetime | None = None, week: timedelta = timedelta(days=7)) -> None:
    """Reports every week until it is cancelled: a link per report, so that the log stays short for ever."""
    since = since or info().started_at
    until = since + week
    await sleep(until)
    await send_report(shop, Report(since, until, await count_sales(shop, since, until), made_at=now()))
    continue_as_new(shop, until, week)
