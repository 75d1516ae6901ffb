"""Schedules: metrics are collected every few seconds, a clean-up runs at night and is told apart from late ones by its time.

Try it:
    wfctl dev -m tests.examples.metrics
    wfctl schedules list
    wfctl schedules show auto-collect
    wfctl schedules trigger auto-clean_up
    wfctl start clean_up 30 --run-id by-hand
    wfctl schedules create hourly report '"eu"' --cron '0 * * * *' --timezone Europe/Lisbon --jitter 2m
    wfctl schedules backfill hourly 2026-01-01T00:00:00Z 2026-01-02T00:00:00Z
    wfctl schedules pause auto-collect
"""

from __future__ import annotations

from datetime import datetime, timedelta

from jetrun.actors import Schedule, ScheduleSpec, info, now, step, workflow

SAMPLES: list[str] = []


@step
async def sample(at: str) -> int:
    """Reads the gauges."""
    SAMPLES.append(at)
    return len(SAMPLES)


@step
async def forget_before(day: str) -> int:
    """Deletes old samples."""
    kept = [at for at in SAMPLES if at >= day]
    forgotten = len(SAMPLES) - len(kept)
    SAMPLES[:] = kept
    return forgotten


@workflow(schedule=Schedule(spec=ScheduleSpec(every="2s"), overlap="skip", catch_up="10s"))
async def collect() -> int:
    """Old gauges are of no use: what was missed by more than ten seconds stays so."""
    return await sample(planned().isoformat())


@workflow(schedule=ScheduleSpec(cron="30 3 * * *", timezone="Europe/Lisbon", jitter="10m"))
async def clean_up(days: int = 7) -> int:
    """Counts from the time that the schedule says, not from when it happens to run: a late one does the same."""
    return await forget_before((planned() - timedelta(days=days)).date().isoformat())


@workflow
async def report(region: str) -> str:
    return f"{region} at {planned():%Y-%m-%d %H:%M}"


def planned() -> datetime:
    """The time that this run stands for; started by hand, it is its own."""
    return info().scheduled_at or now()
