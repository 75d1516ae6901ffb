"""Plain asyncio in a workflow."""

from __future__ import annotations

from collections.abc import Iterable

from examples.concurrency import exhibition
from jetrun.client import Client, Event


async def test_pipeline_and_votes(client: Client) -> None:
    """Two pictures are scaled at a time, one is printed at a time, and nobody waits for the last juror."""
    jury = {"ann": 0.3, "bob": 0.0, "eve": 3600.0}
    run = await client.start(exhibition.call(["sea", "hill", "town", "wood"], jury), run_id="x-1")

    shown = await run.result()

    assert sorted(shown.prints) == [f"print of {picture}-1200" for picture in ("hill", "sea", "town", "wood")]
    assert shown.jury == ["bob", "ann"]
    events = await run.events()
    assert [most_at_once(events, step) for step in ("scale", "print_out", "vote")] == [2, 1, 3]


def most_at_once(events: Iterable[Event], step: str) -> int:
    """Tells how many steps of that name were out at the same time."""
    out: set[int] = set()
    most = 0
    for event in events:
        if event.kind == "step.scheduled" and event.data["name"] == step:
            out.add(event.n)
        elif event.kind == "step.completed":
            out.discard(event.n)
        most = max(most, len(out))
    return most
