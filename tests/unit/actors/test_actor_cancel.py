"""Cancel and terminate: with clean-up and without (I19)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from jetrun.actors import hook, shield, sleep, step, workflow
from jetrun.actors.messages import Cancel, Terminate
from support.log_rig import LogRig, hook_body, result_body


@step
async def reserve(x: int) -> int:
    raise AssertionError


@step
async def release(x: int) -> int:
    raise AssertionError


@workflow
async def plain() -> None:
    await reserve(1)


@workflow
async def tidy() -> str:
    try:
        await reserve(1)
    finally:
        await release(1)
    return "done"


@workflow
async def shielded() -> str:
    async with shield():
        await reserve(1)
        async with shield():
            await sleep(5)
        await release(1)
    await sleep(100)
    return "slept"


@workflow
async def shielded_to_the_end() -> str:
    async with shield():
        await reserve(1)
    return "done"


@workflow
async def parallel() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(reserve(1))
        group.create_task(hook("go", timeout="1m"))
        group.create_task(sleep(10))


@workflow
async def ignoring() -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        await reserve(1)
    return await hook("go")


@workflow
async def failing_clean_up() -> None:
    try:
        await reserve(1)
    finally:
        raise ValueError("clean-up")


def test_cancel_ends_the_run_and_takes_back_what_is_open() -> None:
    rig = LogRig(plain)
    rig.start()

    rig.cancel("enough")

    assert rig.status == "cancelled"
    assert rig.last.outcome is not None
    assert rig.last.outcome.reason == "enough"
    assert [command.n for command in rig.owed.closed_steps] == [1]


def test_clean_up_runs_its_steps_before_the_end() -> None:
    rig = LogRig(tidy)
    rig.start()

    rig.cancel("enough")
    assert rig.status == "running"
    assert [command.name for command in rig.owed.steps] == ["release"]
    assert [command.n for command in rig.owed.closed_steps] == [1]
    rig.step(3, 1)

    assert rig.status == "cancelled"


def test_cancel_waits_for_the_outermost_shield() -> None:
    rig = LogRig(shielded)
    rig.start(at_s=0)

    rig.cancel(at_s=1)
    rig.step(1, 1, at_s=2)
    rig.tick(7)
    assert rig.status == "running"
    rig.step(3, 1, at_s=8)

    assert rig.status == "cancelled"
    assert "timer" not in [command.__class__.__name__ for command in rig.last.commands]


def test_cancel_held_back_until_the_last_line_still_cancels() -> None:
    rig = LogRig(shielded_to_the_end)
    rig.start()

    rig.cancel()
    rig.step(1, 1)

    assert rig.status == "cancelled"


def test_everything_parallel_is_cancelled() -> None:
    rig = LogRig(parallel)
    rig.start()

    rig.cancel()

    assert rig.status == "cancelled"
    assert sorted(rig.owed.closed_timers) == [3, 4]
    assert [command.n for command in rig.owed.closed_steps] == [1]


def test_second_cancel_does_not_disturb_the_clean_up() -> None:
    rig = LogRig(tidy)
    rig.start()
    rig.cancel("first")

    rig.cancel("second")
    rig.step(3, 1)

    assert rig.last.outcome is not None
    assert (rig.status, rig.last.outcome.reason) == ("cancelled", "first")


def test_code_may_decide_to_go_on() -> None:
    rig = LogRig(ignoring)
    rig.start()

    rig.cancel()
    rig.hook("go", "on")

    assert rig.result == "on"


def test_clean_up_that_fails_fails_the_run() -> None:
    rig = LogRig(failing_clean_up)
    rig.start()

    rig.cancel()

    assert (rig.status, rig.error.type) == ("failed", "ValueError")


def test_result_in_the_same_turn_wins_when_it_came_first() -> None:
    """A cancel races the last result: the order of their times decides, also within one turn (R12)."""
    first, second = LogRig(plain), LogRig(plain)
    for rig in (first, second):
        rig.start(at_s=0)

    first.feed(first.message(Cancel(), at_s=2), first.message(result_body(1, 1), at_s=1))
    second.feed(second.message(Cancel(), at_s=1), second.message(result_body(1, 1), at_s=2))

    assert (first.status, second.status) == ("completed", "cancelled")


def test_cancel_before_the_start_is_kept_for_it() -> None:
    rig = LogRig(plain)
    rig.cancel("too early")
    assert rig.status == "early"

    rig.start()

    assert rig.status == "cancelled"


def test_terminate_ends_without_clean_up() -> None:
    rig = LogRig(tidy)
    rig.start()

    rig.terminate("now")

    assert rig.status == "terminated"
    assert rig.last.commands == []
    assert [command.n for command in rig.owed.closed_steps] == [1]


def test_hooks_that_follow_a_terminate_are_refused() -> None:
    rig = LogRig(tidy)
    rig.start()

    rig.feed(rig.message(Terminate()), rig.message(hook_body(1), "go"))

    assert [(one.seq, one.code) for one in rig.last.refused] == [(3, "ended")]


def test_step_that_answers_during_a_cancel_is_late() -> None:
    rig = LogRig(tidy)
    rig.start()
    rig.cancel()

    (verdict,) = rig.step(1, 1).verdicts

    assert verdict.code == ""


def test_messages_to_a_run_that_nobody_started() -> None:
    """Hook and cancel wait for it; the rest has no meaning without a run (R4)."""
    rig = LogRig(plain)

    codes = [
        decision.verdicts[0].code if decision.verdicts else "kept"
        for decision in (
            rig.terminate(),
            rig.pause(),
            rig.resume(),
            rig.step(1),
            rig.tick(1),
            rig.hook("a"),
            rig.cancel(),
        )
    ]

    assert codes == ["no_run", "no_run", "no_run", "", "", "kept", "kept"]
    assert rig.status == "early"
