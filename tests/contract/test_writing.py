"""Publishing: the fence, the answers, and the limits at the door."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.worlds import PARTITIONS, Collected, Mailbox, Queue, World, contract, wait_until
from jetrun.actors.errors import InvalidName, PayloadTooLarge, ServerLost
from jetrun.actors.limits import MAIL_MESSAGE_BYTES_MAX, MAIL_MESSAGES_PER_SUBJECT_MAX
from jetrun.actors.names import RunKey
from jetrun.streams.ports import (
    EXPECT_LAST,
    SCHEDULE,
    SCHEDULE_TARGET,
    UNKNOWN,
    WRONG_LAST,
    Broker,
    Delivery,
    Outgoing,
)
from jetrun.streams.subjects import partition_of

KEY = RunKey("order", "o-1")
TOO_LARGE = 10054
FULL = 10077
NO_STREAM = 503
EXPECT_LAST_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"


def expecting(seq: int) -> dict[str, str]:
    return {EXPECT_LAST: str(seq)}


@contract
async def test_a_publish_is_answered_with_its_sequence(world: World) -> None:
    """A PubAck would mean nothing."""
    broker = await world.connect()

    first = await broker.publish(Outgoing(world.app.log_of(KEY), b"1"))
    second = await broker.publish(Outgoing(world.app.log_of(KEY), b"2"))

    assert (first.code, first.seq) == (0, 1)
    assert (second.code, second.seq) == (0, 2)


@contract
async def test_an_append_that_expects_the_last_sequence_is_stored(world: World) -> None:
    """The fence would refuse its own owner."""
    broker = await world.connect()
    subject = world.app.log_of(KEY)

    first = await broker.publish(Outgoing(subject, b"1", expecting(0)))
    other = await broker.publish(Outgoing(world.app.log_of(RunKey("order", "o-2")), b"x", expecting(0)))
    second = await broker.publish(Outgoing(subject, b"2", expecting(first.seq)))

    assert [first.code, other.code, second.code] == [0, 0, 0]


@contract
async def test_an_append_that_expects_another_sequence_is_refused_and_stores_nothing(world: World) -> None:
    """Two workers could both decide."""
    broker = await world.connect()
    subject = world.app.log_of(KEY)
    first = await broker.publish(Outgoing(subject, b"1"))

    refused = await broker.publish(Outgoing(subject, b"2", expecting(0)))

    assert (refused.code, refused.seq) == (WRONG_LAST, 0)
    assert refused.description == f"wrong last sequence: {first.seq}"
    assert [message.payload for message in await broker.read(world.app.log, subject)] == [b"1"]


@contract
async def test_the_fence_of_an_empty_subject_says_sequence_zero(world: World) -> None:
    """A worker that believes in a lost log would append to nothing."""
    broker = await world.connect()

    refused = await broker.publish(Outgoing(world.app.log_of(KEY), b"2", expecting(7)))

    assert (refused.code, refused.description) == (WRONG_LAST, "wrong last sequence: 0")


@contract
async def test_a_purged_subject_is_expected_at_zero_again(world: World) -> None:
    """Work that was taken back could never be queued again."""
    broker = await world.connect()
    work = Queue(world).message(3)
    await broker.publish(work)
    await broker.purge(world.app.work, work.subject)

    again = await broker.publish(replace(work, headers=expecting(0)))

    assert again.code == 0


@contract
async def test_work_published_again_is_refused_while_it_is_queued_or_running(world: World) -> None:
    """A repeated effect would run a step twice (R8)."""
    broker = await world.connect()
    queue = Queue(world)
    work = replace(queue.message(3), headers=expecting(0))
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)

    first = await broker.publish(work)
    await queue.deliveries.wait(1)
    again = await broker.publish(work)

    assert first.code == 0
    assert again.code == WRONG_LAST


@contract
async def test_the_fence_can_stand_on_another_subject(world: World) -> None:
    """A write could not depend on another run's log."""
    broker = await world.connect()
    log, other = world.app.log_of(KEY), world.app.log_of(RunKey("order", "o-2"))
    first = await broker.publish(Outgoing(log, b"1"))

    refused = await broker.publish(Outgoing(other, b"2", {**expecting(0), EXPECT_LAST_SUBJECT: log}))
    stored = await broker.publish(Outgoing(other, b"2", {**expecting(first.seq), EXPECT_LAST_SUBJECT: log}))

    assert refused.code == WRONG_LAST
    assert stored.code == 0


@contract
async def test_a_batch_is_stored_in_order_and_every_message_gets_its_own_answer(world: World) -> None:
    """One refusal would hide the others' outcome."""
    broker = await world.connect()
    log = world.app.log_of(KEY)
    batch = [Outgoing(log, b"1"), Outgoing(log, b"2", expecting(9)), Outgoing("nowhere.x", b"3"), Outgoing(log, b"4")]

    acks = await broker.publish_many(batch)

    assert [ack.code for ack in acks] == [0, WRONG_LAST, NO_STREAM, 0]
    assert [message.payload for message in await broker.read(world.app.log, log)] == [b"1", b"4"]


@contract
async def test_an_empty_batch_is_answered_at_once(world: World) -> None:
    """A run without effects would wait for nothing."""
    broker = await world.connect()

    assert await broker.publish_many([]) == []


@contract
async def test_a_subject_without_stream_is_refused_not_unknown(world: World) -> None:
    """A typo in the app's name would look like a slow server."""
    broker = await world.connect()

    ack = await broker.publish(Outgoing(f"wf.{world.app.name}x.run.order.o-1.start", b"{}"))

    assert ack.code == NO_STREAM
    assert ack.code != UNKNOWN


@contract
async def test_a_message_above_the_servers_limit_is_refused_before_it_is_sent(world: World) -> None:
    """The server would close the connection for good."""
    broker = await world.connect()
    log = world.app.log_of(KEY)
    large = Outgoing(log, b"x" * broker.payload_bytes_max, {"a": "b"})

    with pytest.raises(PayloadTooLarge):
        await broker.publish_many([Outgoing(log, b"1"), large])

    assert await broker.read(world.app.log, log) == []
    assert broker.is_connected


@contract
async def test_a_subject_that_breaks_the_protocol_is_refused_before_it_is_sent(world: World) -> None:
    """A space in a name would inject protocol lines."""
    broker = await world.connect()

    for subject in ("wf.a b", "wf.a\r\nPUB x 0", "", "wf.\u00e9"):
        with pytest.raises(InvalidName):
            await broker.publish(Outgoing(subject, b"{}"))

    assert broker.is_connected


@contract
async def test_publishing_on_a_closed_connection_says_so(world: World) -> None:
    """A drained worker would wait for an answer that never comes."""
    broker = await world.connect()
    await broker.close()
    await broker.close()

    with pytest.raises(ServerLost):
        await broker.publish(Outgoing(world.app.log_of(KEY), b"1"))


@contract
async def test_headers_come_back_as_they_were_sent(world: World) -> None:
    """Trace context and content types would be lost."""
    broker = await world.connect()
    log = world.app.log_of(KEY)

    await broker.publish(Outgoing(log, b"1", {"Own": "a: b", "Other": "\u00fc"}))
    await broker.publish(Outgoing(log, b"2"))

    stored = await broker.read(world.app.log, log)
    assert dict(stored[0].headers) == {"Own": "a: b", "Other": "\u00fc"}
    assert dict(stored[1].headers) == {}


@contract
async def test_mail_is_stored_under_the_partition_of_the_run_id(world: World) -> None:
    """A worker would look for a run's mail in another partition."""
    broker = await world.connect()
    keys = [RunKey("order", f"o-{number}") for number in range(20)]

    await broker.publish_many([Outgoing(world.app.input(key, "hook", "approval"), b"{}") for key in keys])

    stored = await broker.read(world.app.mail, f"wf.{world.app.name}.mail.>")
    expected = [world.app.mailbox(partition_of(key.run, PARTITIONS), key, "hook") + ".approval" for key in keys]
    assert [message.subject for message in stored] == expected
    assert {partition_of(key.run, PARTITIONS) for key in keys} == {0, 1}


@contract
async def test_mail_without_a_verb_has_no_stream(world: World) -> None:
    """A start sent to a half subject would be acknowledged and lost."""
    broker = await world.connect()

    ack = await broker.publish(Outgoing(f"wf.{world.app.name}.run.order.o-1", b"{}"))

    assert ack.code == NO_STREAM


@contract
async def test_mail_with_extra_tokens_or_an_unknown_verb_reaches_its_partition(world: World) -> None:
    """The worker's check of subjects would never see it (R10)."""
    broker = await world.connect()
    prefix = f"wf.{world.app.name}"

    acks = await broker.publish_many([Outgoing(f"{prefix}.run.order.o-1.{verb}", b"{}") for verb in ("a.b.c", "cancl")])

    assert [ack.code for ack in acks] == [0, 0]
    stored = await broker.read(world.app.mail, world.app.mail_filter(partition_of("o-1", PARTITIONS)))
    assert [message.subject.split(".", 4)[4] for message in stored] == ["order.o-1.a.b.c", "order.o-1.cancl"]


@contract
async def test_mail_with_a_literal_wildcard_is_stored_where_no_partition_sees_it(world: World) -> None:
    """The server acknowledges it and rewrites nothing: whoever dead-letters it has to look at the door itself (R10)."""
    broker = await world.connect()
    prefix = f"wf.{world.app.name}"
    subjects = [f"{prefix}.run.{rest}" for rest in ("*.>.start", "order.*.start", "order.o-1.>")]

    acks = await broker.publish_many([Outgoing(subject, b"{}") for subject in subjects])

    assert [ack.code for ack in acks] == [0, 0, 0]
    assert await broker.read(world.app.mail, f"{prefix}.mail.>") == []
    assert [message.subject for message in await broker.read(world.app.mail, f"{prefix}.run.>")] == subjects


@contract
async def test_mail_with_a_literal_wildcard_is_handed_out_as_a_stray(world: World) -> None:
    """What a sender was told to be stored would lie in the mailbox for ever (R10)."""
    broker = await world.connect()
    strays: Collected[Delivery] = Collected()
    prefix = f"wf.{world.app.name}"
    wild = [
        f"{prefix}.run.{rest}" for rest in ("*.>.start", "order.*.start", ">.o-1.start", "order.o-1.>", "a.b.hook.*")
    ]
    await broker.consume(world.app.mail, world.app.strays_consumer, strays.add)

    await broker.publish_many([Outgoing(subject, b"{}") for subject in (f"{prefix}.run.order.o-1.start", *wild)])

    found = await strays.wait(len(wild))
    assert [delivery.subject for delivery in found] == wild
    for delivery in found:
        broker.ack(delivery.reply)
    await wait_until(lambda: _has_one_message(broker, world.app.mail))


async def _has_one_message(broker: Broker, stream: str) -> bool:
    return (await broker.stream_state(stream)).messages == 1


@contract
async def test_mail_above_its_size_is_refused_with_a_code(world: World) -> None:
    """A 10 MB body would reach a worker."""
    broker = await world.connect()
    mailbox = Mailbox(world)

    fits = await broker.publish(mailbox.message(b"x" * MAIL_MESSAGE_BYTES_MAX))
    refused = await broker.publish(mailbox.message(b"x" * (MAIL_MESSAGE_BYTES_MAX + 1)))
    with_headers = await broker.publish(replace(mailbox.message(b"x" * MAIL_MESSAGE_BYTES_MAX), headers={"a": "b"}))

    assert [fits.code, refused.code, with_headers.code] == [0, TOO_LARGE, TOO_LARGE]


@contract
async def test_mail_of_one_subject_has_a_bound_and_the_publisher_is_told(world: World) -> None:
    """A flood of hooks to one run would be stored without end, or silently replace older ones."""
    broker = await world.connect()
    mailbox, other = Mailbox(world), Mailbox(world, "o-2")
    full = [mailbox.message(b"{}", "cancel")] * MAIL_MESSAGES_PER_SUBJECT_MAX

    acks = await broker.publish_many(full, timeout_s=30)
    refused = await broker.publish(mailbox.message(b"{}", "cancel"))
    others = await broker.publish(other.message(b"{}", "cancel"))

    assert {ack.code for ack in acks} == {0}
    assert refused.code == FULL
    assert others.code == 0


@contract
async def test_mail_takes_no_header_that_acts_on_the_server(world: World) -> None:
    """Whoever may start a run could wipe the stream (NATS.md)."""
    broker = await world.connect()
    mailbox = Mailbox(world)
    await broker.publish(mailbox.message())

    schedule = {SCHEDULE: "@at 2020-01-01T00:00:00Z", SCHEDULE_TARGET: world.app.input(KEY, "cancel")}
    acks = [
        await broker.publish(replace(mailbox.message(), headers=headers))
        for headers in (schedule, {"Nats-Rollup": "all"}, {"Nats-TTL": "1s"})
    ]

    assert [ack.code for ack in acks] == [10188, 10111, 10166]
    assert (await broker.stream_state(world.app.mail)).messages == 1


@contract
async def test_the_index_keeps_the_newest_entry_of_a_run(world: World) -> None:
    """Lists would grow with every change of every run (R20)."""
    broker = await world.connect()
    subject = world.app.index_of("open", KEY)

    await broker.publish_many([Outgoing(subject, b"%d" % number) for number in range(5)])

    assert [message.payload for message in await broker.read(world.app.index, subject)] == [b"4"]


@contract
async def test_a_plain_notice_to_a_streams_subject_is_stored(world: World) -> None:
    """`nats pub` could not start a run."""
    broker = await world.connect()
    mailbox = Mailbox(world)

    broker.notify(mailbox.message().subject, b'{"args":[]}')
    await broker.flush()
    last = await broker.publish(mailbox.message(b"second"))

    stored = await broker.read(world.app.mail, f"wf.{world.app.name}.mail.>")
    assert [message.payload for message in stored] == [b'{"args":[]}', b"second"]
    assert last.seq == 2
