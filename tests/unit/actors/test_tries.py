"""Retries of whole workflows: a run that has failed begins again as a new link, with the same arguments."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import DefinitionError, FatalError, RetryableError, hook, info, now, sleep, step, workflow
from jetrun.actors.events import events_of
from jetrun.actors.messages import Cancel, Tick
from jetrun.actors.names import RunKey
from jetrun.actors.replay import verify
from support.log_rig import LogRig


@step(max_retries=0)
async def work(n: int) -> Any: ...


@workflow(max_retries=2, retry_delay=["10s", "60s"])
async def stubborn(n: int) -> str:
    """Fails with its step."""
    began = now()
    await work(n)
    return f"try {info().attempt} in link {info().link}, {(now() - began).total_seconds():g} s"


def due(rig: LogRig) -> Tick:
    """What fires when the next try is due."""
    assert rig.owed.is_continued
    return Tick(due_at_us=rig.owed.rests_until_us)


@pytest.mark.parametrize("evict", [False, True])
def test_failed_run_begins_again_after_its_delay(evict: bool) -> None:
    rig = LogRig(stubborn, evict=evict)
    rig.start(7, at_s=0)
    rig.fail(1, at_s=1)
    assert rig.owed.rests_until_us - rig.last.at_us == 10_000_000
    rig.feed(rig.message(due(rig), at_us=rig.owed.rests_until_us))
    assert rig.asked() == ["work", "work"]
    rig.fail(2, at_s=12)
    assert rig.owed.rests_until_us - rig.last.at_us == 60_000_000
    rig.feed(rig.message(due(rig), at_us=rig.owed.rests_until_us))
    rig.step(3, 1, at_s=80)

    assert rig.result == "try 3 in link 3, 8 s"
    verify("app", RunKey("stubborn", "r-1"), stubborn, rig.records, {})
    kinds = [event.kind for record in rig.records for event in events_of(record)]
    assert kinds.count("run.retrying") == 2


def test_last_failure_is_the_runs() -> None:
    rig = LogRig(stubborn)
    rig.start(7, at_s=0)
    for n, at_s in ((1, 1.0), (2, 20.0), (3, 100.0)):
        rig.fail(n, at_s=at_s)
        if n < 3:
            rig.feed(rig.message(due(rig), at_us=rig.owed.rests_until_us))

    assert (rig.status, rig.error.type) == ("failed", "OSError")


@pytest.mark.parametrize("evict", [False, True])
def test_messages_that_come_while_it_rests_are_the_next_trys(evict: bool) -> None:
    @workflow(max_retries=1, retry_delay="10s")
    async def taking(n: int) -> list[object]:
        if info().attempt == 1:
            raise ValueError("the first one always fails")
        return [await hook("item"), await hook("item"), (now() - info().started_at).total_seconds()]

    rig = LogRig(taking, evict=evict)
    rig.start(1, at_s=0)
    rig.hook("item", "a", at_s=1)
    assert (rig.status, rig.last.undecided) == ("running", True)
    early = rig.tick(2, due_at_us=rig.actor.journal.rests_until_us)
    assert early.verdicts[0].early_timer == "next"
    rig.tick(10.5, due_at_us=rig.actor.journal.rests_until_us)
    rig.hook("item", "b", at_s=11)

    assert rig.result == ["a", "b", 1]


def test_any_message_begins_a_try_whose_tick_is_lost() -> None:
    rig = LogRig(stubborn)
    rig.start(7, at_s=0)
    rig.fail(1, at_s=1)
    rig.hook("whatever", at_s=20)

    assert rig.asked() == ["work", "work"]


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_run_that_rests_can_be_ended(verb: str) -> None:
    rig = LogRig(stubborn)
    rig.start(7, at_s=0)
    rig.fail(1, at_s=1)
    rig.cancel("enough", at_s=2) if verb == "cancel" else rig.terminate("enough", at_s=2)

    assert rig.status == {"cancel": "cancelled", "terminate": "terminated"}[verb]
    assert not rig.owed.steps


def test_paused_run_rests_on_until_it_is_resumed() -> None:
    rig = LogRig(stubborn)
    rig.start(7, at_s=0)
    rig.fail(1, at_s=1)
    rig.pause(at_s=2)
    rig.tick(12, due_at_us=rig.actor.journal.rests_until_us)
    assert rig.asked() == ["work"]
    rig.resume(at_s=20)

    assert rig.asked() == ["work", "work"]


@pytest.mark.parametrize(
    ("error", "tries"),
    [(FatalError("no"), 1), (ValueError("no"), 2), (KeyError("no"), 1), (RetryableError("no", retry_after=3), 2)],
)
def test_what_is_not_to_be_retried_is_not(error: Exception, tries: int) -> None:
    @workflow(max_retries=1, retry_delay="10s", non_retryable=[KeyError])
    async def failing(n: int) -> None:
        raise error

    rig = LogRig(failing)
    rig.start(1, at_s=0)
    if tries > 1:
        wish_us = 3_000_000 if isinstance(error, RetryableError) else 10_000_000
        assert rig.owed.rests_until_us - rig.last.at_us == wish_us
        rig.feed(rig.message(due(rig), at_us=rig.owed.rests_until_us))

    assert (rig.status, len(rig.log)) == ("failed", tries)


def test_limit_of_a_try_ends_the_run() -> None:
    @workflow(max_retries=3, max_duration="5s")
    async def slow(n: int) -> None:
        await sleep("1h")

    rig = LogRig(slow)
    rig.start(1, at_s=0)
    rig.tick(6)

    assert (rig.status, rig.error.code) == ("failed", "max_duration")


def test_cancelled_run_that_fails_is_not_tried_again() -> None:
    @workflow(max_retries=3)
    async def hurt(n: int) -> None:
        try:
            await sleep("1h")
        finally:
            raise ValueError("clean-up failed")

    rig = LogRig(hurt)
    rig.start(1, at_s=0)
    rig.feed(rig.message(Cancel(), at_s=1))

    assert rig.status == "failed"


def test_impossible_options_are_refused() -> None:
    with pytest.raises(DefinitionError, match="max_retries=-1"):
        workflow(max_retries=-1)(stubborn.function)
