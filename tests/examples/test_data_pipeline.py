"""Lost workers: `kill -9` of the step worker in the middle of a step."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from examples.data_pipeline import digest, nightly, payout
from jetrun.client import Client
from jetrun.streams.definitions import define
from jetrun.streams.jetstream import JetStream
from support.fleet import Fleet, running_fleet
from support.processes import Processes

ACK_WAIT_S = 3.0

pytestmark = pytest.mark.slow


async def hurry(fleet: Fleet) -> None:
    """Lets the server hand work out again after 3 s of silence; 30 s would do, but a test would wait for them."""
    app = fleet.app
    broker = await JetStream.connect(fleet.url, name="test")
    (queue,) = define(app, queues=["default"], partitions=1).consumers[app.work]
    config = msgspec.structs.replace(queue, ack_wait=int(ACK_WAIT_S * 1e9))
    body = {"stream_name": app.work, "config": config, "action": "update"}
    subject = f"$JS.API.CONSUMER.CREATE.{app.work}.{queue.durable_name}.{queue.filter_subject}"
    answer = await broker.request(subject, msgspec.json.encode(body), timeout_s=5)
    assert answer is not None
    assert "error" not in msgspec.json.decode(answer), answer
    await broker.close()


async def test_a_killed_step_worker_is_what_each_workflow_makes_of_it(nats_url: str, processes: Processes) -> None:
    """One kill, three runs: the first goes on, the second says what is not known, the third begins again."""
    fleets = running_fleet(nats_url, ["examples.data_pipeline"])
    fleet = await anyio.to_thread.run_sync(fleets.__enter__)
    try:
        await hurry(fleet)
        async with await Client.connect(fleet.url, app=fleet.app.name) as client:
            goes_on = await client.start(nightly.call("sales", 2.0), run_id="n-1")
            is_once = await client.start(payout.call("ann", 2.0), run_id="p-1")
            begins_again = await client.start(digest.call("clicks", 2.0), run_id="d-1")
            await fleet.steps.wait_line(r"^transform \[5, 2, 5\]")
            await fleet.steps.wait_line("^wiring to ann")
            await fleet.steps.wait_line(r"^transform \[6, 2, 5\]")
            fleet.steps.kill()

            second = processes.start_wfctl(
                "worker", "steps", "--url", fleet.url, "--app", fleet.app.name, "-m", "examples.data_pipeline"
            )

            assert await goes_on.result(timeout=30) == [2, 5, 5]
            assert "look whether ann was paid" in await is_once.result(timeout=30)
            assert await begins_again.result(timeout=30) == 3
            for run in (goes_on, is_once, begins_again):
                interrupted = [event for event in await run.events() if event.kind == "step.interrupted"]
                assert [event.data["interruptions"] for event in interrupted] == [1], run
            assert len(await begins_again.log()) == 2
        assert "wiring to ann" not in second.lines
        assert "extract clicks" in second.lines
        assert "extract sales" not in second.lines  # what is recorded is not run again
    finally:
        await anyio.to_thread.run_sync(fleets.__exit__, None, None, None)
