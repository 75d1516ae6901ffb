"""Updates and queries on a real server: what crosses processes, connections and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from jetrun.actors import define_query, define_update, hook, set_status, step, workflow
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.registry import Registry
from jetrun.client import Client, QueryFailed, RunHandle, RunNotFound, UpdateFailed, UpdateRefused
from jetrun.streams.actor_worker import ActorOptions
from jetrun.streams.jetstream import JetStream
from jetrun.streams.ports import Outgoing
from jetrun.streams.provision import provision
from jetrun.streams.subjects import App
from support.engine import running_client, running_engine
from support.nats import delete_streams

pytestmark = pytest.mark.slow

seen = define_query("seen", returns=list[str])
note = define_update("note", str, returns=int)
slow_note = define_update("slow_note", str, returns=int)
stuck_note = define_update("stuck_note", returns=int)
spin = define_query("spin", returns=int)


@step
async def length(text: str) -> int:
    return len(text)


@workflow
async def notebook(name: str) -> list[str]:
    notes: list[str] = []

    @seen.handler
    def tell() -> list[str]:
        return notes

    @spin.handler
    def turn() -> int:
        while True:
            pass

    @note.validator
    def check(text: str) -> None:
        if not text:
            raise ValueError("an empty note")

    @note.handler
    def take(text: str) -> int:
        notes.append(text)
        set_status("notes", len(notes))
        return len(notes)

    @slow_note.handler
    async def take_slowly(text: str) -> int:
        notes.append(f"{text} of {await length(text)}")
        return len(notes)

    @stuck_note.handler
    async def take_never() -> int:
        await asyncio.Event().wait()
        return 0

    await hook("close")
    return notes


def registry() -> Registry:
    made = Registry(workflows={}, steps={})
    made.add(notebook)
    made.add(length)
    return made


@pytest.fixture
async def client(nats_url: str, app: App) -> AsyncIterator[Client]:
    async with running_client(nats_url, app, registry()) as client:
        yield client


async def started(client: Client, run_id: str = "n-1") -> RunHandle[list[str]]:
    return await client.start(notebook.call("ann"), run_id=run_id)


async def test_many_updates_at_once_are_each_applied_once(client: Client) -> None:
    run = await started(client)

    answers = await asyncio.gather(*(run.update(note.call(f"note {n}")) for n in range(50)))

    assert sorted(answers) == list(range(1, 51))
    assert len(await run.query(seen)) == 50
    assert (await run.status()).values == {"notes": 50}


async def test_a_repeat_under_the_same_id_has_the_same_answer(client: Client, nats_url: str) -> None:
    """By another client, too: the answer is in the log, not in anybody's memory."""
    run = await started(client)
    first = await run.update(slow_note.call("one"), id="u-1")
    await run.update(note.call("two"))

    async with await Client.connect(nats_url, app=client.app) as other:
        assert await other.get(notebook, "n-1").update(slow_note.call("one"), id="u-1") == first
    assert await run.query(seen) == ["one of 3", "two"]


async def test_large_arguments_and_answers(client: Client) -> None:
    echo = define_query("seen", returns=list[str])
    run = await started(client)
    text = "x" * (VALUE_INLINE_BYTES_MAX + 1)

    assert await run.update(note.call(text)) == 1
    with pytest.raises(QueryFailed) as caught:
        await run.query(echo)
    assert caught.value.error.code == "size"


async def test_refusals_and_the_end(client: Client) -> None:
    run = await started(client)

    with pytest.raises(ValueError, match="an empty note") as refused:
        await run.update(note.call(""))
    assert isinstance(refused.value, UpdateRefused)
    await run.pause()
    waiting = asyncio.ensure_future(run.update(note.call("late")))
    await wait_mail(run, "message.kept")
    await run.terminate(wait=True)
    assert await waiting == 1  # it came before the end
    other = await started(client, "n-2")
    stuck = asyncio.ensure_future(other.update(stuck_note.call()))
    await wait_mail(other, "update.received")
    await other.terminate(wait=True)
    with pytest.raises(UpdateFailed) as ended:
        await stuck
    assert ended.value.error.code == "ended"


async def wait_mail(run: RunHandle[Any], kind: str) -> None:
    async for event in run.tail():
        if event.kind == kind:
            return


async def test_updates_and_queries_of_other_programs(client: Client, nats_url: str, app: App) -> None:
    """The wire forms of docs/messages.md."""
    await started(client)
    broker = await JetStream.connect(nats_url, name="bare")
    heard: asyncio.Queue[Any] = asyncio.Queue()
    await broker.listen(
        f"wf.{app.name}.done.notebook.n-1", lambda _s, raw, _r: heard.put_nowait(msgspec.json.decode(raw))
    )

    ack = await broker.publish(
        Outgoing(f"wf.{app.name}.run.notebook.n-1.update.note", b'{"id":"u-1","args":["hello"]}')
    )

    assert ack.code == 0
    assert await heard.get() == {"workflow": "notebook", "run": "n-1", "status": "answered", "result": 1, "id": "u-1"}
    await broker.publish(Outgoing(f"wf.{app.name}.run.notebook.n-1.update.nope", b'{"id":"u-2"}'))
    refused = await heard.get()
    assert (refused["status"], refused["id"], refused["error"]["code"]) == ("refused", "u-2", "unknown_update")
    raw = await broker.request(f"wf.{app.name}.ask.notebook.n-1.query.seen", b"", timeout_s=5)
    assert raw == b'{"result":["hello"]}'
    raw = await broker.request(f"wf.{app.name}.ask.notebook.n-1.answer", b'{"id":"u-1"}', timeout_s=5)
    assert raw is not None
    assert msgspec.json.decode(raw)["result"] == 1
    await broker.close()


async def test_nobody_answers(nats_url: str, app: App) -> None:
    broker = await JetStream.connect(nats_url, name="provision")
    await provision(broker, app, queues=["default"])
    async with await Client.connect(nats_url, app=app.name) as client:
        with pytest.raises(QueryFailed, match=r"no actor worker has answered within 0\.5 s") as caught:
            await client.get(notebook, "n-1").query(seen, timeout=0.5)
        assert caught.value.error.code == "unanswered"
    await delete_streams(nats_url, app)
    await broker.close()


async def test_queries_of_runs_that_are_not_there_or_parked(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, registry()) as client:
        run = await started(client)
        await run.update(note.call("one"))
        with pytest.raises(RunNotFound):
            await client.get(notebook, "n-9").query(seen)
    changed = Registry(workflows={}, steps={})

    @workflow(name="notebook")
    async def other(name: str) -> None:
        await hook("something else")

    changed.add(other)
    changed.add(length)
    async with running_client(nats_url, app, changed) as client:
        with pytest.raises(QueryFailed) as caught:
            await client.get("notebook", "n-1").query(seen)
        assert caught.value.error.code == "parked"
        assert "the log holds" in str(caught.value)


async def test_a_query_that_holds_the_loop_is_interrupted_and_blames_nobody(nats_url: str, app: App) -> None:
    """Other runs wait for a second, and the run itself is as it was: neither parked nor lost."""
    async with (
        running_engine(nats_url, app, registry(), ActorOptions(has_threads=True)),
        await Client.connect(nats_url, app=app.name) as client,
    ):
        run = await started(client)
        await run.update(note.call("one"))

        with pytest.raises(QueryFailed) as caught:
            await run.query(spin)

        assert caught.value.error.code == "blocked"
        assert await run.update(note.call("two")) == 2
        assert (await run.status()).status == "running"
