"""Consumers: what a delivery says, who gets it, for how long, and when it comes again."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from contract.worlds import Collected, Mailbox, Queue, World, contract, payloads, wait_until
from jetrun.actors.errors import NotProvisioned
from jetrun.streams.ports import Broker, Delivery, Outgoing

SOON_S = 1.0


@contract
async def test_a_delivery_says_all_that_a_worker_needs(world: World) -> None:
    """Identity, order and age of a message could not be told (R5)."""
    broker = await world.connect()
    queue = Queue(world)
    work = replace(queue.message(7, b"body"), headers={"Own": "x"})
    ack = await broker.publish(work)
    await broker.publish(queue.message(8))

    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    first, second = await queue.deliveries.wait(2)

    assert (first.subject, first.payload, first.seq) == (work.subject, b"body", ack.seq)
    assert (first.deliveries, first.pin, dict(first.headers)) == (1, "", {"Own": "x"})
    assert (first.pending, second.pending) == (1, 0)
    [stored, _] = await broker.read(queue.stream, world.app.work_filter("default"))
    assert first.at_us == stored.at_us
    assert first.reply != second.reply


@contract
async def test_messages_stored_before_and_after_come_in_order(world: World) -> None:
    """A hook would overtake its start."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(number, b"%d" % number) for number in range(300)])

    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add, batch=100)
    await broker.publish_many([queue.message(number, b"%d" % number) for number in range(300, 600)])

    assert payloads(await queue.deliveries.wait(600)) == [b"%d" % number for number in range(600)]


@contract
async def test_what_is_at_hand_comes_in_one_call(world: World) -> None:
    """A run's messages would be folded one by one."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(number) for number in range(50)])
    calls: list[int] = []

    def on_deliveries(deliveries: list[Delivery]) -> None:
        calls.append(len(deliveries))
        queue.deliveries.add(deliveries)

    await broker.consume(queue.stream, queue.consumer, on_deliveries)  # type: ignore[arg-type]  # a list is what we look at
    await queue.deliveries.wait(50)

    assert len(calls) < 25


@contract
async def test_an_acked_message_is_gone(world: World) -> None:
    """A work queue would grow for ever."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(1), queue.message(2)])
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    first, second = await queue.deliveries.wait(2)

    broker.ack(first.reply)
    assert await broker.ack_confirmed(second.reply)

    async def is_empty() -> bool:
        return (await broker.stream_state(queue.stream)).messages == 0

    await wait_until(is_empty)
    state = await broker.consumer_state(queue.stream, queue.consumer)
    assert (state.ack_floor, state.delivered, state.pending, state.ack_pending) == (2, 2, 0, 0)


@contract
async def test_a_second_ack_is_confirmed_too(world: World) -> None:
    """A worker would wait for ever on what is settled."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish(queue.message(1))
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    [delivery] = await queue.deliveries.wait(1)

    assert await broker.ack_confirmed(delivery.reply)
    assert await broker.ack_confirmed(delivery.reply)


@contract
async def test_an_ack_of_what_was_never_handed_out_does_nothing(world: World) -> None:
    """A forged or stale handle would delete work."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish(queue.message(1))

    confirmed = await broker.ack_confirmed(f"$JS.ACK.{queue.stream}.{queue.consumer}.1.1.1.0.0", timeout_s=0.5)

    assert not confirmed
    assert (await broker.stream_state(queue.stream)).messages == 1


@contract
async def test_an_unacked_message_comes_again_after_its_ack_wait_and_not_before(world: World) -> None:
    """A dead worker's messages would be lost, a live one's doubled."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=SOON_S)
    await broker.publish(queue.message(1, b"x"))
    loop = asyncio.get_running_loop()

    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    await queue.deliveries.wait(1)
    handed_out_at = loop.time()
    await queue.deliveries.wait(3)

    assert [(delivery.payload, delivery.deliveries) for delivery in queue.deliveries.items[:3]] == [
        (b"x", 1),
        (b"x", 2),
        (b"x", 3),
    ]
    assert 2 * SOON_S - 0.1 <= loop.time() - handed_out_at <= 2 * SOON_S + 1.5
    assert len({delivery.seq for delivery in queue.deliveries.items}) == 1


@contract
async def test_progress_renews_the_lease(world: World) -> None:
    """A step longer than the ack wait would run twice."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=SOON_S)
    await broker.publish_many([queue.message(1, b"kept"), queue.message(2, b"left")])
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    kept, _ = await queue.deliveries.wait(2)

    while len([delivery for delivery in queue.deliveries.items if delivery.payload == b"left"]) < 3:
        broker.in_progress(kept.reply)
        await asyncio.sleep(SOON_S / 4)

    assert payloads(queue.deliveries.items).count(b"kept") == 1


@contract
async def test_redeliveries_come_before_new_messages(world: World) -> None:
    """A message whose worker died would wait behind everything that came since."""
    broker, dead = await world.connect(), await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=SOON_S)
    await broker.publish_many([queue.message(number, b"old %d" % number) for number in (1, 2)])
    lost: Collected[Delivery] = Collected()
    consumption = await dead.consume(queue.stream, queue.consumer, lost.add, credit=2)
    await lost.wait(2)
    await consumption.close()
    await broker.publish(queue.message(3, b"new"))
    await asyncio.sleep(SOON_S + 0.2)

    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    found = await queue.deliveries.wait(3)

    assert [(one.payload, one.deliveries) for one in found] == [(b"old 1", 2), (b"old 2", 2), (b"new", 1)]


@contract
async def test_a_late_ack_ends_a_redelivered_message(world: World) -> None:
    """The twin would hide that a worker thought dead can still settle its work (N27)."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=SOON_S)
    await broker.publish(queue.message(1))
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    first, _ = await queue.deliveries.wait(2)

    assert await broker.ack_confirmed(first.reply)

    assert (await broker.stream_state(queue.stream)).messages == 0
    assert (await broker.consumer_state(queue.stream, queue.consumer)).ack_pending == 0


@contract
async def test_queues_do_not_see_each_others_work(world: World) -> None:
    """A worker would run steps that it does not know."""
    broker = await world.connect()
    default, slow = Queue(world), Queue(world, "slow")
    await broker.publish_many([default.message(1, b"d"), slow.message(2, b"s")])

    await broker.consume(default.stream, default.consumer, default.deliveries.add)
    await broker.consume(slow.stream, slow.consumer, slow.deliveries.add)
    await broker.publish_many([slow.message(3, b"s"), default.message(4, b"d")])

    assert payloads(await default.deliveries.wait(2)) == [b"d", b"d"]
    assert payloads(await slow.deliveries.wait(2)) == [b"s", b"s"]


@contract
async def test_credit_bounds_what_a_worker_is_given(world: World) -> None:
    """A step worker would hold more than it has slots for."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(number) for number in range(20)])

    consumption = await broker.consume(queue.stream, queue.consumer, queue.deliveries.add, credit=3)
    await queue.deliveries.wait(3)
    # Two round trips later nothing else has come.
    await _settle(broker, queue)
    first_count = len(queue.deliveries.items)
    consumption.want(2)
    consumption.want(1)
    await queue.deliveries.wait(6)
    await _settle(broker, queue)

    assert first_count == 3
    assert len(queue.deliveries.items) == 6


@contract
async def test_no_credit_means_no_delivery(world: World) -> None:
    """A worker that only looks would take work."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish(queue.message(1))

    consumption = await broker.consume(queue.stream, queue.consumer, queue.deliveries.add, credit=0)
    await _settle(broker, queue)
    count = len(queue.deliveries.items)
    consumption.want(5)
    await queue.deliveries.wait(1)

    assert count == 0


@contract
async def test_two_workers_share_a_queue_and_nobody_gets_anothers_message(world: World) -> None:
    """Each step would run once per worker."""
    first, second = await world.connect(), await world.connect()
    queue, other = Queue(world), Queue(world)
    await first.consume(queue.stream, queue.consumer, queue.deliveries.add, credit=10)
    await second.consume(queue.stream, queue.consumer, other.deliveries.add, credit=10)

    await first.publish_many([queue.message(number, b"%d" % number) for number in range(20)])
    mine, theirs = await queue.deliveries.wait(10), await other.deliveries.wait(10)

    assert sorted(payloads(mine) + payloads(theirs)) == sorted(b"%d" % number for number in range(20))


@contract
async def test_the_bound_of_unacked_messages_holds_deliveries_back(world: World) -> None:
    """A worker would be flooded."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_pending_max=3)
    await broker.publish_many([queue.message(number, b"%d" % number) for number in range(5)])
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    await queue.deliveries.wait(3)
    await _settle(broker, queue)
    held_back = await broker.consumer_state(queue.stream, queue.consumer)

    await broker.ack_confirmed(queue.deliveries.items[1].reply)
    await queue.deliveries.wait(4)

    assert (held_back.ack_pending, held_back.pending) == (3, 2)
    assert payloads(queue.deliveries.items) == [b"0", b"1", b"2", b"3"]


@contract
async def test_a_closed_consumption_gets_nothing_more(world: World) -> None:
    """A draining worker would be handed work that it does not finish."""
    broker = await world.connect()
    queue, other = Queue(world), Queue(world)
    consumption = await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    await broker.publish(queue.message(1))
    await queue.deliveries.wait(1)

    await consumption.close()
    await consumption.close()
    await broker.flush()
    await broker.publish_many([queue.message(2), queue.message(3)])
    await broker.consume(queue.stream, queue.consumer, other.deliveries.add)
    await other.deliveries.wait(2)

    assert len(queue.deliveries.items) == 1


@contract
async def test_purged_work_is_not_delivered_and_its_ack_does_no_harm(world: World) -> None:
    """A cancelled step would run, or its worker would stumble."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add, credit=1)
    await broker.publish_many([queue.message(number, b"%d" % number) for number in (1, 2, 3)])
    [running] = await queue.deliveries.wait(1)

    await broker.purge(queue.stream, queue.message(2).subject)
    await broker.purge(queue.stream, queue.message(1).subject)
    broker.in_progress(running.reply)
    assert await broker.ack_confirmed(running.reply)
    other: Collected[Delivery] = Collected()
    await broker.consume(queue.stream, queue.consumer, other.add)

    assert payloads(await other.wait(1)) == [b"3"]
    assert (await broker.consumer_state(queue.stream, queue.consumer)).ack_pending == 1


@contract
async def test_the_state_of_a_consumer_tells_where_it_stands(world: World) -> None:
    """A takeover would not know what the dead worker held (R6)."""
    broker = await world.connect()
    mailbox = Mailbox(world)
    empty = await broker.consumer_state(mailbox.stream, mailbox.consumer)
    await broker.publish_many([mailbox.message(b"%d" % number, "cancel") for number in range(6)])
    untouched = await broker.consumer_state(mailbox.stream, mailbox.consumer)

    await broker.consume(mailbox.stream, mailbox.consumer, mailbox.deliveries.add, is_pinned=True)
    deliveries = await mailbox.deliveries.wait(6)
    for number in (0, 1, 3):
        await broker.ack_confirmed(deliveries[number].reply)
    state = await broker.consumer_state(mailbox.stream, mailbox.consumer)

    assert (empty.ack_floor, empty.delivered, empty.pending, empty.ack_pending, empty.pin) == (0, 0, 0, 0, "")
    assert (untouched.delivered, untouched.pending, untouched.ack_pending) == (0, 6, 0)
    assert (state.ack_floor, state.delivered, state.pending, state.ack_pending) == (2, 6, 0, 3)
    assert state.handed_out == 6
    assert [delivery.order for delivery in deliveries] == [1, 2, 3, 4, 5, 6]
    assert state.pin == deliveries[0].pin != ""


@contract
async def test_what_a_dead_worker_held_can_be_read_and_acked_by_another(world: World) -> None:
    """A takeover would have to wait for the ack wait (R6)."""
    broker, dead = await world.connect(), await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(number, b"%d" % number) for number in range(4)])
    lost: Collected[Delivery] = Collected()
    await dead.consume(queue.stream, queue.consumer, lost.add, credit=3)
    await lost.wait(3)
    await dead.ack_confirmed(lost.items[0].reply)
    await world.lose(dead)

    state = await broker.consumer_state(queue.stream, queue.consumer)
    held = await broker.read(
        queue.stream, world.app.work_filter("default"), from_seq=state.ack_floor + 1, to_seq=state.delivered
    )
    for message in held:
        handle = f"$JS.ACK.{queue.stream}.{queue.consumer}.1.{message.seq}.{message.seq}.0.0"
        assert await broker.ack_confirmed(handle)

    assert [message.payload for message in held] == [b"1", b"2"]
    assert (await broker.consumer_state(queue.stream, queue.consumer)).ack_pending == 0
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    assert payloads(await queue.deliveries.wait(1)) == [b"3"]


@contract
async def test_a_consumer_made_again_delivers_everything_unacked_as_new(world: World) -> None:
    """Repair by provisioning would lose what was in flight (R17)."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(1, b"1"), queue.message(2, b"2")])
    consumption = await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    first, _ = await queue.deliveries.wait(2)
    await broker.ack_confirmed(first.reply)
    await consumption.close()

    await world.forget(queue.stream, queue.consumer)
    again: Collected[Delivery] = Collected()
    await broker.consume(queue.stream, queue.consumer, again.add)

    assert [(one.payload, one.deliveries) for one in await again.wait(1)] == [(b"2", 1)]


@contract
async def test_a_missing_consumer_is_an_error_that_says_so(world: World) -> None:
    """A worker for a queue that nobody provisioned would wait for ever."""
    broker = await world.connect()

    with pytest.raises(NotProvisioned):
        await broker.consume(world.app.work, "queue_unknown", lambda _: None)
    with pytest.raises(NotProvisioned):
        await broker.consumer_state(world.app.work, "queue_unknown")
    with pytest.raises(NotProvisioned):
        await broker.consume(f"{world.app.work}X", "queue_default", lambda _: None)


async def _settle(broker: Broker, queue: Queue) -> None:
    """Waits until the server has certainly answered what a consumption asked for."""
    for _ in range(3):
        await broker.consumer_state(queue.stream, queue.consumer)
        await broker.publish(Outgoing(queue.app.log_of(queue.key), b"tick"))
    await broker.flush()
