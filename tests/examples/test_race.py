"""The race between a hook and a timer, won by each."""

from __future__ import annotations

from examples.race import checkout
from jetrun.client import Client
from support.story import kinds


async def test_payment_in_time(client: Client) -> None:
    """The hook wins, and the timer of an hour is closed with the run."""
    run = await client.start(checkout.call("1h"), run_id="c-1")
    await run.hook("paid", {"card": "4242", "cents": 1999})

    assert await run.result() == "1999 cents from card 4242"
    assert "timer.fired" not in kinds(await run.events())


async def test_deadline(client: Client) -> None:
    """The timer wins, and never early."""
    run = await client.start(checkout.call("300ms"), run_id="c-2")

    assert await run.result() == "the basket was given up"
    status = await run.status()
    assert status.ended_at_us - status.started_at_us >= 300_000
