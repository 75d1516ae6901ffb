"""Workflows for the tests of schedules, run by real worker processes."""

from __future__ import annotations

import asyncio

from jetrun.actors import Schedule, ScheduleSpec, info, sleep, step, workflow


@step
async def work(length_s: float) -> None:
    await asyncio.sleep(length_s)


@workflow
async def ticked(step_s: float = 0.0, sleep_s: float = 0.0) -> str:
    """What a schedule starts: a step, then a nap; tells the time it stands for."""
    await work(step_s)
    await sleep(sleep_s)
    return str(info().scheduled_at)


@workflow(schedule=Schedule(spec=ScheduleSpec(every="1s"), overlap="allow_all"))
async def second() -> None:
    """Declares its schedule itself."""


@workflow(schedule=ScheduleSpec(cron="0 3 * * *", timezone="Europe/Lisbon"))
async def nightly(path: str = "out") -> str:
    return path
