"""Pause and resume: messages are kept in order, nothing new begins in between (R3, I31)."""

from __future__ import annotations

from typing import Any

from jetrun.actors import hook, sleep, step, workflow
from jetrun.actors.messages import Pause, Resume
from support.log_rig import LogRig, hook_body, result_body


@step
async def work(x: int) -> int:
    raise AssertionError


@workflow
async def flow() -> list[Any]:
    seen = [await work(1), await hook("go"), await work(2)]
    await sleep(10)
    return seen


def kinds(rig: LogRig) -> list[str]:
    return ["kept" if record.undecided else "decided" for record in rig.records]


def test_messages_of_a_paused_run_wait_undecided() -> None:
    rig = LogRig(flow)
    rig.start(at_s=0)
    rig.pause(at_s=1)
    assert rig.status == "paused"

    rig.step(1, 5, at_s=2)
    rig.hook("go", "x", at_s=3)

    assert kinds(rig) == ["decided", "decided", "kept", "kept"]
    assert rig.status == "paused"
    assert rig.asked() == ["work"]
    rig.resume(at_s=4)
    assert rig.status == "running"
    assert rig.asked() == ["work", "work"]
    rig.step(3, 6, at_s=5)
    rig.tick(16)
    assert rig.result == [5, "x", 6]


def test_pause_in_the_middle_of_a_turn_holds_the_rest() -> None:
    rig = LogRig(flow)
    rig.start(at_s=0)

    decision = rig.feed(
        rig.message(result_body(1, 5)), rig.message(Pause()), rig.message(hook_body("x"), "go"), rig.message(Resume())
    )

    assert [message.verb for message in decision.folded] == ["step", "pause"]
    assert kinds(rig) == ["decided", "decided", "kept", "decided"]
    assert rig.asked() == ["work", "work"]


def test_timers_of_a_paused_run_fire_when_it_goes_on() -> None:
    """The tick itself is not needed: whatever wakes the run brings the time (R14)."""
    rig = LogRig(flow)
    rig.start(at_s=0)
    rig.step(1, 1, at_s=1)
    rig.hook("go", at_s=2)
    rig.step(3, 1, at_s=3)
    rig.pause(at_s=4)

    (verdict,) = rig.tick(13.1, n=4).verdicts
    assert verdict.code == ""
    assert rig.status == "paused"
    rig.resume(at_s=20)

    assert rig.result == [1, None, 1]


def test_cancel_wakes_a_paused_run() -> None:
    """Who cancels wants it to end, not to stay paused."""
    rig = LogRig(flow)
    rig.start()
    rig.pause()

    rig.cancel()

    assert rig.status == "cancelled"


def test_terminate_ends_a_paused_run() -> None:
    rig = LogRig(flow)
    rig.start()
    rig.pause()
    rig.hook("go", 1)

    rig.terminate()

    assert rig.status == "terminated"
    assert [one.code for one in rig.last.refused] == ["ended"]


def test_pause_and_resume_out_of_place_change_nothing() -> None:
    rig = LogRig(flow)
    rig.start()

    assert rig.resume().verdicts
    rig.pause()
    assert rig.pause().verdicts
    rig.resume()
    assert rig.resume().verdicts
    assert len(rig.log) == 3


def test_pause_that_reaches_a_parked_run_holds_when_it_goes_on() -> None:
    """No new attempt begins between pause and resume, whatever else was wrong with the run (I31)."""
    rig = LogRig(flow)
    rig.start(at_s=0)
    rig.deploy(None)
    rig.step(1, 5, at_s=1)
    assert rig.status == "parked"
    rig.pause(at_s=2)
    rig.hook("go", "x", at_s=3)

    rig.deploy(flow)
    rig.tick(300)

    assert rig.status == "paused"
    assert rig.asked() == ["work"]
    assert rig.last.kept == 2
    rig.load()
    assert rig.status == "paused"
    rig.resume(at_s=301)
    assert rig.asked() == ["work", "work"]


def test_run_that_is_parked_while_paused_stays_paused() -> None:
    rig = LogRig(flow)
    rig.start(at_s=0)
    rig.pause(at_s=1)
    decision = rig.actor.park([rig.message(result_body(1, 5), at_s=2)], "deadly", "it killed its worker", nonce="n")
    rig.owed = rig.actor.owed
    rig.store(decision)
    assert rig.status == "parked"

    other = flow.code_hash
    flow.code_hash = "other code"
    try:
        rig.load()
        rig.tick(60, wake="parked")
    finally:
        flow.code_hash = other

    assert rig.status == "paused"
    rig.resume(at_s=61)
    assert rig.status == "running"
    rig.hook("go", at_s=62)
    assert rig.asked() == ["work", "work"]
