"""The long import, and the kill of its step worker."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from examples.bulk_import import importing
from jetrun.client import Client
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App
from support.ack_wait import shorten_ack_wait
from support.processes import Child, Processes

ROWS = 600


async def test_file_is_imported(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "rows"
    source.write_text("\n".join(map(str, range(20))))
    run = await client.start(importing.call(str(source), str(tmp_path / "loaded")), run_id="i-1")

    assert await run.result() == 190


@pytest.mark.slow
async def test_import_goes_on_where_the_killed_worker_was(
    nats_url: str, app: App, processes: Processes, tmp_path: Path
) -> None:
    """The details of a heartbeat outlive the worker; what was said in its last second may be done twice."""
    where = ("--url", nats_url, "--app", app.name, "-m", "examples.bulk_import")
    assert await processes.start_wfctl("provision", *where).wait_ended() == 0
    broker = await JetStream.connect(nats_url, name="test")
    await shorten_ack_wait(broker, app, seconds=5.0)
    await broker.close()

    async def begin(kind: str) -> Child:
        worker = processes.start_wfctl("worker", kind, *where)
        await worker.wait_line("^ready: ")
        return worker

    await begin("actors")
    victim = await begin("steps")
    source, target = tmp_path / "rows", tmp_path / "loaded"
    source.write_text("\n".join(map(str, range(ROWS))))
    async with await Client.connect(nats_url, app=app.name) as client:
        run = await client.start(importing.call(str(source), str(target)), run_id="i-2")
        with anyio.fail_after(20):
            while not (target.exists() and target.read_text().count("\n") > ROWS / 2):
                await anyio.sleep(0.02)
        victim.kill()
        await begin("steps")

        with anyio.fail_after(40):
            assert await run.result() == sum(range(ROWS))
    loaded = [line.split() for line in target.read_text().splitlines()]
    by_survivor = [int(row) for pid, row in loaded if pid != str(victim.pid)]
    assert 50 < by_survivor[0] < ROWS
    assert {int(row) for _, row in loaded} == set(range(1, ROWS + 1))
