"""The fan-out over 500 steps."""

from __future__ import annotations

from examples.fan_out import count_primes
from jetrun.client import Client
from support.story import kinds, scheduled


async def test_five_hundred_steps_at_once(client: Client) -> None:
    """All are asked for before the first is done, each has one result, and the sum is right."""
    run = await client.start(count_primes.call(50_000), run_id="p-1")

    assert await run.result() == 5_133
    events = await run.events()
    assert scheduled(events) == ["primes_between"] * 500
    assert kinds(events).count("step.completed") == 500
    assert kinds(events)[:501] == ["run.started"] + ["step.scheduled"] * 500
