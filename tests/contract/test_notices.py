"""Notices: core NATS, at most once, with groups, requests, and what streams send on."""

from __future__ import annotations

import asyncio

from contract.worlds import Collected, Mailbox, World, contract
from jetrun.actors.names import RunKey
from jetrun.streams.ports import Outgoing

KEY = RunKey("order", "o-1")
Notices = Collected[tuple[str, bytes]]


@contract
async def test_a_listener_gets_what_is_sent_after_it_listens(world: World) -> None:
    """A `done` notice right after `listen` would be missed."""
    sender, receiver = await world.connect(), await world.connect()
    notices: Notices = Collected()
    sender.notify(world.app.done(KEY), b"too early")
    await sender.flush()

    await receiver.listen(world.app.done(KEY), notices.add_notice)
    sender.notify(world.app.done(KEY), b"1")
    sender.notify(world.app.done(RunKey("order", "o-2")), b"other")
    sender.notify(world.app.done(KEY), b"2")

    assert await notices.wait(2) == [(world.app.done(KEY), b"1"), (world.app.done(KEY), b"2")]


@contract
async def test_a_listener_hears_its_own_connection(world: World) -> None:
    """A worker and its steps in one process would not hear each other."""
    broker = await world.connect()
    notices: Notices = Collected()
    await broker.listen(f"wf.{world.app.name}.beat.*", notices.add_notice)

    broker.notify(world.app.beat("me"), b"{}")

    assert await notices.wait(1) == [(world.app.beat("me"), b"{}")]


@contract
async def test_a_closed_listener_hears_nothing_more(world: World) -> None:
    """A handle's callback would be called after its end."""
    broker = await world.connect()
    closed: Notices = Collected()
    open_: Notices = Collected()
    subscription = await broker.listen(world.app.done(KEY), closed.add_notice)
    await broker.listen(world.app.done(KEY), open_.add_notice)

    await subscription.close()
    await subscription.close()
    broker.notify(world.app.done(KEY), b"1")
    await open_.wait(1)

    assert closed.items == []


@contract
async def test_one_of_a_queue_group_gets_each_notice(world: World) -> None:
    """Every actor worker would answer every question."""
    brokers = [await world.connect() for _ in range(3)]
    group: Notices = Collected()
    everybody: Notices = Collected()
    other_group: Notices = Collected()
    for broker in brokers:
        await broker.listen(f"wf.{world.app.name}.ask.>", group.add_notice, queue="actors")
    await brokers[0].listen(f"wf.{world.app.name}.ask.>", everybody.add_notice)
    await brokers[1].listen(f"wf.{world.app.name}.ask.>", other_group.add_notice, queue="others")

    for number in range(30):
        brokers[2].notify(world.app.ask(KEY, "status"), b"%d" % number)
    await everybody.wait(30)
    await other_group.wait(30)
    await group.wait(30)
    for broker in brokers:
        await broker.flush()

    assert sorted(group.items) == sorted(everybody.items) == sorted(other_group.items)


@contract
async def test_a_request_is_answered_by_a_listener(world: World) -> None:
    """`status` would have no answer."""
    asking, answering = await world.connect(), await world.connect()

    def answer(_: str, payload: bytes, reply: str) -> None:
        answering.notify(reply, b"answer to " + payload)

    await answering.listen(f"wf.{world.app.name}.ask.*.*.*", answer, queue="actors")

    answers = await asyncio.gather(
        *(asking.request(world.app.ask(KEY, "status"), b"%d" % number, timeout_s=5) for number in range(10))
    )

    assert answers == [b"answer to %d" % number for number in range(10)]


@contract
async def test_a_request_that_nobody_hears_ends_at_once(world: World) -> None:
    """A client without a worker would hang for its whole timeout."""
    broker = await world.connect()
    loop = asyncio.get_running_loop()
    began_at = loop.time()

    assert await broker.request(world.app.ask(KEY, "status"), b"{}", timeout_s=10) is None

    assert loop.time() - began_at < 2


@contract
async def test_a_request_that_nobody_answers_ends_in_time(world: World) -> None:
    """A worker that hangs would take its caller along."""
    broker = await world.connect()
    await broker.listen(world.app.ask(KEY, "status"), lambda _subject, _payload, _reply: None)

    assert await broker.request(world.app.ask(KEY, "status"), b"{}", timeout_s=0.3) is None


@contract
async def test_a_request_to_a_stream_is_answered_by_its_ack(world: World) -> None:
    """`nats req` as the documentation shows it would say nothing."""
    broker = await world.connect()
    mailbox = Mailbox(world)

    answer = await broker.request(mailbox.message().subject, b"{}", timeout_s=5)

    assert answer is not None
    assert b'"seq":1' in answer.replace(b" ", b"")
    assert mailbox.stream.encode() in answer


@contract
async def test_records_are_sent_on_as_they_are_stored(world: World) -> None:
    """A live view would have to poll."""
    writer, reader = await world.connect(), await world.connect()
    live: Notices = Collected()
    await reader.listen(f"wf.{world.app.name}.live.>", live.add_notice)

    await writer.publish(Outgoing(world.app.log_of(KEY), b"1"))
    await writer.publish(Outgoing(world.app.log_of(KEY), b"refused", {"Nats-Expected-Last-Subject-Sequence": "0"}))
    await writer.publish(Outgoing(world.app.log_of(KEY), b"2"))

    assert await live.wait(2) == [(world.app.live_of(KEY), b"1"), (world.app.live_of(KEY), b"2")]


@contract
async def test_a_listener_also_hears_what_streams_take(world: World) -> None:
    """Whoever watches an app's door would see nothing."""
    broker = await world.connect()
    mailbox = Mailbox(world)
    heard: Notices = Collected()
    await broker.listen(f"wf.{world.app.name}.run.>", heard.add_notice)

    await broker.publish(mailbox.message(b"x"))

    assert await heard.wait(1) == [(mailbox.message().subject, b"x")]
