"""Pulls on a real server: pins, takeover, credit, and consumers that vanish."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from jetrun.actors.errors import NotProvisioned
from jetrun.actors.limits import PIN_TIMEOUT_S
from jetrun.actors.names import RunKey
from jetrun.streams.deliveries import ack_subject
from jetrun.streams.jetstream import JetStream
from jetrun.streams.ports import Delivery, Outgoing
from jetrun.streams.provision import provision
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App
from support.nats import delete_streams

KEY = RunKey("order", "o-1")


class Inbox:
    """Notes deliveries and acks them, or not."""

    def __init__(self, js: JetStream, *, acks: bool = True) -> None:
        self.js = js
        self.acks = acks
        self.got: list[Delivery] = []
        self.calls = 0
        self._news = asyncio.Event()

    def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.calls += 1
        self.got.extend(deliveries)
        for delivery in deliveries if self.acks else ():
            self.js.ack(delivery.reply)
        self._news.set()

    async def wait(self, count: int, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while len(self.got) < count:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def app(nats_url: str) -> AsyncIterator[App]:
    app = App(f"t{secrets.token_hex(5)}")
    js = await JetStream.connect(nats_url, name="provision")
    await provision(js, app, queues=["default"], partitions=1)
    yield app
    await js.close()
    await delete_streams(nats_url, app)


@pytest.fixture
async def a(nats_url: str) -> AsyncIterator[JetStream]:
    js = await JetStream.connect(nats_url, name="a")
    yield js
    await js.close()


@pytest.fixture
async def b(nats_url: str) -> AsyncIterator[JetStream]:
    js = await JetStream.connect(nats_url, name="b")
    yield js
    await js.close()


def mail(app: App, count: int = 1) -> list[Outgoing]:
    return [Outgoing(app.input(KEY, "start"), b'{"args":[%d]}' % n) for n in range(count)]


@pytest.mark.slow
async def test_an_idle_owner_keeps_its_pin_and_a_dead_one_loses_it(app: App, a: JetStream, b: JetStream) -> None:
    """Ownership follows who lives, not who is busy (R6): well beyond the pin's time limit, then within it."""
    first, second = Inbox(a), Inbox(b)
    owner = await a.consume(app.mail, "mail_0", first, is_pinned=True)
    await a.publish_many(mail(app))
    await first.wait(1)
    standby = await b.consume(app.mail, "mail_0", second, is_pinned=True)

    await asyncio.sleep(2.5 * PIN_TIMEOUT_S)
    await b.publish_many(mail(app))
    await first.wait(2)

    assert owner.pin == (await b.consumer_state(app.mail, "mail_0")).pin != ""
    assert standby.pin == ""

    a.wire.options["allow_reconnect"] = False
    a.wire._hang_up()
    died = time.monotonic()
    while not second.got and time.monotonic() - died < 2 * PIN_TIMEOUT_S:
        await b.publish_many(mail(app))  # a pin is given with a delivery; one alone may still have gone to the dead
        await asyncio.sleep(0.1)

    assert time.monotonic() - died < PIN_TIMEOUT_S + 1
    assert standby.pin == (await b.consumer_state(app.mail, "mail_0")).pin


async def test_a_worker_that_gives_up_its_pin_is_followed_at_once(app: App, a: JetStream, b: JetStream) -> None:
    """Drain hands over without waiting for a time limit (R6)."""
    first, second = Inbox(a), Inbox(b)
    owner = await a.consume(app.mail, "mail_0", first, is_pinned=True)
    await a.publish_many(mail(app))
    await first.wait(1)
    standby = await b.consume(app.mail, "mail_0", second, is_pinned=True)
    await b.flush()

    await owner.close()
    await a.unpin(app.mail, "mail_0")
    await a.unpin(app.mail, "mail_0")
    began = time.monotonic()
    await b.publish_many(mail(app))
    await second.wait(1)

    assert time.monotonic() - began < 1
    assert standby.pin


async def test_an_owner_that_was_overruled_stands_by_and_may_come_back(app: App, a: JetStream, b: JetStream) -> None:
    """A refused pin (423) is forgotten; the next vacancy is taken like any other."""
    first, second = Inbox(a), Inbox(b)
    owner = await a.consume(app.mail, "mail_0", first, is_pinned=True)
    await a.publish_many(mail(app))
    await first.wait(1)
    standby = await b.consume(app.mail, "mail_0", second, is_pinned=True)
    await b.flush()
    old = owner.pin

    await b.unpin(app.mail, "mail_0")
    await b.publish_many(mail(app, 3))
    async with asyncio.timeout(10):
        while len(first.got) + len(second.got) < 4:
            await asyncio.sleep(0.01)

    state = await b.consumer_state(app.mail, "mail_0")
    assert state.pin in (owner.pin, standby.pin)
    assert state.pin != old


async def test_a_stranger_can_ack_what_a_dead_worker_was_given(app: App, a: JetStream, b: JetStream) -> None:
    """The takeover read handles messages that were never delivered to it (R6): stream sequence is all an ack needs."""
    dead = Inbox(a, acks=False)
    await a.consume(app.mail, "mail_0", dead, is_pinned=True)
    await b.publish_many(mail(app, 3))
    await dead.wait(3)

    state = await b.consumer_state(app.mail, "mail_0")
    found = await b.read(app.mail, app.mail_filter(0), from_seq=state.ack_floor + 1, to_seq=state.delivered)
    assert [stored.payload for stored in found] == [delivery.payload for delivery in dead.got]
    confirmed = [await b.ack_confirmed(ack_subject(app.mail, "mail_0", stored.seq)) for stored in found]

    assert confirmed == [True] * 3
    assert (await b.consumer_state(app.mail, "mail_0")).ack_pending == 0
    assert (await b.stream_state(app.mail)).messages == 0


async def test_what_was_not_delivered_cannot_be_acked(app: App, b: JetStream) -> None:
    """A built ack subject takes nothing away from the consumer."""
    (ack,) = await b.publish_many(mail(app))

    assert not await b.ack_confirmed(ack_subject(app.mail, "mail_0", ack.seq), timeout_s=0.3)
    assert (await b.stream_state(app.mail)).messages == 1


async def test_deliveries_of_one_read_come_in_one_call(app: App, a: JetStream) -> None:
    """A worker folds what is at hand; a call per message would hide it."""
    await a.publish_many(mail(app, 1000))
    inbox = Inbox(a)

    await a.consume(app.mail, "mail_0", inbox, is_pinned=True)
    await inbox.wait(1000)

    assert [delivery.payload for delivery in inbox.got] == [message.payload for message in mail(app, 1000)]
    assert inbox.calls < 200


async def test_credit_is_never_exceeded_and_never_lost(app: App, a: JetStream) -> None:
    """A step worker gets as much as it has free slots, and again when they are free."""
    await a.publish_many([Outgoing(app.work_of("default", KEY, n), b"{}") for n in range(100)])
    inbox = Inbox(a)
    work = await a.consume(app.work, "queue_default", inbox, credit=7)
    await inbox.wait(7)
    await a.flush()
    assert len(inbox.got) == 7

    for done in range(7, 100):
        work.want(1)
        await inbox.wait(done + 1)
    await a.flush()

    assert len(inbox.got) == 100


async def test_nothing_is_created_by_consuming(app: App, a: JetStream) -> None:
    """A consumer with a default configuration would silently change delivery (R17)."""
    with pytest.raises(NotProvisioned, match="wfctl provision"):
        await a.consume(app.work, "queue_none", Inbox(a))
    with pytest.raises(NotProvisioned):
        await a.consume("WF_none_WORK", "queue_default", Inbox(a))


async def test_a_consumer_that_vanishes_is_said_and_found_again(
    app: App, a: JetStream, caplog: pytest.LogCaptureFixture
) -> None:
    """Provisioning repairs it, and the worker goes on without a restart (R17)."""
    inbox = Inbox(a)
    await a.consume(app.work, "queue_default", inbox, credit=10)
    await asyncio.sleep(0.1)  # a pull that is still on its way is lost without a word, and noticed when it is overdue
    with caplog.at_level(logging.ERROR):
        await a.requests.ask(f"$JS.API.CONSUMER.DELETE.{app.work}.queue_default", b"", timeout_s=5)
        async with asyncio.timeout(5):
            while "consumer.unavailable" not in caplog.text:
                await asyncio.sleep(0.01)

    await provision(a, app, queues=["default"], partitions=1)
    await a.publish(Outgoing(app.work_of("default", KEY, 1), b"{}"))

    await inbox.wait(1)


async def test_pulls_go_on_after_the_server_was_killed(own_server: EmbeddedServer) -> None:
    """Nothing that was acknowledged is lost, and nobody has to be restarted."""
    app = App("shop")
    js = await JetStream.connect(own_server.url, name="test")
    await provision(js, app, queues=["default"], partitions=1)
    pinned, work = Inbox(js), Inbox(js)
    await js.consume(app.mail, "mail_0", pinned, is_pinned=True)
    await js.consume(app.work, "queue_default", work, credit=5)
    await js.publish_many(mail(app))
    await pinned.wait(1)

    os.kill(own_server.pid, signal.SIGKILL)
    await asyncio.to_thread(own_server.restart)
    acks = await js.publish_many([*mail(app), Outgoing(app.work_of("default", KEY, 1), b"{}")], timeout_s=10)
    began = time.monotonic()
    await pinned.wait(2)
    await work.wait(1)

    assert [ack.code for ack in acks] == [0, 0]
    assert time.monotonic() - began < 3
    await js.close()


async def test_no_work_is_on_its_way_to_a_worker_that_has_left(app: App, a: JetStream, b: JetStream) -> None:
    """What was under way arrives before `close` returns; nobody waits for an ack wait of half a minute."""
    leaving, staying = Inbox(a), Inbox(b)
    work = await a.consume(app.work, "queue_default", leaving, credit=200)
    await asyncio.sleep(0.05)
    await b.publish_many([Outgoing(app.work_of("default", KEY, n), b"%d" % n) for n in range(200)])
    await work.close()
    left = 200 - len(leaving.got)

    await b.consume(app.work, "queue_default", staying, credit=200)
    await staying.wait(left, 5)

    assert {d.payload for d in (*leaving.got, *staying.got)} == {b"%d" % n for n in range(200)}


async def test_credit_survives_reconnects(app: App, a: JetStream, b: JetStream) -> None:
    """A worker neither starves nor drowns after its connection broke."""
    await b.publish_many([Outgoing(app.work_of("default", KEY, n), b"%d" % n) for n in range(300)])
    inbox = Inbox(a, acks=False)
    work = await a.consume(app.work, "queue_default", inbox, credit=5)
    done = 0
    while done < 300:
        await inbox.wait(done + 1)
        assert len(inbox.got) - done <= 2 * 5
        for delivery in inbox.got[done:]:
            while not await a.ack_confirmed(delivery.reply, timeout_s=1):
                pass
            done += 1
            work.want(1)
            if done in (50, 120, 200):
                await a.wire.force_reconnect()

    assert sorted(int(d.payload) for d in inbox.got) == list(range(300))
