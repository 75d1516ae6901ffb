"""Waiting inside of steps."""

from __future__ import annotations

from examples.pacing import Sent, newsletter
from jetrun.client import Client
from support.story import kinds

PAUSES_US = 150_000 - 1_000
"""Of each step; records bear wall time, which may be set back a little meanwhile."""


async def test_steps_wait_in_place_but_for_the_one_that_is_sent_away(client: Client) -> None:
    """No timer of the run: pauses within a step leave no trace but its duration; the retry is a delayed message."""
    run = await client.start(newsletter.call(["ann", "bob", "eve"]), run_id="n-1")

    assert await run.result() == Sent("https://docs.example/news.pdf", looks=3, letters=3)
    events = await run.events()
    assert kinds(events).count("timer.started") == 0
    assert kinds(events).count("step.retrying") == 1
    render, _, upload, letters = [event for event in events if event.kind in ("step.completed", "step.failed")]
    assert render.data["duration_us"] >= PAUSES_US
    assert upload.at_us >= next(event.data["due_at_us"] for event in events if event.kind == "step.retrying")
    assert letters.data["duration_us"] >= PAUSES_US
