"""Inline steps beside queued ones: the same promise without the way over a queue (docs/behaviours.md)."""

from __future__ import annotations

import pytest

from jetrun.actors import RetryableError, attempt, step, workflow
from jetrun.client import testing


@step(max_retries=2, retry_delay="10s", jitter=False)
async def fetch(page: int, tenant: str) -> list[int]:
    return [page, len(tenant)]


@step(inline=True, max_retries=2, retry_delay="10s", jitter=False)
def total(numbers: list[int], tenant: str) -> int:
    return sum(numbers) + len(tenant)


@step
async def store(number: int) -> str:
    return f"{number} by {attempt().step}"


@workflow
async def mixed(page: int, tenant: str) -> str:
    numbers = await fetch(page, tenant)
    return await store(await total(numbers, tenant))


def test_step_is_queued_unless_it_says_otherwise() -> None:
    """On the step, or for one call of it."""
    assert (fetch.is_inline, total.is_inline) == (False, True)
    assert fetch.options(inline=True).is_inline
    assert not total.options(inline=False).is_inline


async def test_inline_and_queued_steps_take_each_others_results() -> None:
    """And are told alike: who reads the log sees no difference but the worker's name."""
    async with testing.app(mixed) as app:
        run = await app.client.start(mixed.call(4, "ann"), run_id="m-1")

        assert await run.result() == "10 by store"
        events = await run.events()
        kinds = [event.kind for event in events]
        assert kinds == ["run.started", *["step.scheduled", "step.completed"] * 3, "run.completed"]
        first, second, third = [event.data["worker"] for event in events if event.kind == "step.completed"]
        assert first == third != second
        assert [one.step for one in app.calls()] == ["fetch", "total", "store"]


@pytest.mark.parametrize("inline", [False, True])
async def test_failures_of_both_kinds_are_tried_again_after_their_delays(inline: bool) -> None:
    """A retry is a retry, wherever its first attempt ran."""
    failing, other = (total, fetch) if inline else (fetch, total)
    outcomes = {failing: [OSError("away"), RetryableError("busy", retry_after="1m"), 7 if inline else [7]]}
    async with testing.app(mixed, steps=outcomes) as app:
        began = app.now()
        run = await app.client.start(mixed.call(4, "ann"), run_id="m-1")

        assert (await run.result()).endswith(" by store")
        assert [one.attempt for one in app.calls(failing)] == [1, 2, 3]
        assert [one.attempt for one in app.calls(other)] == [1]
        assert (app.now() - began).total_seconds() == 70
        kinds = [event.kind for event in await run.events()]
        assert (kinds.count("step.failed"), kinds.count("step.retrying"), kinds.count("step.completed")) == (2, 2, 3)


def test_both_kinds_survive_every_crash() -> None:
    """No attempt is lost or done twice where it was recorded."""
    testing.survives_every_crash(mixed.call(4, "ann"))
