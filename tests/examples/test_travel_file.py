"""The context of a journey: what each step saw of it, also after a sleep and after crashes."""

from __future__ import annotations

from examples.travel_file import TravelFile, journey
from jetrun.client import Client, testing
from support.story import kinds

LETTERS = [
    "j-1: ann, your journey is asked, seat open",
    "j-1: ann, your journey is booked, seat 12A to Oslo",
    "j-1: ann, your journey is done, seat 12A to Oslo",
]


async def test_each_step_sees_the_file_as_it_was_then(client: Client) -> None:
    """And so does the reader of the log."""
    run = await client.start(journey.call(TravelFile("ann", "Oslo"), until_departure="300ms"), run_id="j-1")

    assert await run.result() == LETTERS
    events = await run.events()
    files = [event.data["args"][0] for event in events if event.kind == "step.scheduled"]
    assert [file["status"] for file in files] == ["asked", "asked", "booked", "done"]
    assert kinds(events).count("timer.fired") == 1


def test_a_replay_sees_the_same() -> None:
    testing.survives_every_crash(journey.call(TravelFile("ann", "Oslo")))
