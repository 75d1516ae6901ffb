"""Delayed messages: never early, once, replaced and cancelled by subject."""

from __future__ import annotations

from msgspec.structs import replace

from contract.worlds import Queue, Timers, World, at, contract, payloads
from jetrun.actors.names import RunKey
from jetrun.streams.ports import EXPECT_LAST, SCHEDULE, SCHEDULE_TARGET, WRONG_LAST, Outgoing

KEY = RunKey("order", "o-1")
LATE_US = 1_500_000
"""The server wakes every 250 ms; the rest is the machine that the test runs on."""


@contract
async def test_a_timer_fires_once_to_its_target_and_never_early(world: World) -> None:
    """A sleep would end before its time."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()
    now_us = broker.now_us()
    due = {b"%d" % number: now_us + 300_000 + number * 37_000 for number in range(20)}

    acks = await broker.publish_many(
        [timers.message(name.decode(), due_at_us, name) for name, due_at_us in due.items()]
    )
    fired = await timers.fired.wait(20)

    assert {ack.code for ack in acks} == {0}
    assert sorted(payloads(fired)) == sorted(due)
    for delivery in fired:
        assert 0 <= delivery.at_us - due[delivery.payload] <= LATE_US
        assert delivery.subject == world.app.fired(0, KEY)
    state = await broker.stream_state(world.app.timers)
    assert state.messages == 20
    assert state.subjects == 1


@contract
async def test_a_waiting_timer_is_stored_and_not_delivered(world: World) -> None:
    """A worker would get its own order to wait."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()

    await broker.publish(timers.message("1", broker.now_us() + 3_600_000_000))
    await broker.publish(timers.message("2", broker.now_us() + 100_000, b"soon"))
    fired = await timers.fired.wait(1)

    assert payloads(fired) == [b"soon"]
    assert len(await broker.read(world.app.timers, world.app.timers_of_run(KEY))) == 1


@contract
async def test_a_timer_that_is_due_already_fires(world: World) -> None:
    """A repeated effect of an overdue sleep would wait for ever."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()

    await broker.publish(timers.message("1", broker.now_us() - 10_000_000))

    assert payloads(await timers.fired.wait(1)) == [b"{}"]


@contract
async def test_a_timer_set_again_replaces_the_first(world: World) -> None:
    """A repeated effect would wake the run twice; a moved deadline would fire at its old time."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()
    now_us = broker.now_us()

    await broker.publish(timers.message("1", now_us + 400_000, b"old"))
    await broker.publish(timers.message("1", now_us + 900_000, b"new"))
    await broker.publish(timers.message("2", now_us + 1_500_000, b"end"))
    stored = await broker.read(world.app.timers, world.app.timers_of_run(KEY))
    fired = await timers.fired.wait(2)

    assert len(stored) == 2
    assert payloads(fired) == [b"new", b"end"]
    assert fired[0].at_us >= now_us + 900_000


@contract
async def test_purging_a_timer_cancels_it(world: World) -> None:
    """A hook's timeout would fire after the hook came."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()
    now_us = broker.now_us()
    await broker.publish_many([timers.message(str(number), now_us + 400_000, b"no") for number in (1, 2)])
    await broker.publish(timers.message("3", now_us + 900_000, b"yes"))

    assert await broker.purge(world.app.timers, world.app.timer(0, KEY, "1")) == 1
    assert await broker.purge(world.app.timers, world.app.timer(0, KEY, "2")) == 1

    assert payloads(await timers.fired.wait(1)) == [b"yes"]


@contract
async def test_a_runs_timers_are_purged_by_one_filter(world: World) -> None:
    """An ended run would leave its timers behind."""
    broker = await world.connect()
    timers = Timers(world, broker)
    now_us = broker.now_us()
    await broker.publish_many([timers.message(str(number), now_us + 60_000_000) for number in range(5)])

    assert await broker.purge(world.app.timers, world.app.timers_of_run(KEY)) == 5

    assert (await broker.stream_state(world.app.timers)).messages == 0


@contract
async def test_a_fired_message_keeps_own_headers_and_says_where_it_is_from(world: World) -> None:
    """A retry would lose what its work message carried."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()
    message = timers.message("1", broker.now_us() + 100_000)
    headers = {**(message.headers or {}), "Own": "x", EXPECT_LAST: "0"}

    await broker.publish(replace(message, headers=headers))
    [fired] = await timers.fired.wait(1)

    assert fired.headers["Own"] == "x"
    assert fired.headers["Nats-Scheduler"] == message.subject
    assert SCHEDULE not in fired.headers
    assert SCHEDULE_TARGET not in fired.headers
    assert EXPECT_LAST not in fired.headers


@contract
async def test_a_timers_subject_can_be_fenced(world: World) -> None:
    """A repeated effect could not tell that the timer is set."""
    broker = await world.connect()
    timers = Timers(world, broker)
    message = timers.message("1", broker.now_us() + 60_000_000)
    fenced = replace(message, headers={**(message.headers or {}), EXPECT_LAST: "0"})

    first, again = await broker.publish(fenced), await broker.publish(fenced)

    assert [first.code, again.code] == [0, WRONG_LAST]


@contract
async def test_a_retry_becomes_work_when_it_is_due(world: World) -> None:
    """A failed step would never be tried again (R8)."""
    broker = await world.connect()
    queue = Queue(world)
    await broker.consume(queue.stream, queue.consumer, queue.deliveries.add)
    due_at_us = broker.now_us() + 300_000
    work = queue.message(3, b"again")

    await broker.publish(
        Outgoing(world.app.retry(KEY, 3), b"again", {SCHEDULE: at(due_at_us), SCHEDULE_TARGET: work.subject})
    )
    [delivery] = await queue.deliveries.wait(1)

    assert (delivery.subject, delivery.payload, delivery.deliveries) == (work.subject, b"again", 1)
    assert delivery.at_us >= due_at_us
    assert await broker.read(queue.stream, world.app.retry_of_run(KEY)) == []


@contract
async def test_impossible_schedules_are_refused_with_a_code(world: World) -> None:
    """A timer would be acknowledged and never fire."""
    broker = await world.connect()
    app = world.app
    subject, target = app.timer(0, KEY, "1"), app.fired(0, KEY)
    soon = at(broker.now_us() + 1_000_000)

    codes = [
        (await broker.publish(Outgoing(subject, b"{}", headers))).code
        for headers in (
            {SCHEDULE: "tomorrow", SCHEDULE_TARGET: target},
            {SCHEDULE: soon.removeprefix("@at "), SCHEDULE_TARGET: target},
            {SCHEDULE: soon},
            {SCHEDULE: soon, SCHEDULE_TARGET: subject},
            {SCHEDULE: soon, SCHEDULE_TARGET: f"wf.{app.name}.fired.0.*"},
            {SCHEDULE: soon, SCHEDULE_TARGET: app.log_of(KEY)},
        )
    ]

    assert codes == [10189, 10189, 10190, 10190, 10190, 10190]
    assert (await broker.stream_state(app.timers)).messages == 0


@contract
async def test_a_plain_message_on_a_timers_subject_ends_the_timer(world: World) -> None:
    """The twin would keep a timer that the server has dropped."""
    broker = await world.connect()
    timers = Timers(world, broker)
    await timers.watch()
    now_us = broker.now_us()
    await broker.publish(timers.message("1", now_us + 300_000, b"no"))
    await broker.publish(Outgoing(world.app.timer(0, KEY, "1"), b"plain"))
    await broker.publish(timers.message("2", now_us + 900_000, b"yes"))

    assert payloads(await timers.fired.wait(1)) == [b"yes"]
    assert len(await broker.read(world.app.timers, world.app.timer(0, KEY, "1"))) == 2
