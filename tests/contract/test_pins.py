"""Pinned consumers: one pull is served, and another takes over when it falls silent."""

from __future__ import annotations

import asyncio

from contract.worlds import Collected, Mailbox, World, contract, payloads, wait_until
from jetrun.actors.limits import PIN_TIMEOUT_S
from jetrun.streams.ports import Broker, Consumption, Delivery


async def send(broker: Broker, mailbox: Mailbox, *texts: bytes) -> None:
    acks = await broker.publish_many([mailbox.message(text, "cancel") for text in texts])
    assert {ack.code for ack in acks} == {0}


@contract
async def test_one_of_two_pulls_is_served(world: World) -> None:
    """A run's messages would go to two workers in turn."""
    owner, standby = await world.connect(), await world.connect()
    mine, theirs = Mailbox(world), Mailbox(world)
    serving = await owner.consume(mine.stream, mine.consumer, mine.deliveries.add, is_pinned=True)
    await owner.flush()
    waiting = await standby.consume(mine.stream, mine.consumer, theirs.deliveries.add, is_pinned=True)
    await standby.flush()

    for number in range(20):
        await send(owner, mine, b"%d" % number)
    deliveries = await mine.deliveries.wait(20)

    assert theirs.deliveries.items == []
    assert {delivery.pin for delivery in deliveries} == {serving.pin}
    assert serving.pin != ""
    assert waiting.pin == ""
    assert (await owner.consumer_state(mine.stream, mine.consumer)).pin == serving.pin


@contract
async def test_an_idle_owner_keeps_its_pin(world: World) -> None:
    """Every quiet partition would change hands all the time, and replay all its runs."""
    owner, standby = await world.connect(), await world.connect()
    mine, theirs = Mailbox(world), Mailbox(world)
    serving = await owner.consume(mine.stream, mine.consumer, mine.deliveries.add, is_pinned=True)
    await send(owner, mine, b"1")
    await mine.deliveries.wait(1)
    owner.ack(mine.deliveries.items[0].reply)
    await standby.consume(mine.stream, mine.consumer, theirs.deliveries.add, is_pinned=True)
    pin = serving.pin

    await asyncio.sleep(2.5 * PIN_TIMEOUT_S)
    await send(standby, mine, b"2")

    assert payloads(await mine.deliveries.wait(2)) == [b"1", b"2"]
    assert theirs.deliveries.items == []
    assert serving.pin == pin


@contract
async def test_a_dead_owner_is_followed_within_the_pin_timeout(world: World) -> None:
    """Its runs would stand still (must move on within 5 s)."""
    owner, standby = await world.connect(), await world.connect()
    mine, theirs = Mailbox(world), Mailbox(world)
    await owner.consume(mine.stream, mine.consumer, mine.deliveries.add, is_pinned=True)
    await send(owner, mine, b"1")
    [first] = await mine.deliveries.wait(1)
    waiting = await standby.consume(mine.stream, mine.consumer, theirs.deliveries.add, is_pinned=True)
    loop = asyncio.get_running_loop()

    await world.lose(owner)
    lost_at = loop.time()
    # What is sent before the server notices may go to the dead connection: only the takeover read brings that (R6).
    while not theirs.deliveries.items:
        await send(standby, mine, b"more")
        await asyncio.sleep(0.1)
    second = theirs.deliveries.items[0]

    assert second.payload == b"more"
    assert second.pin == waiting.pin
    assert second.pin not in ("", first.pin)
    assert loop.time() - lost_at < PIN_TIMEOUT_S + 1


@contract
async def test_unpinning_hands_over_at_once(world: World) -> None:
    """A draining worker's partitions would stand still for the pin timeout."""
    owner, standby = await world.connect(), await world.connect()
    mine, theirs = Mailbox(world), Mailbox(world)
    serving = await owner.consume(mine.stream, mine.consumer, mine.deliveries.add, is_pinned=True)
    await send(owner, mine, b"1")
    await mine.deliveries.wait(1)
    await owner.ack_confirmed(mine.deliveries.items[0].reply)
    await standby.consume(mine.stream, mine.consumer, theirs.deliveries.add, is_pinned=True)
    await standby.flush()
    loop = asyncio.get_running_loop()

    await serving.close()
    await owner.unpin(mine.stream, mine.consumer)
    await owner.unpin(mine.stream, mine.consumer)
    began_at = loop.time()
    await send(owner, mine, b"2")

    assert payloads(await theirs.deliveries.wait(1)) == [b"2"]
    assert loop.time() - began_at < 1
    assert len(mine.deliveries.items) == 1


@contract
async def test_an_owner_that_lost_its_pin_stands_by_and_can_get_it_back(world: World) -> None:
    """A worker that slept once would never be served again."""
    first, second = await world.connect(), await world.connect()
    mine, theirs = Mailbox(world), Mailbox(world)
    serving = await first.consume(mine.stream, mine.consumer, mine.deliveries.add, is_pinned=True)
    await send(first, mine, b"1")
    await mine.deliveries.wait(1)
    taking_over = await second.consume(mine.stream, mine.consumer, theirs.deliveries.add, is_pinned=True)
    await second.flush()

    await second.unpin(mine.stream, mine.consumer)
    await send(first, mine, b"2")
    await theirs.deliveries.wait(1)
    await wait_until(lambda: _is_standing_by(serving))
    await taking_over.close()
    await second.unpin(mine.stream, mine.consumer)
    await send(first, mine, b"3")
    found = await mine.deliveries.wait(2)

    assert payloads(theirs.deliveries.items) == [b"2"]
    assert payloads(found) == [b"1", b"3"]
    assert found[0].pin != found[1].pin == serving.pin


@contract
async def test_unacked_messages_go_to_the_new_owner_after_the_ack_wait_in_any_order(world: World) -> None:
    """What the dead worker held would be lost; its order is lost indeed, hence the takeover read (R6)."""
    owner, standby = await world.connect(), await world.connect()
    mine, theirs = Mailbox(world), Mailbox(world)
    await world.tune(mine.stream, mine.consumer, ack_wait_s=1.0)
    await owner.consume(mine.stream, mine.consumer, mine.deliveries.add, is_pinned=True)
    await send(owner, mine, b"1", b"2")
    await mine.deliveries.wait(2)
    await standby.consume(mine.stream, mine.consumer, theirs.deliveries.add, is_pinned=True)

    await world.lose(owner)
    found = await theirs.deliveries.wait(2)

    assert sorted((one.payload, one.deliveries >= 2) for one in found[:2]) == [(b"1", True), (b"2", True)]


@contract
async def test_partitions_have_owners_of_their_own(world: World) -> None:
    """All runs of an app would live in one worker."""
    first, second = await world.connect(), await world.connect()
    even, odd = Mailbox(world, "o-1"), Mailbox(world, "o-2")
    assert even.partition != odd.partition
    one = await first.consume(even.stream, even.consumer, even.deliveries.add, is_pinned=True)
    two = await second.consume(odd.stream, odd.consumer, odd.deliveries.add, is_pinned=True)

    await send(first, even, b"e")
    await send(first, odd, b"o")

    assert payloads(await even.deliveries.wait(1)) == [b"e"]
    assert payloads(await odd.deliveries.wait(1)) == [b"o"]
    assert one.pin != two.pin


@contract
async def test_a_pull_that_came_first_is_not_an_owner_before_it_is_served(world: World) -> None:
    """A worker would believe to own what it was never given."""
    broker = await world.connect()
    mailbox = Mailbox(world)
    deliveries: Collected[Delivery] = Collected()

    consumption = await broker.consume(mailbox.stream, mailbox.consumer, deliveries.add, is_pinned=True)
    await broker.flush()

    assert consumption.pin == ""
    assert (await broker.consumer_state(mailbox.stream, mailbox.consumer)).pin == ""


async def _is_standing_by(consumption: Consumption) -> bool:
    return consumption.pin == ""
