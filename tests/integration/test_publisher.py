"""The publish pipeline on a real server: order, bounds, and answers that find their place."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from jetrun.actors.errors import StreamFull
from jetrun.actors.limits import (
    BODY_BYTES_MAX,
    MAIL_MESSAGE_BYTES_MAX,
    MAIL_MESSAGES_PER_SUBJECT_MAX,
    PUBLISH_BYTES_PENDING_MAX,
    PUBLISHES_PENDING_MAX,
)
from jetrun.actors.names import RunKey
from jetrun.streams.faults import raise_for
from jetrun.streams.jetstream import JetStream
from jetrun.streams.ports import EXPECT_LAST, UNKNOWN, WRONG_LAST, Outgoing, PubAck
from jetrun.streams.provision import provision
from jetrun.streams.subjects import App
from support.nats import delete_streams

KEY = RunKey("order", "o-1")


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStream]:
    broker = await JetStream.connect(nats_url, name="publish")
    yield broker
    await broker.close()


@pytest.fixture
async def app(nats_url: str, js: JetStream) -> AsyncIterator[App]:
    app = App(f"t{secrets.token_hex(5)}")
    await provision(js, app, queues=["default"], partitions=1)
    yield app
    await delete_streams(nats_url, app)


async def test_answers_come_in_the_order_of_the_messages(js: JetStream, app: App) -> None:
    """One refusal in a batch is the refusal of that message and no other."""
    fenced = Outgoing(app.log_of(KEY), b"{}", {EXPECT_LAST: "0"})
    free = Outgoing(app.log_of(RunKey("order", "o-2")), b"{}")

    acks = await js.publish_many([free, fenced, free, fenced, Outgoing("wf.nobody.there", b""), free])

    assert [(ack.seq, ack.code) for ack in acks] == [(1, 0), (2, 0), (3, 0), (0, WRONG_LAST), (0, 503), (4, 0)]
    assert await js.publish_many([]) == []


async def test_more_than_the_bounds_goes_through_in_order(js: JetStream, app: App) -> None:
    """The bounds hold back, they do not fail; nothing overtakes."""
    count = PUBLISHES_PENDING_MAX + 2000
    singles = [
        asyncio.ensure_future(js.publish(Outgoing(app.log_of(KEY), b"%d" % n), timeout_s=30)) for n in range(count)
    ]
    acks = await asyncio.gather(*singles)

    assert [ack.seq for ack in acks] == list(range(1, count + 1))

    large = bytes(500_000)
    batch = [Outgoing(app.log_of(KEY), large) for _ in range(PUBLISH_BYTES_PENDING_MAX // len(large) + 20)]
    assert [ack.code for ack in await js.publish_many(batch, timeout_s=30)] == [0] * len(batch)


async def test_a_cancelled_publish_frees_its_room(js: JetStream, app: App) -> None:
    """Whoever gives up waiting leaves nothing behind."""
    task = asyncio.ensure_future(js.publish_many([Outgoing(app.log_of(KEY), b"{}")] * 1000))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await js.publish(Outgoing(app.log_of(KEY), b"{}"))).code == 0
    publisher = js._publisher
    assert (publisher._pending, publisher._pending_bytes, publisher._batches) == (0, 0, {})


async def test_answers_from_strangers_are_ignored(js: JetStream, app: App, nats_url: str) -> None:
    """Anybody may send to an inbox whose name he knows."""
    stranger = await JetStream.connect(nats_url, name="stranger")
    inbox = js._publisher._inbox
    subject = app.input(KEY, "hook", "h")
    for token in ("", "x", "1.x", "99999.0", "1.-1", "1.7", "1.0.0", "٣.0"):
        if token.isascii():
            stranger.notify(inbox + (token or "_"), b'{"seq":666}')
    await stranger.flush()

    assert (await js.publish(Outgoing(subject, b"{}"))).seq == 1
    await stranger.close()


async def test_a_full_mailbox_tells_the_publisher(js: JetStream, app: App) -> None:
    """Refused, never dropped (R10)."""
    message = Outgoing(app.input(KEY, "hook", "h"), b"{}")
    acks = await js.publish_many([message] * (MAIL_MESSAGES_PER_SUBJECT_MAX + 1), timeout_s=30)
    large = await js.publish(Outgoing(app.input(RunKey("order", "o-2"), "start"), bytes(MAIL_MESSAGE_BYTES_MAX + 1)))
    fits = await js.publish(
        Outgoing(app.input(RunKey("order", "o-2"), "start"), bytes(BODY_BYTES_MAX), {"traceparent": "x" * 60})
    )

    assert {ack.code for ack in acks[:-1]} == {0}
    assert acks[-1].code == 10077
    with pytest.raises(StreamFull, match="maximum messages per subject"):
        raise_for(acks[-1], "hook")
    assert (large.code, fits.code) == (10054, 0)


async def test_an_answer_that_is_no_puback_is_unknown(js: JetStream) -> None:
    """A service that happens to listen on the subject does not count as a stream."""

    def answer(_subject: str, _payload: bytes, reply: str) -> None:
        js.notify(reply, b"hello")

    await js.listen("wf.test.parrot", answer)

    assert await js.publish(Outgoing("wf.test.parrot", b"")) == PubAck(0, UNKNOWN, "answer is not a PubAck")
