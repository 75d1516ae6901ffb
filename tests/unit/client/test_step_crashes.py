"""Steps with limits survive every crash: what was decided about them is decided once."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors import StepFailed, step, workflow
from jetrun.client import testing


@step(max_retries=50, retry_delay="10s")
async def failing(x: int) -> int:
    raise OSError("no luck")


@step
async def slow(x: int) -> int:
    await asyncio.sleep(3600)
    return x


@step
async def double(x: int) -> int:
    return 2 * x


@workflow
async def in_vain(x: int) -> str:
    try:
        await failing.options(schedule_to_close="25s")(x)
    except StepFailed as failed:
        return f"{failed.error.code} {failed.attempts}"
    return ""


@workflow
async def too_slow(x: int) -> str:
    try:
        await slow.options(schedule_to_close="25s")(x)
    except StepFailed as failed:
        return f"{failed.error.code} {failed.attempts} {await double(x)}"
    return ""


@workflow
async def given_up(x: int) -> int:
    return await failing.options(retry_for="25s", on_failure=double)(x)


@workflow
async def in_time(x: int) -> int:
    return await double.options(schedule_to_close="25s", inline=True)(x) + await double.options(retry_for="1h")(x)


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (in_vain.call(1), "schedule_to_close 3"),
        (too_slow.call(1), "schedule_to_close 1 2"),
        (given_up.call(1), 2),
        (in_time.call(1), 4),
    ],
    ids=["retries", "a running attempt", "retry_for and a fallback", "in time"],
)
def test_limits_survive_every_crash(call: testing.AnyCall, result: object) -> None:
    assert testing.run(call) == result
    testing.survives_every_crash(call)
