"""Limits and fallbacks of steps in workflows with `durable=False`: what is said of a step holds there, too."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors import StepFailed, attempt, complete_later, step, workflow
from jetrun.client import RunFailed, testing


@step(max_retries=50, retry_delay="10s")
async def failing(x: int) -> int:
    raise OSError("no luck")


@step(schedule_to_close="1m")
async def slow(x: int) -> int:
    await asyncio.sleep(3600)
    return x


@step(heartbeat_timeout="10s", max_retries=1, retry_delay="1s")
async def silent_once() -> int:
    attempt().heartbeat("here")
    if attempt().number == 1:
        await asyncio.sleep(3600)
    return attempt().number


@step
async def double(x: int) -> int:
    return 2 * x


@step
async def signed() -> int:
    complete_later()


@workflow(durable=False)
async def limits_in_place() -> list[object]:
    found: list[object] = [
        await failing.options(retry_for="25s", on_failure=double)(4),
        await failing.options(max_retries=0, on_failure=-1)(4),
        await failing.options(retry_for="25s", on_failure=lambda failed: failed.attempts)(4),
        await silent_once(),
    ]
    try:
        await slow(1)
    except StepFailed as failed:
        found += [failed.error.code, failed.attempts]
    return found


@workflow(durable=False)
async def signing_in_place() -> int:
    return await signed()


def test_limits_and_fallbacks_hold_in_place() -> None:
    assert testing.run(limits_in_place.call()) == [8, -1, 3, 2, "schedule_to_close", 1]


def test_completion_from_outside_needs_a_log() -> None:
    with pytest.raises(RunFailed, match="completed later, but workflow 'signing_in_place' has durable=False"):
        testing.run(signing_in_place.call())
