"""Plain asyncio in a workflow."""

from __future__ import annotations

from examples.concurrency import Gallery, gallery
from jetrun.client import Client


async def test_pictures_are_scaled_two_at_a_time_and_published_as_they_come(client: Client) -> None:
    run = await client.start(gallery.call(["sea", "hill", "town", "wood"]), run_id="g-1")

    assert await run.result() == Gallery(
        thumbnails=["sea-320", "hill-320", "town-320", "wood-320"],
        published=["wood-320", "town-320", "hill-320", "sea-320"],
    )
    out: set[int] = set()
    most = 0
    for event in await run.events():
        if event.kind == "step.scheduled" and event.data["name"] == "scale":
            out.add(event.n)
        elif event.kind == "step.completed":
            out.discard(event.n)
        most = max(most, len(out))
    assert most == 2
