"""Quick tasks: the result, and a log that holds no step."""

from __future__ import annotations

from examples.quick_tasks import ping, thumbnails
from jetrun.client import Client


async def test_pictures_are_shrunk_at_once(client: Client) -> None:
    run = await client.start(thumbnails.call(["a.jpg", "b.jpg"]), run_id="t-1")

    assert await run.result() == ["a.small.jpg", "b.small.jpg"]


async def test_retries_and_sleep_are_done_in_place(client: Client) -> None:
    """Three tries and a sleep: the log has the start, the one piece of work, and its end."""
    run = await client.start(ping.call("shop.example"), run_id="p-1")
    pong = await run.result()

    assert (pong.host, pong.tries) == ("shop.example", 3)
    kinds = [event.kind for event in await run.events()]
    assert kinds == ["run.started", "step.scheduled", "step.completed", "run.completed"]


async def test_the_same_start_again_is_the_same_run(client: Client) -> None:
    """What holds for runs holds for these."""
    first = await client.start(thumbnails.call(["a.jpg"]), run_id="t-2")
    again = await client.start(thumbnails.call(["a.jpg"]), run_id="t-2")

    assert await first.result() == await again.result()
    assert len(await again.log()) == 2
