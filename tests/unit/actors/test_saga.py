"""Sagas: what runs when a block fails, in which order, what is raised then, and that a replay does the same."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from jetrun.actors import (
    SagaError,
    saga,
    sleep,
    workflow,
)
from support.log_rig import LogRig
from support.player import check_live, check_prefixes
from support.saga_rig import book, failing, settle, trip, undo, undone


async def undo_slowly(what: str) -> None:
    """Workflow code as a compensation: it may wait, and decide."""
    await sleep(10)
    await undo(what)


@workflow
async def parallel_trip() -> None:
    async with saga(parallel=True) as s:
        for what in ("flight", "hotel", "car"):
            s.compensate(undo, what)
        await book("room")


@workflow
async def handled(kind: str) -> str:
    """Tells what the saga raised, then goes on."""
    errors: dict[str, type[Exception]] = {"any": Exception, "saga": SagaError}
    try:
        async with saga() as s:
            s.compensate(undo, "b")
            s.compensate(undo, "a")
            await book("room")
    except errors[kind] as error:
        return f"{type(error).__name__} from {type(error.__cause__).__name__}: {error}"
    return "no error"


@workflow
async def mixed() -> None:
    async with saga() as s:
        s.compensate(undo_slowly, "slow")
        s.compensate(lambda: undo("lambda"))
        s.compensate(partial(undo, "partial"))
        raise ValueError("no")


@workflow
async def nested() -> None:
    async with saga() as outer:
        outer.compensate(undo, "outer")
        async with saga() as done:
            done.compensate(undo, "done")
        async with saga() as inner:
            inner.compensate(undo, "inner")
            await book("room")


@workflow
async def jumps_out() -> str:
    for _ in range(2):
        async with saga() as s:
            s.compensate(undo, "x")
            break
    async with saga() as s:
        s.compensate(undo, "y")
        return "out"


@workflow
async def exits() -> None:
    async with saga() as s:
        s.compensate(undo, "x")
        raise SystemExit("enough")


@workflow
async def stubborn() -> None:
    """Compensations that fail in ways that are no `Exception`."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def leaves() -> None:
        raise SystemExit("left")

    def returns() -> Any:
        return None

    async with saga() as s:
        s.compensate(undo, "still")
        s.compensate(cancelled)
        s.compensate(leaves)
        s.compensate(returns)
        raise ValueError("no")


def test_nothing_is_undone_when_all_went_well() -> None:
    rig = LogRig(trip)
    rig.start()
    for n, what in ((1, "F"), (2, "H"), (3, "C")):
        rig.step(n, what)

    assert (rig.result, undone(rig)) == ("booked", [])


@pytest.mark.parametrize("evict", [False, True])
def test_what_was_done_is_undone_newest_first_one_after_the_other(evict: bool) -> None:
    """Also by a worker that rebuilds the run for every message."""
    rig = LogRig(trip, evict=evict)
    rig.start()
    rig.step(1, "F")
    rig.step(2, "H")

    failing(rig, 3, "ValueError")
    assert undone(rig) == ["H"]
    rig.step(4)
    assert undone(rig) == ["H", "F"]
    rig.step(5)

    assert (rig.status, rig.error.type) == ("failed", "ValueError")
    check_prefixes(rig)
    check_live(rig)


def test_parallel_compensations_are_asked_for_together_newest_first() -> None:
    rig = LogRig(parallel_trip)
    rig.start()
    failing(rig, 1)
    assert undone(rig) == ["car", "hotel", "flight"]

    rig.step(3)
    failing(rig, 2)
    assert rig.status == "running"
    rig.step(4)

    assert rig.error.message.startswith("1 of 3 compensation(s) failed (undo: OSError: ")
    check_prefixes(rig)
    check_live(rig)


def test_a_compensation_that_fails_does_not_stop_the_others() -> None:
    rig = LogRig(handled)
    rig.start("saga")
    failing(rig, 1, "ValueError")

    failing(rig, 2, "OSError")
    rig.step(3)

    assert undone(rig) == ["a", "b"]
    assert rig.result == (
        "SagaError from ValueError: 1 of 2 compensation(s) failed (undo: OSError: step 'undo' failed after 1 attempt(s): "
        "OSError: no luck) after ValueError: step 'book' failed after 1 attempt(s): ValueError: no luck; "
        "undo by hand what they were to undo"
    )


def test_saga_that_was_undone_raises_what_made_it_fail() -> None:
    rig = LogRig(handled)
    rig.start("any")
    failing(rig, 1, "ValueError")
    settle(rig)

    assert rig.result.startswith("ValueError from NoneType: step 'book' failed")


def test_failed_compensations_are_recorded_with_the_first_failure() -> None:
    """Who reads the log of the run finds both."""
    rig = LogRig(parallel_trip)
    rig.start()
    failing(rig, 1, "ValueError")
    for n in (2, 3, 4):
        failing(rig, n)

    assert rig.error.type == "jetrun.actors.errors.SagaError"
    assert "3 of 3" in rig.error.message
    assert "direct cause of the following exception" in rig.error.traceback


def test_functions_of_the_workflow_are_compensations_too() -> None:
    rig = LogRig(mixed)
    rig.start(at_s=0)
    assert undone(rig) == ["partial"]
    rig.step(1, at_s=1)
    rig.step(2, at_s=2)
    rig.tick(12)
    assert undone(rig) == ["partial", "lambda", "slow"]
    rig.step(4, at_s=13)

    assert rig.error.type == "ValueError"
    check_prefixes(rig)


def test_inner_saga_is_undone_before_the_outer_one_and_a_successful_one_never() -> None:
    rig = LogRig(nested)
    rig.start()
    failing(rig, 1, "ValueError")
    settle(rig)

    assert (undone(rig), rig.error.type) == (["inner", "outer"], "ValueError")


def test_outer_saga_compensates_for_an_inner_one_that_could_not() -> None:
    rig = LogRig(nested)
    rig.start()
    failing(rig, 1, "ValueError")
    failing(rig, 2, "OSError")
    rig.step(3)

    assert (undone(rig), rig.error.type) == (["inner", "outer"], "jetrun.actors.errors.SagaError")
    assert rig.error.message.startswith("1 of 1")


def test_block_left_by_return_or_break_drops_its_compensations() -> None:
    rig = LogRig(jumps_out)
    rig.start()

    assert (rig.result, undone(rig)) == ("out", [])


def test_exit_of_workflow_code_is_a_failure_like_any_other() -> None:
    rig = LogRig(exits)
    rig.start()
    assert undone(rig) == ["x"]
    rig.step(1)

    assert (rig.status, rig.error.type) == ("failed", "SystemExit")


def test_whatever_a_compensation_raises_the_others_run() -> None:
    rig = LogRig(stubborn)
    rig.start()
    assert undone(rig) == ["still"]
    rig.step(1)

    message = rig.error.message
    assert message.startswith("3 of 4 compensation(s) failed (")
    assert [name in message for name in ("returns: TypeError", "leaves: SystemExit: left", "cancelled: ")] == [True] * 3


def test_terminate_and_eviction_compensate_nothing() -> None:
    """Both end or stop the code; a compensation that only a dead execution asked for would be decided by nobody."""
    ended, evicted = LogRig(trip), LogRig(trip)
    for rig in (ended, evicted):
        rig.start()
        rig.step(1, "F")

    ended.terminate()
    evicted.load()

    assert (ended.status, undone(ended)) == ("terminated", [])
    assert (evicted.status, undone(evicted)) == ("running", [])


def test_eviction_during_a_compensation_changes_nothing() -> None:
    rig = LogRig(trip)
    rig.start()
    rig.step(1, "F")
    failing(rig, 2, "ValueError")
    rig.load()
    rig.step(3)

    assert (undone(rig), rig.error.type) == (["F"], "ValueError")
