"""Ended runs: kept whole, then their terminal record, then forgotten (R15)."""

from __future__ import annotations

import anyio
import pytest

from jetrun.actors import workflow
from jetrun.actors.names import RunKey
from jetrun.actors.registry import Registry
from jetrun.client import Client, RunConflict
from jetrun.streams.janitor import Janitor
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App
from support.engine import running_engine

pytestmark = pytest.mark.anyio


@workflow
async def greet(name: str) -> str:
    """Ends at once."""
    return f"hello {name}"


def janitor(broker: JetStream, app: App, *, retention_us: int, forget_after_us: int) -> Janitor:
    return Janitor(
        broker, app, partitions=16, is_on_duty=lambda: True, retention_us=retention_us, forget_after_us=forget_after_us
    )


async def wait_indexed(broker: JetStream, app: App, count: int) -> None:
    """Waits until that many ended runs are in the index: the entry follows the terminal record."""
    left = count
    with anyio.fail_after(10):
        async for _ in broker.scan(app.index, app.index_of("ended", RunKey("*", "*")), follow=True):
            left -= 1
            if not left:
                return


async def test_a_cut_log_still_answers_and_keeps_its_id_taken(nats_url: str, app: App) -> None:
    """Within `forget_after` an id starts one run, though only the terminal record is left."""
    async with (
        running_engine(nats_url, app, Registry.of(greet)),
        await Client.connect(nats_url, app=app.name) as client,
    ):
        broker = await JetStream.connect(nats_url, name="janitor")
        run = await client.start(greet.call("ann"), run_id="r-1")
        assert await run.result() == "hello ann"
        await client.start(greet.call("ben"), run_id="r-2")
        await client.get(greet, "r-2").result()

        await wait_indexed(broker, app, 2)

        cleaned = await janitor(broker, app, retention_us=0, forget_after_us=10**15).clean()
        again = await janitor(broker, app, retention_us=0, forget_after_us=10**15).clean()

        assert (cleaned, again) == (2, 0)
        assert (await broker.stream_state(app.log)).messages == 2
        assert await client.get(greet, "r-1").result() == "hello ann"
        same = await client.start(greet.call("ann"), run_id="r-1")
        assert await same.result() == "hello ann"
        with pytest.raises(RunConflict):
            await client.start(greet.call("eve"), run_id="r-1")
        assert (await broker.stream_state(app.log)).messages == 2
        await broker.close()


async def test_a_forgotten_run_leaves_nothing(nats_url: str, app: App) -> None:
    """After `forget_after` log and index entry are gone, and the id may start a new run."""
    async with (
        running_engine(nats_url, app, Registry.of(greet)),
        await Client.connect(nats_url, app=app.name) as client,
    ):
        broker = await JetStream.connect(nats_url, name="janitor")
        await (await client.start(greet.call("ann"), run_id="r-1")).result()
        await wait_indexed(broker, app, 1)

        assert await janitor(broker, app, retention_us=0, forget_after_us=0).clean() == 1

        assert (await broker.stream_state(app.log)).messages == 0
        assert (await broker.stream_state(app.index)).messages == 0
        run = await client.start(greet.call("ben"), run_id="r-1")
        assert await run.result() == "hello ben"
        await broker.close()
