"""The server's end by kill -9 and its return: what is kept, what comes again, what a client notices."""

from __future__ import annotations

import asyncio

from contract.worlds import WAIT_S, Collected, Mailbox, Queue, Timers, World, contract_of_restarts, payloads, wait_until
from jetrun.actors.errors import JetrunError
from jetrun.actors.names import RunKey
from jetrun.streams.ports import UNKNOWN, Broker, Delivery, Outgoing

KEY = RunKey("order", "o-1")


@contract_of_restarts
async def test_what_was_acknowledged_is_there_after_a_restart(world: World) -> None:
    """A PubAck would mean nothing (promise of NATS.md: kill -9 loses nothing)."""
    broker = await world.connect()
    log = world.app.log_of(KEY)
    await broker.publish_many([Outgoing(log, b"%d" % number) for number in range(100)])
    await broker.put_object(world.app.values, "order/o-1/a", b"value")

    await restart(world, broker)

    assert [message.payload for message in await broker.read(world.app.log, log)] == [b"%d" % n for n in range(100)]
    assert (await broker.publish(Outgoing(log, b"x", {"Nats-Expected-Last-Subject-Sequence": "100"}))).seq == 101
    assert await broker.get_object(world.app.values, "order/o-1/a") == b"value"


@contract_of_restarts
async def test_a_client_notices_the_loss_and_the_return(world: World) -> None:
    """A worker would not know that its acks were lost."""
    broker = await world.connect()
    returns: list[int] = []
    broker.on_reconnect(lambda: returns.append(1))

    await world.stop()
    await wait_until(lambda: _is(not broker.is_connected))
    await world.start()
    await wait_until(lambda: _is(broker.is_connected))
    await wait_until(lambda: _is(bool(returns)))

    assert len(returns) == 1


@contract_of_restarts
async def test_a_publish_while_the_server_is_away_is_stored_or_unknown(world: World) -> None:
    """A refusal would be reported for what may have been stored."""
    broker = await world.connect()
    log = world.app.log_of(KEY)
    await world.stop()
    await wait_until(lambda: _is(not broker.is_connected))

    publishing = asyncio.ensure_future(broker.publish(Outgoing(log, b"x"), timeout_s=WAIT_S))
    impatient = await broker.publish(Outgoing(world.app.log_of(RunKey("order", "o-2")), b"y"), timeout_s=0.2)
    await world.start()
    ack = await publishing

    assert impatient.code == UNKNOWN
    stored = await broker.read(world.app.log, log)
    assert ack.code in (0, UNKNOWN)
    assert len(stored) == 1 or ack.code == UNKNOWN


@contract_of_restarts
async def test_consumers_go_on_and_deliver_again_what_was_not_acked(world: World) -> None:
    """A restart would strand what was in a worker's hands."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=1.0)
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    await broker.publish_many([queue.message(1, b"acked"), queue.message(2, b"held")])
    acked, _ = await queue.deliveries.wait(2)
    await broker.ack_confirmed(acked.reply)
    await asyncio.sleep(0.5)  # what a consumer did just before a kill may not be on disk: see the next scenario

    await restart(world, broker)
    await broker.publish(queue.message(3, b"new"))
    async with asyncio.timeout(WAIT_S):
        while {b"new", b"held"} - set(payloads(queue.deliveries.items[2:])):
            await queue.deliveries.wait(len(queue.deliveries.items) + 1)

    again = [one for one in queue.deliveries.items[2:] if one.payload == b"held"]
    assert again[0].deliveries >= 2
    assert b"acked" not in payloads(queue.deliveries.items[2:])


@contract_of_restarts
async def test_a_delivery_just_before_the_kill_comes_again_whatever_its_count_says(world: World) -> None:
    """Whoever counts deliveries to find deadly messages must know that the server forgets some (R16, R18)."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=1.0)
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    await broker.publish_many([queue.message(1, b"acked"), queue.message(2, b"held")])
    acked, held = await queue.deliveries.wait(2)
    await broker.ack_confirmed(acked.reply)

    await restart(world, broker)
    again = (await queue.deliveries.wait(3))[2]

    assert (again.payload, again.seq, again.at_us) == (held.payload, held.seq, held.at_us)
    assert again.deliveries in (1, 2)


@contract_of_restarts
async def test_a_pinned_partition_is_served_again(world: World) -> None:
    """A pin that the server forgot would lock the partition."""
    broker = await world.connect()
    mailbox = Mailbox(world)
    consumption = await broker.consume(mailbox.stream, mailbox.consumer, mailbox.deliveries.add, is_pinned=True)
    await broker.publish(mailbox.message(b"1"))
    await mailbox.deliveries.wait(1)
    await broker.ack_confirmed(mailbox.deliveries.items[0].reply)

    await restart(world, broker)
    await broker.publish(mailbox.message(b"2"))
    found = await mailbox.deliveries.wait(2)

    assert payloads(found) == [b"1", b"2"]
    assert consumption.pin == found[1].pin != ""


@contract_of_restarts
async def test_timers_survive_and_overdue_ones_fire(world: World) -> None:
    """A sleeping run would never wake."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()
    now_us = broker.now_us()
    due = {b"overdue": now_us + 150_000, b"later": now_us + 2_500_000}
    await broker.publish_many([timers.message(name.decode(), at_us, name) for name, at_us in due.items()])

    await world.stop()
    await world.start()
    fired = await timers.fired.wait(2)

    assert payloads(fired) == [b"overdue", b"later"]
    assert all(delivery.at_us >= due[delivery.payload] for delivery in fired)


@contract_of_restarts
async def test_listeners_hear_again_after_a_restart(world: World) -> None:
    """A client would wait for notices that never come."""
    broker = await world.connect()
    heard: Collected[tuple[str, bytes]] = Collected()
    await broker.listen(world.app.done(KEY), heard.add_notice)

    await restart(world, broker)
    broker.notify(world.app.done(KEY), b"1")

    assert await heard.wait(1) == [(world.app.done(KEY), b"1")]


@contract_of_restarts
async def test_a_scan_that_follows_goes_on_without_gap(world: World) -> None:
    """A tail would end, or hide records, with the server's restart."""
    broker = await world.connect()
    log = world.app.log_of(KEY)
    await broker.publish_many([Outgoing(log, b"%d" % number) for number in range(3)])
    scan = broker.scan(world.app.log, log, follow=True)
    seen = [(await anext(scan)).payload for _ in range(3)]

    await restart(world, broker)
    await broker.publish_many([Outgoing(log, b"%d" % number) for number in range(3, 6)])
    async with asyncio.timeout(WAIT_S):
        seen += [(await anext(scan)).payload for _ in range(3)]

    assert seen == [b"%d" % number for number in range(6)]


@contract_of_restarts
async def test_a_worker_that_was_lost_gets_nothing_any_more(world: World) -> None:
    """The simulation's crashes would not be crashes."""
    broker, lost = await world.connect(), await world.connect()
    queue = Queue(world)
    deliveries: Collected[Delivery] = Collected()
    await lost.consume(queue.stream, queue.consumer, deliveries.add)
    await lost.flush()

    await world.lose(lost)
    await wait_until(lambda: _is(not lost.is_connected))
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    await broker.publish_many([queue.message(number) for number in range(10)])

    await queue.deliveries.wait(10)
    assert deliveries.items == []


async def restart(world: World, broker: Broker) -> None:
    """Kills and starts the server, and waits until the client is back and JetStream answers."""
    await world.stop()
    await wait_until(lambda: _is(not broker.is_connected))
    await world.start()
    await wait_until(lambda: _is(broker.is_connected))

    async def is_answering() -> bool:
        try:
            await broker.stream_state(world.app.log)
        except JetrunError:
            return False
        return True

    await wait_until(is_answering)


async def _is(condition: bool) -> bool:
    return condition
