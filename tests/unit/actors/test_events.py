"""Events: a run's story as `wfctl tail` shows it."""

from __future__ import annotations

from typing import Any

import msgspec

from jetrun.actors import hook, sleep, start_child, step, workflow
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.events import Event, events_of
from jetrun.actors.messages import Pause
from support.log_rig import LogRig, hook_body, result_body
from support.player import Player
from support.workflow_shapes import SHAPES


@step(max_retries=1, retry_delay="5s")
async def charge(cents: int) -> int:
    raise AssertionError


@workflow
async def order(cents: int) -> int:
    paid = await charge(cents)
    await hook("go", int, timeout="1m")
    return paid


@workflow
async def sleeper() -> None:
    await sleep(10)


def story(rig: LogRig) -> list[Event]:
    return [event for record in rig.records for event in events_of(record)]


def kinds(rig: LogRig) -> list[str]:
    return [event.kind for event in story(rig)]


def test_story_of_a_run() -> None:
    rig = LogRig(order)
    rig.start(100, at_s=0)
    rig.fail(1, at_s=1)
    rig.step(1, 100, attempt=2, at_s=6)
    rig.hook("go", "x", at_s=7)
    rig.hook("go", 1, at_s=8)

    assert kinds(rig) == [
        "run.started",
        "step.scheduled",
        "step.failed",
        "step.retrying",
        "step.completed",
        "hook.opened",
        "timer.started",
        "message.refused",
        "hook.received",
        "command.closed",
        "run.completed",
    ]


def test_events_say_what_they_are_about() -> None:
    rig = LogRig(order)
    rig.start(100, at_s=0)
    rig.fail(1, at_s=1)
    rig.step(1, 100, attempt=2, at_s=6)
    started, scheduled, failed, retrying, completed, opened, timer = story(rig)

    assert started.data == {"args": [100]}
    assert (scheduled.n, scheduled.text, scheduled.data["queue"]) == (1, "charge [100]", "default")
    assert failed.text == "OSError: no luck"
    assert retrying.data["attempt"] == 2
    assert completed.data["result"] == 100
    assert (opened.text, opened.data["type"]) == ("go", "int")
    assert timer.data["what"] == "hook"


def test_children_and_their_ends_are_told() -> None:
    """Whoever reads the parent's story learns how each of them ended, and why."""

    @workflow
    async def parent() -> int:
        for n in range(5):
            start_child(order.call(n)).cancel("enough" if n == 4 else "")
        await hook("over")
        return 0

    rig = LogRig(parent)
    rig.start()
    rig.child(1, 7)
    rig.child(3, ErrorInfo(type="OSError", message="no luck"))
    for n, end in ((5, "cancelled"), (7, "terminated"), (9, "refused")):
        rig.child(n, status=end)

    told = [event for event in story(rig) if event.kind.startswith("child.")]
    assert [event.kind for event in told if event.kind == "child.started"] == ["child.started"] * 5
    assert told[9].text == "child 9 enough"
    assert [(event.kind, event.n) for event in told[10:]] == [
        ("child.completed", 1),
        ("child.failed", 3),
        ("child.cancelled", 5),
        ("child.terminated", 7),
        ("child.refused", 9),
    ]
    assert (told[0].data["run"], told[9].kind) == ("parent-r-1-1", "child.cancel_requested")
    assert (told[10].data["result"], told[11].text) == (7, "OSError: no luck")


def test_an_interruption_is_told_before_what_came_of_it() -> None:
    """The fact is in the result's message, so it is as durable as the result."""
    rig = LogRig(order)
    rig.start(100, at_s=0)
    rig.feed(rig.message(msgspec.structs.replace(result_body(1, 100), deliveries=3), at_s=1))

    interrupted, completed = story(rig)[2:4]
    assert (interrupted.kind, interrupted.n) == ("step.interrupted", 1)
    assert interrupted.text == "interrupted 2 times: handed out again"
    assert interrupted.data == {"attempt": 1, "interruptions": 2}
    assert completed.kind == "step.completed"


def test_pause_parks_and_their_ends_are_told() -> None:
    rig = LogRig(order)
    rig.start(100, at_s=0)
    rig.pause(at_s=1)
    rig.step(1, 100, at_s=2)
    rig.resume(at_s=3)
    rig.deploy(None)
    rig.hook("go", 1, at_s=4)
    rig.deploy(order)
    rig.tick(10)

    assert kinds(rig) == [
        "run.started",
        "step.scheduled",
        "run.paused",
        "step.completed",
        "run.resumed",
        "hook.opened",
        "timer.started",
        "message.kept",
        "run.parked",
        "run.unparked",
        "command.closed",
        "run.completed",
    ]


def test_tick_that_ends_a_run_does_not_unpark_it() -> None:
    @workflow(max_duration="5s")
    async def slow() -> None:
        await hook("go")

    rig = LogRig(slow)
    rig.start(at_s=0)
    rig.tick(6)

    assert kinds(rig) == ["run.started", "hook.opened", "run.failed"]


def test_refusal_of_a_message_of_an_earlier_record_is_told() -> None:
    rig = LogRig(sleeper)
    rig.start(at_s=0)
    rig.hook("never", 1, at_s=1)
    rig.tick(10)

    refused = next(event for event in story(rig) if event.kind == "message.refused")
    assert (refused.data, refused.k) == ({"code": "ended"}, 3)
    assert "did not wait for this hook" in refused.text


def test_end_says_why() -> None:
    cancelled, terminated, failed = LogRig(sleeper), LogRig(sleeper), LogRig(order)
    for rig in (cancelled, terminated):
        rig.start()
    cancelled.cancel("enough")
    terminated.terminate("away")
    failed.start(1)
    failed.fail(1, is_retryable=False)

    assert [(event.kind, event.text) for event in story(cancelled)[-3:]] == [
        ("run.cancel_requested", "enough"),
        ("command.closed", "command 1"),
        ("run.cancelled", "enough"),
    ]
    assert (story(terminated)[-1].kind, story(terminated)[-1].text) == ("run.terminated", "away")
    last = story(failed)[-1]
    assert last.kind == "run.failed"
    assert last.text == "OSError: step 'charge' failed after 1 attempt(s): OSError: no luck"
    assert last.data["error"]["message"]


def test_large_values_are_named_not_shown() -> None:
    rig = Player(next(shape for shape in SHAPES if shape.name == "large")).play()

    shown: list[Any] = [event.text for event in story(rig) if event.kind in ("step.scheduled", "step.completed")]

    assert all("bytes, sha256" in text for text in shown)


def test_messages_kept_by_a_pause_within_a_turn_are_told_once() -> None:
    rig = LogRig(order)
    rig.start(1)
    rig.feed(rig.message(Pause()), rig.message(result_body(1, 1)), rig.message(hook_body(1), "go"))

    assert kinds(rig)[2:] == ["run.paused", "step.completed", "message.kept"]


def test_every_record_of_every_shape_can_be_told() -> None:
    for shape in SHAPES:
        rig = Player(shape).play()
        told = story(rig)
        assert told[-1].kind == f"run.{rig.status}"
        assert [event.k for event in told] == sorted(event.k for event in told)
