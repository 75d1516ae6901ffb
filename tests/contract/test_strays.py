"""Strays: what the public door takes and no partition gets, and how it is found."""

from __future__ import annotations

from contract.worlds import PARTITIONS, Collected, Mailbox, World, contract
from jetrun.streams.faults import NO_RESPONDERS
from jetrun.streams.ports import Broker, Delivery, Outgoing

STRAYS = (
    "order.*.start",
    "order.>.start",
    "*.o-1.start",
    ">.o-1.start",
    "order.o-1.*",
    "order.o-1.hook.>",
    "*.*.*.>.x",
)


def outgoing(world: World, tail: str) -> Outgoing:
    return Outgoing(f"wf.{world.app.name}.run.{tail}", b"{}")


async def waiting(broker: Broker, world: World) -> list[int]:
    """Counts what waits for each partition."""
    states = [await broker.consumer_state(world.app.mail, world.app.mail_consumer(p)) for p in range(PARTITIONS)]
    return [state.pending for state in states]


@contract
async def test_what_holds_a_wildcard_goes_to_the_strays_alone(world: World) -> None:
    """It is stored as it was published, without a partition: acknowledged, and lost without a consumer of its own."""
    broker, strays = await world.connect(), Collected[Delivery]()
    wanted = [outgoing(world, tail) for tail in STRAYS]

    acks = await broker.publish_many(wanted)
    pending = await waiting(broker, world)
    await broker.consume(world.app.mail, world.app.strays_consumer, strays.add)
    deliveries = await strays.wait(len(STRAYS))

    assert [ack.code for ack in acks] == [0] * len(STRAYS)
    assert pending == [0] * PARTITIONS
    assert [delivery.subject for delivery in deliveries] == [message.subject for message in wanted]


@contract
async def test_what_has_no_verb_or_an_empty_token_is_not_taken(world: World) -> None:
    """A sender would be told that it is stored, and nobody would ever read it."""
    broker = await world.connect()
    tails = ("order.o-1", "order", "*", ">", "order.>", "order..start", "order.o-1.", ".o-1.start", "order.o-1..start")

    acks = await broker.publish_many([outgoing(world, tail) for tail in tails])

    assert [ack.code for ack in acks] == [NO_RESPONDERS] * len(tails)
    assert (await broker.stream_state(world.app.mail)).messages == 0


@contract
async def test_everything_else_reaches_a_partition(world: World) -> None:
    """What the transform passed over would be with the strays, or nowhere."""
    broker, strays = await world.connect(), Collected[Delivery]()
    tails = (
        "order.o-1.start",
        "order.a*b.start",
        "order.a>b.hook.x",
        "$1.{{wildcard(1)}}.{{.}}",
        "order.o-1.a.b.c.d.e",
    )

    await broker.publish_many([outgoing(world, tail) for tail in tails])
    await broker.consume(world.app.mail, world.app.strays_consumer, strays.add)

    assert sum(await waiting(broker, world)) == len(tails)
    assert strays.items == []


@contract
async def test_the_mailbox_can_be_read_and_cut_from_the_front(world: World) -> None:
    """What no filter finds can be reached in no other way; what stands behind it must stay."""
    broker, one, other = await world.connect(), Mailbox(world, "o-1"), Mailbox(world, "o-2")
    await broker.publish_many([one.message(b"1"), other.message(b"2"), one.message(b"3", "cancel")])
    first_seq = (await broker.stream_state(one.stream)).first_seq

    front = await broker.read(one.stream, ">", from_seq=first_seq, to_seq=first_seq)
    counts = [await broker.purge(one.stream, ">", to_seq=first_seq) for _ in range(2)]
    behind = await broker.read(one.stream, ">", from_seq=first_seq, to_seq=first_seq)
    left = await broker.read(one.stream, ">")

    assert [message.payload for message in front] == [b"1"]
    assert counts == [1, 0]
    assert behind == []
    assert [message.payload for message in left] == [b"2", b"3"]
