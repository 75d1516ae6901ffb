"""The monitor's thousand rounds."""

from __future__ import annotations

import pytest

from examples.monitor import Health, monitor
from jetrun.client import Client
from support.story import kinds, scheduled


@pytest.mark.slow
async def test_thousand_rounds(client: Client) -> None:
    """A run may be long: a step and a sleep in each round, and one alarm per outage."""
    run = await client.start(monitor.call("https://shop.example", pause=0.001), run_id="m-1")

    assert await run.result() == Health(rounds=1_000, failures=20, alarms=[402])
    events = await run.events()
    assert scheduled(events) == ["probe"] * 402 + ["wake_somebody"] + ["probe"] * 598
    assert kinds(events).count("timer.fired") == 1_000
