"""Reading: pages, last messages, scans without gap, purges and what a stream holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from contract.worlds import WAIT_S, World, contract
from jetrun.actors.errors import NotProvisioned
from jetrun.actors.names import RunKey
from jetrun.streams.ports import Broker, Outgoing

KEY = RunKey("order", "o-1")
OTHER = RunKey("order", "o-2")


async def append(broker: Broker, world: World, key: RunKey, *texts: bytes) -> list[int]:
    acks = await broker.publish_many([Outgoing(world.app.log_of(key), text) for text in texts])
    assert {ack.code for ack in acks} <= {0}
    return [ack.seq for ack in acks]


@contract
async def test_a_log_is_read_whole_in_order_and_without_others(world: World) -> None:
    """Replay would see another history."""
    broker = await world.connect()
    await append(broker, world, KEY, b"1", b"2")
    await append(broker, world, OTHER, b"x")
    seqs = await append(broker, world, KEY, b"3")

    found = await broker.read(world.app.log, world.app.log_of(KEY))

    assert [message.payload for message in found] == [b"1", b"2", b"3"]
    assert found[-1].seq == seqs[0]
    assert {message.subject for message in found} == {world.app.log_of(KEY)}
    assert found[0].at_us <= found[1].at_us <= found[2].at_us
    assert abs(found[0].at_us - broker.now_us()) < 60_000_000


@contract
async def test_a_log_is_read_between_two_sequences(world: World) -> None:
    """A worker would load again what it knows."""
    broker = await world.connect()
    seqs = await append(broker, world, KEY, b"1", b"2", b"3", b"4")
    log, subject = world.app.log, world.app.log_of(KEY)

    tail = await broker.read(log, subject, from_seq=seqs[2])
    middle = await broker.read(log, subject, from_seq=seqs[1], to_seq=seqs[2])
    nothing = await broker.read(log, subject, from_seq=seqs[3] + 1)

    assert [message.payload for message in tail] == [b"3", b"4"]
    assert [message.payload for message in middle] == [b"2", b"3"]
    assert nothing == []


@contract
async def test_a_log_larger_than_a_page_is_read_whole(world: World) -> None:
    """A batched read ends silently at the server's bound (R11)."""
    broker = await world.connect()
    texts = [bytes([65 + number]) * 500_000 for number in range(20)]
    await append(broker, world, KEY, *texts)

    found = await broker.read(world.app.log, world.app.log_of(KEY))

    assert [message.payload for message in found] == texts


@contract
async def test_an_unknown_run_has_no_log(world: World) -> None:
    """An unknown run would look like an error of the server."""
    broker = await world.connect()
    log, subject = world.app.log, world.app.log_of(KEY)

    assert await broker.read(log, subject) == []
    assert await broker.last(log, subject) is None
    assert await broker.last_direct(log, subject) is None


@contract
async def test_a_filter_reads_many_subjects_in_stream_order(world: World) -> None:
    """The takeover read would mix up a partition's messages (R6)."""
    broker = await world.connect()
    await append(broker, world, KEY, b"1")
    await append(broker, world, OTHER, b"2")
    await append(broker, world, KEY, b"3")

    found = await broker.read(world.app.log, f"wf.{world.app.name}.log.>")

    assert [message.payload for message in found] == [b"1", b"2", b"3"]


@contract
async def test_the_last_message_of_a_subject_is_the_one_just_stored(world: World) -> None:
    """A verdict would be given on an old log (R4)."""
    broker, writer = await world.connect(), await world.connect()
    log, subject = world.app.log, world.app.log_of(KEY)

    for number in range(5):
        [seq] = await append(writer, world, KEY, b"%d" % number)
        last = await broker.last(log, subject)
        assert last is not None
        assert (last.seq, last.payload, last.subject) == (seq, b"%d" % number, subject)

    direct = await broker.last_direct(log, subject)
    assert direct is not None
    assert direct.payload == b"4"


@contract
async def test_the_last_message_comes_with_its_headers_and_time(world: World) -> None:
    """A timer's age could not be told."""
    broker = await world.connect()
    subject = world.app.log_of(KEY)
    await broker.publish(Outgoing(subject, b"1", {"Own": "x"}))
    [stored] = await broker.read(world.app.log, subject)

    last = await broker.last(world.app.log, subject)
    direct = await broker.last_direct(world.app.log, subject)

    for found in (last, direct):
        assert found is not None
        assert (found.seq, found.at_us, dict(found.headers)) == (stored.seq, stored.at_us, {"Own": "x"})


@contract
async def test_a_scan_gives_a_filter_in_stream_order_and_ends(world: World) -> None:
    """`runs list` would never end."""
    broker = await world.connect()
    await append(broker, world, KEY, *[b"%d" % number for number in range(700)])
    await append(broker, world, OTHER, b"x")

    everything = [message async for message in broker.scan(world.app.log, f"wf.{world.app.name}.log.>")]
    one = [message async for message in broker.scan(world.app.log, world.app.log_of(OTHER))]
    none = [message async for message in broker.scan(world.app.log, f"wf.{world.app.name}.log.unknown.*")]

    assert [message.payload for message in everything] == [*[b"%d" % number for number in range(700)], b"x"]
    assert [message.seq for message in everything] == sorted(message.seq for message in everything)
    assert [(message.payload, message.subject) for message in one] == [(b"x", world.app.log_of(OTHER))]
    assert none == []


@contract
async def test_a_scan_of_newest_gives_one_message_per_subject(world: World) -> None:
    """A list of runs would read every record ever written."""
    broker = await world.connect()
    await append(broker, world, KEY, b"1", b"2")
    await append(broker, world, OTHER, b"3")
    await append(broker, world, KEY, b"4")

    found = [
        message.payload
        async for message in broker.scan(world.app.log, f"wf.{world.app.name}.log.>", last_per_subject=True)
    ]

    assert found == [b"3", b"4"]


@contract
async def test_a_scan_that_follows_has_no_gap_while_others_write(world: World) -> None:
    """`wfctl tail` would miss records between reading and listening."""
    broker, writer = await world.connect(), await world.connect()
    await append(writer, world, KEY, *[b"%d" % number for number in range(100)])
    seen: list[bytes] = []

    async def follow() -> None:
        async with contextlib.aclosing(_scan(broker, world)) as messages:
            async for message in messages:
                seen.append(message)
                if len(seen) == 300:
                    return

    async with asyncio.timeout(WAIT_S):
        following = asyncio.ensure_future(follow())
        for number in range(100, 300):
            await append(writer, world, KEY, b"%d" % number)
        await following

    assert seen == [b"%d" % number for number in range(300)]


async def _scan(broker: Broker, world: World) -> AsyncGenerator[bytes, None]:
    async for message in broker.scan(world.app.log, world.app.log_of(KEY), follow=True):
        yield message.payload


@contract
async def test_a_scan_that_follows_waits_for_what_comes(world: World) -> None:
    """A tail would end with the backlog."""
    broker, writer = await world.connect(), await world.connect()
    scan = broker.scan(world.app.log, world.app.log_of(KEY), follow=True)

    async with asyncio.timeout(WAIT_S):
        first = asyncio.ensure_future(anext(scan))
        await append(writer, world, OTHER, b"x")
        await append(writer, world, KEY, b"1")
        assert (await first).payload == b"1"
        await append(writer, world, KEY, b"2")
        assert (await anext(scan)).payload == b"2"


@contract
async def test_a_purge_deletes_a_subject_and_tells_how_much(world: World) -> None:
    """A cancelled timer would fire, a forgotten run would stay."""
    broker = await world.connect()
    await append(broker, world, KEY, b"1", b"2", b"3")
    await append(broker, world, OTHER, b"x")
    log, subject = world.app.log, world.app.log_of(KEY)

    assert await broker.purge(log, subject) == 3
    assert await broker.purge(log, subject) == 0

    assert await broker.read(log, subject) == []
    assert len(await broker.read(log, world.app.log_of(OTHER))) == 1


@contract
async def test_a_purge_can_keep_the_newest(world: World) -> None:
    """Retention would free the id of an ended run (R15)."""
    broker = await world.connect()
    await append(broker, world, KEY, b"1", b"2", b"3")
    log, subject = world.app.log, world.app.log_of(KEY)

    assert await broker.purge(log, subject, keep=1) == 2
    assert await broker.purge(log, subject, keep=1) == 0

    assert [message.payload for message in await broker.read(log, subject)] == [b"3"]


@contract
async def test_a_purge_can_spare_what_is_newer(world: World) -> None:
    """A late purge of an expired log would take the run that was started meanwhile (R4)."""
    broker = await world.connect()
    seqs = await append(broker, world, KEY, b"1", b"2", b"3")
    log, subject = world.app.log, world.app.log_of(KEY)

    assert await broker.purge(log, subject, to_seq=seqs[1]) == 2
    assert await broker.purge(log, subject, to_seq=seqs[1]) == 0

    assert [message.payload for message in await broker.read(log, subject)] == [b"3"]


@contract
async def test_a_purge_takes_a_filter(world: World) -> None:
    """A run's queued steps would have to be taken back one by one (R8)."""
    broker = await world.connect()
    app = world.app
    subjects = [app.work_of(queue, KEY, command) for queue in ("default", "slow") for command in (1, 2)]
    await broker.publish_many([Outgoing(subject, b"{}") for subject in subjects])
    await broker.publish(Outgoing(app.work_of("default", OTHER, 1), b"other"))

    assert await broker.purge(app.work, app.work_of_run(KEY)) == 4

    assert [message.payload for message in await broker.read(app.work, app.work_filter("default"))] == [b"other"]


@contract
async def test_the_state_of_a_stream_counts_what_it_holds(world: World) -> None:
    """A doctor could not tell an empty stream from a full one."""
    broker = await world.connect()
    empty = await broker.stream_state(world.app.log)
    seqs = await append(broker, world, KEY, b"1", b"2", b"3")
    await append(broker, world, OTHER, b"x")
    await broker.purge(world.app.log, world.app.log_of(KEY), keep=1)

    state = await broker.stream_state(world.app.log)

    assert (empty.messages, empty.last_seq, empty.subjects, empty.lost) == (0, 0, 0, 0)
    assert (state.messages, state.first_seq, state.last_seq, state.subjects, state.lost) == (
        2,
        seqs[2],
        seqs[2] + 1,
        2,
        0,
    )
    assert state.bytes == sum(len(world.app.log_of(key)) + 1 + 30 for key in (KEY, OTHER))


@contract
async def test_a_missing_stream_is_an_error_that_says_so(world: World) -> None:
    """An app that was never provisioned would look empty."""
    broker = await world.connect()
    stream = f"WF_{world.app.name}_NONE"

    with pytest.raises(NotProvisioned):
        await broker.stream_state(stream)
    with pytest.raises(NotProvisioned):
        await broker.read(stream, "wf.x")
    with pytest.raises(NotProvisioned):
        await broker.last(stream, "wf.x")
    with pytest.raises(NotProvisioned):
        await broker.purge(stream, "wf.x")
    with pytest.raises(NotProvisioned):
        async for _ in broker.scan(stream, "wf.x"):
            pass
