"""Reading a real server's streams: pages, scans that survive restarts, objects that others can read."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from hashlib import sha256

import msgspec
import nats
import pytest

from jetrun.actors.errors import BrokerError, NotProvisioned
from jetrun.actors.limits import LOAD_PAGE_BYTES, OBJECT_CHUNK_BYTES, SCAN_BATCH
from jetrun.actors.names import RunKey
from jetrun.streams.jetstream import JetStream
from jetrun.streams.ports import Outgoing, Stored
from jetrun.streams.provision import provision
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App, object_stream
from support.nats import delete_streams

KEY = RunKey("order", "o-1")


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStream]:
    broker = await JetStream.connect(nats_url, name="read")
    yield broker
    await broker.close()


@pytest.fixture
async def app(nats_url: str, js: JetStream) -> AsyncIterator[App]:
    app = App(f"t{secrets.token_hex(5)}")
    await provision(js, app, queues=["default"], partitions=1)
    yield app
    await delete_streams(nats_url, app)


async def no_consumers(js: JetStream, stream: str) -> None:
    """Waits until the server has deleted a stream's last consumer."""
    async with asyncio.timeout(5):
        while (await js.requests.get(f"CONSUMER.NAMES.{stream}", None, dict[str, object], what="names"))["total"]:
            await asyncio.sleep(0.01)


async def test_a_log_larger_than_the_servers_silence_is_read_whole(js: JetStream, app: App) -> None:
    """One request would stop at 64 MB without a word; pages do not (R11)."""
    payload = os.urandom(500_000)
    messages = [Outgoing(app.log_of(KEY), payload + str(n).encode()) for n in range(140)]
    for ack in await js.publish_many(messages, timeout_s=30):
        assert ack.code == 0

    found = await js.read(app.log, app.log_of(KEY))

    assert sum(len(stored.payload) for stored in found) > 64 * 1024 * 1024 > 8 * LOAD_PAGE_BYTES
    assert [stored.payload for stored in found] == [message.payload for message in messages]
    assert [stored.seq for stored in found] == list(range(1, 141))


async def test_a_range_of_sequences_is_read_exactly(js: JetStream, app: App) -> None:
    """The takeover read asks from the ack floor to what was delivered."""
    keys = [RunKey("order", f"o-{n % 3}") for n in range(30)]
    await js.publish_many([Outgoing(app.log_of(key), str(n).encode()) for n, key in enumerate(keys)])

    assert [s.seq for s in await js.read(app.log, f"wf.{app.name}.log.>", from_seq=5, to_seq=9)] == [5, 6, 7, 8, 9]
    assert [s.seq for s in await js.read(app.log, app.log_of(keys[0]), from_seq=2, to_seq=8)] == [4, 7]
    assert await js.read(app.log, app.log_of(keys[0]), from_seq=29, to_seq=29) == []
    assert await js.read(app.log, app.log_of(RunKey("order", "none"))) == []


async def test_a_publisher_cannot_make_a_message_look_like_another_runs(js: JetStream, app: App) -> None:
    """Direct get answers in headers, and the stored message's own come first."""
    forged = {"Nats-Subject": app.mailbox(0, RunKey("order", "victim"), "cancel"), "Nats-Sequence": "999", "A": "1"}
    subject = app.input(KEY, "start")
    await js.publish(Outgoing(subject, b"{}", forged | {"Nats-Time-Stamp": "1999-01-01T00:00:00Z"}))

    (stored,) = await js.read(app.mail, app.mail_filter(0))
    direct = await js.last_direct(app.mail, stored.subject)
    leader = await js.last(app.mail, stored.subject)

    assert stored.subject == app.mailbox(0, KEY, "start")
    assert stored.seq == 1
    assert stored == direct == leader
    assert dict(stored.headers) == {"A": "1"}


async def test_a_missing_stream_is_told_from_an_empty_one(js: JetStream) -> None:
    """Nothing there and nobody there are different things."""
    with pytest.raises(NotProvisioned):
        await js.read("WF_none_LOG", "a.b")
    with pytest.raises(NotProvisioned):
        await js.last("WF_none_LOG", "a.b")
    with pytest.raises(NotProvisioned):
        await js.last_direct("WF_none_LOG", "a.b")
    with pytest.raises(NotProvisioned):
        async for _ in js.scan("WF_none_LOG", "a.b"):
            pass
    with pytest.raises(NotProvisioned):
        await js.purge("WF_none_LOG", "a.b")
    with pytest.raises(NotProvisioned):
        await js.stream_state("WF_none_LOG")
    with pytest.raises(NotProvisioned):
        await js.consumer_state("WF_none_LOG", "x")


async def test_a_scan_ends_at_the_end(js: JetStream, app: App) -> None:
    """A list is finite, however many pulls it takes, and leaves no consumer behind."""
    count = 3 * SCAN_BATCH + 7
    await js.publish_many([Outgoing(app.log_of(RunKey("w", f"r{n % 50}")), str(n).encode()) for n in range(count)])

    everything = [int(s.payload) async for s in js.scan(app.log, f"wf.{app.name}.log.>")]
    newest = [s async for s in js.scan(app.log, f"wf.{app.name}.log.>", last_per_subject=True)]
    nothing = [s async for s in js.scan(app.log, f"wf.{app.name}.log.nobody.*")]

    assert everything == list(range(count))
    assert [int(s.payload) for s in newest] == list(range(count - 50, count))
    assert nothing == []
    await no_consumers(js, app.log)


async def test_a_reader_that_stops_in_the_middle_leaves_nothing_behind(js: JetStream, app: App) -> None:
    """`break` is a normal end."""
    await js.publish_many([Outgoing(app.log_of(KEY), b"x")] * 10)

    scan = js.scan(app.log, app.log_of(KEY), follow=True)
    async for _ in scan:
        break
    await scan.aclose()  # type: ignore[attr-defined]  # an async generator
    await no_consumers(js, app.log)


async def test_a_tail_goes_from_the_past_into_the_present_and_over_a_restart(own_server: EmbeddedServer) -> None:
    """Nothing is missing and nothing is twice, also when the server was killed in between."""
    js = await JetStream.connect(own_server.url, name="tail")
    app = App("shop")
    await provision(js, app, queues=[], partitions=1)
    seen: list[int] = []
    news = asyncio.Event()

    async def tail() -> None:
        async for stored in js.scan(app.log, f"wf.{app.name}.log.>", follow=True):
            seen.append(int(stored.payload))
            news.set()

    async def write(numbers: range) -> None:
        acks = await js.publish_many([Outgoing(app.log_of(KEY), str(n).encode()) for n in numbers], timeout_s=20)
        assert all(ack.code == 0 for ack in acks)

    async def reach(count: int) -> None:
        async with asyncio.timeout(20):
            while len(seen) < count:
                news.clear()
                await news.wait()

    await write(range(1000))
    task = asyncio.ensure_future(tail())
    await reach(1000)
    await write(range(1000, 1010))
    await reach(1010)
    os.kill(own_server.pid, signal.SIGKILL)
    await asyncio.to_thread(own_server.restart)
    await write(range(1010, 2000))
    await reach(2000)

    task.cancel()
    assert seen == list(range(2000))
    await asyncio.gather(task, return_exceptions=True)
    await js.close()


async def test_an_object_is_stored_once_and_read_by_anybody(js: JetStream, app: App, nats_url: str) -> None:
    """Large values are in the standard object store: other clients need no jetrun to read them."""
    data = os.urandom(3 * OBJECT_CHUNK_BYTES + 5)
    name = f"order/o-1/{sha256(data).hexdigest()}"
    await asyncio.gather(*(js.put_object(app.values, name, data) for _ in range(3)))
    before = await js.stream_state(object_stream(app.values))
    await js.put_object(app.values, name, data)

    other = await nats.connect(nats_url)
    store = await other.jetstream().object_store(app.values)
    assert (await store.get(name)).data == data
    await other.close()
    assert await js.get_object(app.values, name) == data
    assert await js.stream_state(object_stream(app.values)) == before


async def test_a_runs_objects_go_together_and_alone(js: JetStream, app: App) -> None:
    """A run's values are purged with it, those of `o-11` are not those of `o-1`."""
    names = ["order/o-1/a", "order/o-1/b", "order/o-11/a", "other/o-1/a"]
    for name in names:
        await js.put_object(app.values, name, name.encode())

    assert await js.delete_objects(app.values, "order/o-1/") == 2
    assert await js.delete_objects(app.values, "order/o-1/") == 0

    left = [await js.get_object(app.values, name) for name in names]
    assert left == [None, None, b"order/o-11/a", b"other/o-1/a"]


async def test_a_damaged_object_is_not_returned(js: JetStream, app: App) -> None:
    """A value is what its hash says, or an error."""
    await js.put_object(app.values, "order/o-1/a", b"precious")
    (chunk,) = await js.read(object_stream(app.values), f"$O.{app.values}.C.>")
    await js.purge(object_stream(app.values), chunk.subject)

    with pytest.raises(BrokerError, match="damaged"):
        await js.get_object(app.values, "order/o-1/a")


async def test_what_is_stored_is_what_was_sent(js: JetStream, app: App) -> None:
    """Bytes, headers, time and sequence agree over all ways to read."""
    ack = await js.publish(Outgoing(app.log_of(KEY), bytes(range(256)), {"Content": "raw ü"}))
    by_page = await js.read(app.log, app.log_of(KEY))
    by_scan = [stored async for stored in js.scan(app.log, app.log_of(KEY))]
    last = await js.last(app.log, app.log_of(KEY))

    assert last is not None
    assert by_page == by_scan == [last]
    assert last.seq == ack.seq
    assert last.payload == bytes(range(256))
    assert dict(last.headers) == {"Content": "raw ü"}
    assert abs(last.at_us - js.now_us()) < 10_000_000
    assert isinstance(last, Stored)
    assert msgspec.to_builtins(await js.stream_state(app.log))[0] == 1
