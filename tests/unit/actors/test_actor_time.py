"""Time: the run's, moved by messages alone; timers are never early and fire once (R14, P6)."""

from __future__ import annotations

import asyncio
from typing import Any

from jetrun.actors import hook, now, sleep, workflow
from jetrun.actors.messages import Tick
from support.log_rig import SECOND, START_US, LogRig, hook_body


@workflow
async def sleeper() -> list[str]:
    seen = [now().isoformat()]
    await sleep(10)
    seen.append(now().isoformat())
    await sleep("1m")
    return [*seen, now().isoformat()]


@workflow
async def gatherer() -> list[Any]:
    order: list[Any] = []

    async def one(name: str, delay: float) -> None:
        await sleep(delay)
        order.append([name, asyncio.get_running_loop().time()])

    await asyncio.gather(one("c", 3), one("a", 1), one("b", 3), hook("go"))
    return order


@workflow(max_duration="30s")
async def bounded() -> None:
    await hook("go", timeout="20s")
    await hook("go")


@workflow
async def until() -> float:
    await sleep(now())
    return asyncio.get_running_loop().time()


def test_now_is_the_time_of_the_newest_message_or_of_the_timer_that_fires() -> None:
    """A tick is late by some milliseconds; the code sees, and counts on from, the time it asked for."""
    rig = LogRig(sleeper)
    rig.start(at_s=0)

    rig.tick(10.3, n=1)
    rig.tick(70.9, n=2)

    assert rig.result == ["2027-01-15T08:00:00+00:00", "2027-01-15T08:00:10+00:00", "2027-01-15T08:01:10+00:00"]


def test_tick_that_is_not_due_is_acked_without_a_record() -> None:
    rig = LogRig(sleeper)
    rig.start(at_s=0)

    (verdict,) = rig.tick(4, n=1).verdicts

    assert (verdict.code, verdict.early_timer, len(rig.log)) == ("", "", 1)


def test_tick_that_is_early_by_its_own_stamp_is_repeated() -> None:
    """Two servers' clocks differ; without a repeat the timer would never fire."""
    rig = LogRig(sleeper)
    rig.start(at_s=0)

    (verdict,) = rig.tick(9.999, n=1, due_at_us=START_US + 10 * SECOND).verdicts

    assert verdict.early_timer == "1"


def test_early_tick_of_no_open_timer_is_not_repeated() -> None:
    """Forged or stale, it would leave a schedule behind."""
    rig = LogRig(sleeper)
    rig.start(at_s=0)

    verdicts = [
        *rig.tick(1, n=7, due_at_us=START_US + 900 * SECOND).verdicts,
        *rig.tick(1, n=0, due_at_us=START_US + 900 * SECOND).verdicts,
    ]

    assert [verdict.early_timer for verdict in verdicts] == ["", ""]


def test_early_tick_of_the_runs_own_limit_is_repeated() -> None:
    rig = LogRig(bounded)
    rig.start(at_s=0)
    assert rig.owed.timers[-1] == ("max", START_US + 30 * SECOND)

    (verdict,) = rig.tick(19, n=0, due_at_us=START_US + 30 * SECOND).verdicts

    assert verdict.early_timer == "max"


def test_any_message_heals_overdue_timers_in_their_order() -> None:
    """A lost tick is not missed: the timers fire at their own times, before the message is applied."""
    rig = LogRig(gatherer)
    rig.start(at_s=0)

    rig.hook("go", at_s=50)

    assert rig.result == [["a", 1.0], ["c", 3.0], ["b", 3.0]]
    assert rig.last.fired == [2, 1, 3]


def test_doubled_and_stale_ticks_are_harmless() -> None:
    rig = LogRig(sleeper)
    rig.start(at_s=0)
    rig.tick(10.1, n=1)

    for _ in range(3):
        assert rig.tick(10.2, n=1).verdicts

    assert len(rig.log) == 2


def test_message_that_comes_late_does_not_turn_time_back() -> None:
    rig = LogRig(sleeper)
    rig.start(at_s=0)
    rig.hook("x", at_s=8)

    rig.hook("y", at_s=3)
    rig.tick(10, n=1)

    times = [record.at_us for record in rig.records]
    assert times == sorted(times)


def test_messages_of_one_turn_are_applied_by_their_times() -> None:
    """Whatever the order in which they are handed over (R12)."""
    rig = LogRig(gatherer)
    rig.start(at_s=0)

    later, tick, sooner = (
        rig.message(hook_body(), "go", at_s=9),
        rig.message(Tick(n=1), at_s=5),
        rig.message(hook_body(), "other", at_s=2),
    )
    rig.feed(later, tick, sooner)

    assert [message.seq for message in rig.last.messages] == [4, 3, 2]


def test_timer_that_is_due_already_needs_no_wait() -> None:
    rig = LogRig(until)

    rig.start(at_s=0)

    assert rig.result == 0.0
    assert rig.last.commands == []


def test_max_duration_ends_the_run_at_its_time() -> None:
    rig = LogRig(bounded)
    rig.start(at_s=0)
    rig.hook("go", at_s=5)

    rig.tick(30.2, n=0)

    assert (rig.status, rig.error.code) == ("failed", "max_duration")
    assert rig.summary.ended_at_us == START_US + 30 * SECOND


def test_timer_due_before_the_limit_still_fires_first() -> None:
    """It ends the run in its own way."""
    rig = LogRig(bounded)
    rig.start(at_s=0)

    rig.tick(100, n=0)

    assert rig.error.type == "jetrun.actors.errors.HookExpired"
    assert rig.summary.ended_at_us == START_US + 20 * SECOND


def test_max_duration_of_a_run_that_began_parked_is_scheduled() -> None:
    rig = LogRig(None, name="bounded")
    rig.start(at_s=0)
    rig.deploy(bounded)

    rig.tick(6)

    assert ("max", START_US + 30 * SECOND) in rig.owed.timers
