"""Retries: the result, and each failed attempt in the log."""

from __future__ import annotations

from collections import Counter

from examples.retries import Forecast, forecast
from jetrun.client import Client


async def test_each_failure_is_treated_as_its_step_says(client: Client) -> None:
    run = await client.start(forecast.call("oslo"), run_id="f-1")

    assert await run.result() == Forecast(
        celsius=21,
        rain=0.25,
        is_on_map=False,
        misses=["snow_depth: ValueError after 1", "webcam: TimeoutError after 2"],
    )


async def test_every_failed_attempt_is_in_the_log(client: Client) -> None:
    """Failures and retries are recorded with their attempt, and a retry is not early."""
    run = await client.start(forecast.call("bergen"), run_id="f-2")
    await run.result()

    events = await run.events()
    names = {event.n: event.data["name"] for event in events if event.kind == "step.scheduled"}
    failed = Counter(names[event.n] for event in events if event.kind == "step.failed")
    assert failed == {"temperature": 2, "rain": 1, "coordinates": 1, "snow_depth": 1, "webcam": 2}
    retried = [(names[event.n], event.data["attempt"]) for event in events if event.kind == "step.retrying"]
    assert sorted(retried) == [("rain", 2), ("temperature", 2), ("temperature", 3), ("webcam", 2)]
    for retry in (event for event in events if event.kind == "step.retrying"):
        ended = (event for event in events if event.kind in ("step.completed", "step.failed") and event.n == retry.n)
        later = next(event for event in ended if event.data["attempt"] == retry.data["attempt"])
        assert later.at_us >= retry.data["due_at_us"]
