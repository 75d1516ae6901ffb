"""Deleting by subject: how queued work is taken back without harm to what is out."""

from __future__ import annotations

import asyncio

from contract.test_restarts import restart
from contract.worlds import Queue, World, contract, contract_of_restarts

ACK_WAIT_S = 2.0


@contract
async def test_deleting_takes_a_subjects_messages_and_no_others(world: World) -> None:
    """A cancelled run would take the work of others along."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(command) for command in range(1, 5)])

    assert await broker.delete(queue.stream, world.app.work_of("default", queue.key, 2)) == 1
    assert await broker.delete(queue.stream, world.app.work_of("default", queue.key, 9)) == 0
    left = await broker.read(queue.stream, world.app.work_of_run(queue.key))

    assert [message.subject.rpartition(".")[2] for message in left] == ["1", "3", "4"]


@contract
async def test_deleting_by_a_filter_takes_all_that_it_covers(world: World) -> None:
    """A cancelled fan-out would keep its queue busy for hours (R8)."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(command) for command in range(1, 301)])

    assert await broker.delete(queue.stream, world.app.work_of_run(queue.key)) == 300

    assert (await broker.stream_state(queue.stream)).messages == 0


@contract
async def test_deleting_stops_at_a_sequence(world: World) -> None:
    """What was queued since would go with what is left behind."""
    broker = await world.connect()
    queue = Queue(world)
    acks = await broker.publish_many([queue.message(command) for command in range(1, 5)])

    assert await broker.delete(queue.stream, world.app.work_filter("default"), to_seq=acks[1].seq) == 2
    left = await broker.read(queue.stream, world.app.work_of_run(queue.key))

    assert [message.seq for message in left] == [acks[2].seq, acks[3].seq]


@contract
async def test_deleted_work_is_not_delivered_and_its_ack_does_no_harm(world: World) -> None:
    """A step of a cancelled run would run, or another's ack would be lost."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.publish_many([queue.message(command, b"%d" % command) for command in (1, 2, 3)])
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add, credit=2)
    out = await queue.deliveries.wait(2)

    await broker.delete(queue.stream, world.app.work_of("default", queue.key, 1))
    await broker.delete(queue.stream, world.app.work_of("default", queue.key, 3))
    assert await broker.ack_confirmed(out[1].reply)
    await broker.ack_confirmed(out[0].reply)
    state = await broker.consumer_state(queue.stream, queue.consumer)

    assert (state.pending, state.ack_pending) == (0, 0)


@contract_of_restarts
async def test_work_that_is_out_comes_again_after_other_work_was_deleted(world: World) -> None:
    """A step would be lost for ever: after a purge by subject the server counts what was out before it as acked."""
    broker = await world.connect()
    queue = Queue(world)
    await world.tune(queue.stream, queue.consumer, ack_wait_s=ACK_WAIT_S)
    await broker.publish_many([queue.message(command, b"%d" % command) for command in range(1, 7)])
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add, credit=100)
    out = await queue.deliveries.wait(6)

    await broker.delete(queue.stream, world.app.work_of("default", queue.key, 4))
    assert await broker.ack_confirmed(out[4].reply)
    await asyncio.sleep(0.5)  # what a consumer did just before a kill may not be on disk
    await restart(world, broker)
    again = (await queue.deliveries.wait(10))[6:]

    assert {delivery.payload for delivery in again} == {b"1", b"2", b"3", b"6"}
