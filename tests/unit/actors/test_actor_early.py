"""Messages before the start: kept for a while, in order, then dead letters (R4)."""

from __future__ import annotations

from typing import Any

from jetrun.actors import hook, workflow
from jetrun.actors.limits import EARLY_KEEP_US
from jetrun.actors.messages import Tick
from support.log_rig import SECOND, START_US, LogRig, hook_body, start_body

DAY_S = EARLY_KEEP_US // SECOND


@workflow
async def two() -> list[Any]:
    return [await hook("go"), await hook("go")]


def test_hooks_before_the_start_are_applied_after_it() -> None:
    rig = LogRig(two)
    rig.hook("go", 1, at_s=0)
    rig.hook("go", 2, at_s=1)
    assert rig.status == "early"

    rig.start(at_s=2)

    assert rig.result == [1, 2]
    assert [record.undecided for record in rig.records] == [True, True, False]


def test_start_comes_first_whatever_the_order_within_a_turn() -> None:
    rig = LogRig(two)

    rig.feed(rig.message(hook_body(1), "go"), rig.message(hook_body(2), "go"), rig.message(start_body()))

    assert rig.result == [1, 2]
    assert len(rig.log) == 1


def test_each_message_prolongs_the_wait() -> None:
    rig = LogRig(two)
    rig.hook("go", 1, at_s=0)
    assert rig.owed.timers == [("early", START_US + EARLY_KEEP_US)]

    rig.hook("go", 2, at_s=60)
    assert rig.owed.timers == [("early", START_US + 60 * SECOND + EARLY_KEEP_US)]
    rig.tick(DAY_S + 1)
    assert rig.status == "early"
    assert len(rig.log) == 2


def test_wait_that_is_over_makes_dead_letters_and_frees_the_id() -> None:
    rig = LogRig(two)
    rig.hook("go", 1, at_s=0)

    rig.tick(DAY_S)

    assert rig.owed.is_expired
    assert [(verdict.code, verdict.message.name) for verdict in rig.owed.refused] == [("no_run", "go")]
    assert rig.log == []  # purged
    rig.start(at_s=DAY_S + 1)
    assert rig.status == "running"


def test_tick_before_its_time_is_repeated() -> None:
    rig = LogRig(two)
    rig.hook("go", 1, at_s=0)

    (verdict,) = rig.tick(DAY_S - 0.001, due_at_us=START_US + EARLY_KEEP_US).verdicts

    assert verdict.early_timer == "early"


def test_start_in_the_turn_in_which_the_wait_is_over_begins_the_run() -> None:
    rig = LogRig(two)
    rig.hook("go", 1, at_s=0)

    rig.feed(rig.message(Tick(), at_s=DAY_S), rig.message(start_body(), at_s=DAY_S + 1))

    assert rig.status == "running"
    rig.hook("go", 2)
    assert rig.result == [1, 2]
