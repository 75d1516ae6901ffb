"""Workflow code that holds or kills its worker costs its own run alone: it is parked, the worker replaced, and the other
runs end (R16). Real worker processes under their supervisors.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from jetrun.actors import call
from jetrun.actors.errors import RunFailed
from jetrun.client import Client, RunHandle
from jetrun.streams.subjects import App
from support.fleet import Fleet
from support.processes import Child, Processes

pytestmark = pytest.mark.slow

FLOWS = "support.bad_flows"
HEALTHY = 100


class Bench:
    """An app with workers of its own, and a client of it."""

    def __init__(self, processes: Processes, url: str, app: App, client: Client) -> None:
        self.client = client
        self._processes = processes
        self._options = ("--url", url, "--app", app.name, "-m", FLOWS)

    async def provision(self) -> None:
        child = self._processes.start_wfctl("provision", *self._options)
        assert await child.wait_ended() == 0, child.output

    async def actors(self, *options: str) -> Child:
        worker = self._processes.start_wfctl("worker", "actors", *options, *self._options)
        await worker.wait_line("^ready: ")
        return worker

    async def start_healthy(self) -> list[RunHandle[Any]]:
        return list(
            await asyncio.gather(
                *(self.client.start(call("typed", f"o-{n}"), run_id=f"healthy-{n}") for n in range(HEALTHY))
            )
        )

    async def start_bad(self, how: str) -> RunHandle[Any]:
        return await self.client.start(call("misbehaves", how), run_id=re.sub(r"\W", "-", how))


@pytest.fixture
async def bench(processes: Processes, nats_url: str, app: App) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect(nats_url, app=app.name))
        bench = Bench(processes, nats_url, app, client)
        await bench.provision()
        yield bench


async def wait_parked(run: RunHandle[Any], *, timeout_s: float = 30.0) -> tuple[str, str]:
    """Waits until a run is parked; returns code and reason. Nobody is told of a parking, so it is asked for."""
    async with asyncio.timeout(timeout_s):
        while True:
            status = await run.status()
            if status.parked is not None:
                return status.parked.code, status.parked.reason
            await asyncio.sleep(0.05)


async def results(runs: list[RunHandle[Any]]) -> list[object]:
    return list(await asyncio.gather(*(run.result(timeout=30) for run in runs)))


def events(worker: Child, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.lines if f'"event":"{name}"' in line]


EXPECTED = [f"o-{n} 0 " for n in range(HEALTHY)]


async def test_a_workflow_that_never_rests_is_parked_beside_a_hundred_that_end(bench: Bench) -> None:
    """One `while True: pass` would be an outage of the app. The limits are those that are shipped."""
    worker = await bench.actors()
    began = time.monotonic()
    bad = await bench.start_bad("spin")
    healthy = await bench.start_healthy()

    await worker.wait_line('"event":"workflow.blocks"')
    assert await results(healthy) == EXPECTED
    assert await wait_parked(bad) == (
        "blocked",
        "the workflow held the loop until its worker was replaced; change its code, then unpark the run",
    )
    assert 9.9 < time.monotonic() - began < 20
    [report] = events(worker, "workflow.blocks")
    assert report["run"] == "misbehaves/spin"
    assert 2.0 <= report["seconds"] < 4
    assert "in misbehaves" in report["stack"]
    [told] = events(worker, "workflow.blocked")
    assert (told["run"], told["seconds"]) == ("misbehaves/spin", 10.0)
    workers = {line.split()[3] for line in worker.lines if line.startswith("ready: ")}
    assert len(workers) == 2
    assert "Traceback" not in worker.output


async def test_a_workflow_that_holds_pythons_lock_is_parked_too(bench: Bench) -> None:
    """No thread of the worker can run then, its watchdog included: its supervisor hears the silence."""
    worker = await bench.actors("--blocked-warn", "0.3", "--blocked-max", "1.0")
    bad = await bench.start_bad("regex")
    healthy = await bench.start_healthy()

    assert await results(healthy) == EXPECTED
    assert (await wait_parked(bad))[0] == "blocked"
    assert "no sign of life for 6 s while it ran misbehaves/regex: killed, to be replaced" in worker.output
    assert re.search(r"bad_flows.py\", line \d+ in misbehaves", worker.output)


async def test_a_workflow_that_yields_for_ever_is_parked_at_once(bad_fleet: Fleet) -> None:
    """`while True: await sleep(0)` holds the loop as surely, without a second that is spent at one place."""
    async with await Client.connect(bad_fleet.url, app=bad_fleet.app.name) as client:
        bad = await client.start(call("misbehaves", "never_rests"), run_id="never-rests")
        healthy = await client.start(call("typed", "o-1"), run_id="beside-never-rests")

        assert await results([healthy]) == ["o-1 0 "]
        code, reason = await wait_parked(bad)
        await bad.terminate(wait=True)

    assert code == "blocked"
    assert "more than 100000 callbacks without waiting" in reason


@pytest.mark.parametrize(
    ("how", "error"), [("sys.exit", "SystemExit"), ("recursion", "RecursionError"), ("memory", "MemoryError")]
)
async def test_a_workflow_that_raises_what_ends_processes_just_fails(bad_fleet: Fleet, how: str, error: str) -> None:
    """`sys.exit()` in a workflow is its author's mistake, not an order to the worker."""
    async with await Client.connect(bad_fleet.url, app=bad_fleet.app.name) as client:
        run = await client.start(call("misbehaves", how), run_id=f"raises-{error}")

        with pytest.raises(RunFailed, match=error) as caught:
            await run.result(timeout=20)

    assert caught.value.error.type == error
    assert bad_fleet.actors.is_running


@pytest.mark.parametrize("how", ["exit", "raise"])
async def test_a_type_whose_constructor_misbehaves_costs_its_run_alone(bad_fleet: Fleet, how: str) -> None:
    """User code runs wherever JSON becomes a value, also before the workflow has begun."""
    bad = [("second", {"how": how})]
    async with await Client.connect(bad_fleet.url, app=bad_fleet.app.name) as client:
        at_once = await client.start(call("trapped", {"how": how}), run_id=f"trap-{how}")
        later = await client.start(call("trapped", {"how": "fine"}), run_id=f"later-{how}", hooks=bad)
        fine = await client.start(call("trapped", {"how": "a"}), run_id=f"fine-{how}", hooks=[("second", {"how": "b"})])

        assert await fine.result(timeout=10) == "ab"
        for run in (at_once, later):
            code, reason = await wait_parked(run)
            assert code == "error"
            assert "in __post_init__" in reason
            assert await run.terminate(wait=True) == "terminated"
    assert bad_fleet.actors.is_running


async def test_a_workflow_that_kills_its_worker_is_parked_by_the_fourth(bench: Bench, tmp_path: Path) -> None:
    """Each new worker would replay its log, find its message and die of it, and no run of the app would ever end."""
    note = ("--crash-note", str(tmp_path / "note"))
    worker = await bench.actors(*note)
    bad = await bench.client.start(call("misbehaves_later", "os._exit"), run_id="deadly")
    async with asyncio.timeout(10):
        while not (await bad.status()).hooks_open:
            await asyncio.sleep(0.05)
    await bad.hook("go")
    healthy = await bench.start_healthy()

    for _ in range(3):
        assert await worker.wait_ended() == 9
        assert worker.lines[-1] == "actor worker: ended with exit code 9"
        worker = await bench.actors(*note)
    code, reason = await wait_parked(bad)

    assert code == "deadly"
    assert reason == "3 workers died while they ran its code; change its code, then unpark the run"
    assert await results(healthy) == EXPECTED
    assert worker.is_running
