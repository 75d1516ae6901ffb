"""Cancellation and its clean-up."""

from __future__ import annotations

import pytest

from examples.cancellation import training
from jetrun.client import Client, RunCancelled, RunTerminated
from support.story import kinds, scheduled, wait_event


async def test_cancel_cleans_up(client: Client) -> None:
    """The step of an hour is given up at once, the shielded steps run, the run ends as cancelled."""
    run = await client.start(training.call("cats"), run_id="t-1")
    await wait_event(run, "step.scheduled", "train")
    assert await run.cancel(reason="enough", wait=True) == "cancelled"

    with pytest.raises(RunCancelled, match="enough"):
        await run.result()
    events = await run.events()
    told = kinds(events).index("run.cancel_requested")
    assert scheduled(events[told:]) == ["save_checkpoint", "give_back"]
    assert kinds(events[told:]).count("step.completed") == 2
    assert kinds(events[told:])[-1] == "run.cancelled"


async def test_what_has_ended_stays_as_it_is(client: Client) -> None:
    """A cancel that comes too late says how the run had ended."""
    run = await client.start(training.call("mice", epochs=0), run_id="t-3")
    assert await run.result() == 1.0
    before = await run.events()

    assert await run.cancel(reason="too late") == "completed"
    assert await run.cancel(reason="too late", wait=True) == "completed"
    assert await run.events() == before


async def test_terminate_does_not(client: Client) -> None:
    """For what does not even clean up any more."""
    run = await client.start(training.call("dogs"), run_id="t-2")
    await wait_event(run, "step.scheduled", "train")
    await run.terminate()

    with pytest.raises(RunTerminated):
        await run.result()
    assert scheduled(await run.events()) == ["rent_machine", "train"]
