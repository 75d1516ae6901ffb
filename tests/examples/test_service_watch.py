"""The watch: nothing happens, a restart on approval, a refusal, a cancel in the middle."""

from __future__ import annotations

import pytest

from examples.service_watch import service_watch
from jetrun.client import Client, RunCancelled, RunFailed
from support.story import scheduled, wait_event


async def test_a_service_that_is_down_is_restarted_on_approval(client: Client) -> None:
    """The loop waits for a person and goes on; each round is in the run's story."""
    found = ["up", "flaky down", "up", "done"]
    run = await client.start(service_watch.call(service="db", findings=found, interval=0.05), run_id="db-1")
    await wait_event(run, "hook.opened", "restart")
    await run.hook("restart", {"approved": True, "by": "lin"})

    assert await run.result() == {"verdict": "fine", "looks": 3, "restarts": 1}
    assert (await run.graph()).path == ["look", "look", "approval", "restart", "look", "look", "report"]
    reports = [event for event in await run.events() if event.kind == "step.completed"]
    assert reports[-1].data["result"] == "db: fine, 3 looks, 1 restarts"


async def test_a_refusal_ends_the_watch(client: Client) -> None:
    """`report, fail`: the report is written, then the run fails, with its output."""
    run = await client.start(
        service_watch.call(service="web", findings=["down"], interval=0),
        run_id="web-1",
        hooks=[("restart", {"approved": False, "by": "max"})],
    )

    with pytest.raises(RunFailed, match="task 'approval' went to `fail`") as failed:
        await run.result()
    assert failed.value.output == {"verdict": "left down by max", "looks": 1, "restarts": 0}
    assert scheduled(await run.events())[-1] == "report_watch"


async def test_a_watch_is_cancelled_while_it_waits(client: Client) -> None:
    """A wait is given up at once; the output says how far it came."""
    run = await client.start(service_watch.call(service="api", findings=["up", "up"], interval=3600), run_id="api-1")
    await wait_event(run, "task.delayed")
    await run.cancel(reason="sold")

    with pytest.raises(RunCancelled) as cancelled:
        await run.result()
    assert cancelled.value.output == {"verdict": "fine", "looks": 0, "restarts": 0}
