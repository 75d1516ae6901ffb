"""Steps on a real server: inline, limited in time, silent; and that nothing of them is left there."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App
from support import step_flows
from support.engine import running_client
from support.processes import Processes
from support.step_flows import limited, short, speaking
from support.story import kinds

REGISTRY = Registry()
REGISTRY.add_module(step_flows)


async def left(url: str, app: App) -> dict[str, int]:
    """Counts the messages that steps may leave behind."""
    broker = await JetStream.connect(url, name="test")
    try:
        details = await broker.read(app.index, f"wf.{app.name}.index.details.>")
        states = {name: await broker.stream_state(name) for name in (app.work, app.timers)}
        return {"details": len(details), **{name: state.messages for name, state in states.items()}}
    finally:
        await broker.close()


async def wait_nothing_left(url: str, app: App) -> None:
    with anyio.fail_after(10):
        while any((await left(url, app)).values()):
            await anyio.sleep(0.05)


async def test_inline_step_runs_in_a_thread_of_the_actor_worker(nats_url: str, app: App, tmp_path: Path) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        runs = [await client.start(short.call(str(tmp_path / "pids")), run_id=f"r-{n}") for n in range(20)]

        assert {await run.result() for run in runs} == {os.getpid()}
        assert (tmp_path / "pids").read_text().count("\n") == 20
        await wait_nothing_left(nats_url, app)


@pytest.mark.parametrize("seconds", [0.05, 30.0], ids=["failing", "running"])
async def test_step_is_over_at_its_time(nats_url: str, app: App, seconds: float) -> None:
    """Its retry or its work is taken back, what runs is told to stop, and no timer stays."""
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(limited.call(seconds), run_id="r-1")

        assert await run.result() == "schedule_to_close"
        await wait_nothing_left(nats_url, app)


async def test_silent_attempt_is_followed_by_one_that_knows_its_place(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(speaking.call(), run_id="r-1")

        assert await run.result() == 2
        failed = next(event for event in await run.events() if event.kind == "step.failed")
        assert failed.data["error"]["code"] == "heartbeat_timeout"
        assert kinds(await run.events()).count("step.retrying") == 1
        await wait_nothing_left(nats_url, app)


async def test_tail_shows_progress(nats_url: str, app: App, processes: Processes) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        tail = processes.start_wfctl("tail", "speaking/r-1", "--url", nats_url, "--app", app.name)
        await tail.wait_line("waiting for it to begin")
        await client.start(speaking.call(), run_id="r-1")

        await tail.wait_line(r"step\.progress +#1 silent_once 50% half-way")
        assert await tail.wait_ended() == 0


@pytest.mark.slow
async def test_inline_step_of_a_killed_actor_worker_runs_again(
    nats_url: str, app: App, processes: Processes, tmp_path: Path
) -> None:
    """`kill -9` while it runs: the successor finds it owed, and one result is recorded."""
    where = ("--url", nats_url, "--app", app.name, "-m", "support.step_flows")
    assert await processes.start_wfctl("provision", *where).wait_ended() == 0
    workers = [processes.start_wfctl("worker", "actors", *where) for _ in range(2)]
    for worker in workers:
        await worker.wait_line("^ready: ")
    path = tmp_path / "pids"
    async with await Client.connect(nats_url, app=app.name) as client:
        run = await client.start(short.call(str(path), 2.0), run_id="r-1")
        with anyio.fail_after(20):
            while not (path.exists() and path.read_text().endswith("\n")):
                await anyio.sleep(0.02)
        first = int(path.read_text())
        os.kill(first, 9)
        with anyio.fail_after(30):
            second = await run.result()

        assert second != first
        assert path.read_text().split() == [str(first), str(second)]
