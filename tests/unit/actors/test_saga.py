"""Sagas: what runs when a block fails, in which order, what is raised then, and that a replay does the same (I25)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from jetrun.actors import (
    SagaError,
    hook,
    saga,
    sleep,
    step,
    workflow,
)
from jetrun.actors.commands import RunStep
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.messages import StepResult
from support.log_rig import LogRig
from support.player import check_live, check_prefixes


@step
async def book(what: str) -> str:
    raise AssertionError


@step(max_retries=0)
async def undo(what: str) -> None:
    raise AssertionError


async def undo_slowly(what: str) -> None:
    """Workflow code as a compensation: it may wait, and decide."""
    await sleep(10)
    await undo(what)


@workflow
async def trip() -> str:
    async with saga() as s:
        s.compensate(undo, await book("flight"))
        s.compensate(undo, await book("hotel"))
        s.compensate(undo, what=await book("car"))
    return "booked"


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
async def timed() -> str:
    try:
        async with asyncio.timeout(5), saga() as s:
            s.compensate(undo, "a")
            s.compensate(undo, "b")
            await book("room")
    except TimeoutError:
        return "too late"
    return "booked"


@workflow
async def siblings() -> None:
    """The second task fails while the first one's saga compensates."""

    async def first() -> None:
        async with saga() as s:
            s.compensate(undo, "a")
            s.compensate(undo, "b")
            await book("first")

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        group.create_task(book("second"))


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


def failing(rig: LogRig, n: int, type_: str = "OSError", *, at_s: float | None = None) -> None:
    """Gives a step its final failure."""
    error = ErrorInfo(type=type_, message="no luck")
    body = StepResult(command=n, attempt=1, token="", error=error, is_retryable=False)
    rig.feed(rig.message(body, at_s=at_s))


def undone(rig: LogRig) -> list[str]:
    """Arguments of the compensations that were asked for, in order."""
    commands = [c for record in rig.records for c in record.commands if isinstance(c, RunStep) and c.name == "undo"]
    return [bytes(command.args).decode().strip('["]') or str(command.kwargs) for command in commands]


def settle(rig: LogRig) -> None:
    """Lets every compensation that is out succeed, and what follows from it."""
    while rig.owed.steps and not rig.actor.journal.has_ended:
        for command in rig.owed.steps:
            rig.step(command.n)


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


def test_cancelled_run_compensates_and_ends_as_cancelled() -> None:
    rig = LogRig(trip)
    rig.start()
    rig.step(1, "F")

    rig.cancel("enough")
    assert (rig.status, undone(rig)) == ("running", ["F"])
    assert [command.n for command in rig.owed.closed_steps] == [2]
    rig.step(4)

    assert rig.last.outcome is not None
    assert (rig.status, rig.last.outcome.reason) == ("cancelled", "enough")
    check_prefixes(rig)
    check_live(rig)


def test_cancelled_run_that_could_not_be_undone_fails() -> None:
    """A status of cancelled would hide it."""
    rig = LogRig(trip)
    rig.start()
    rig.step(1, "F")
    rig.cancel("enough")

    failing(rig, 4)

    assert (rig.status, rig.error.type) == ("failed", "jetrun.actors.errors.SagaError")
    assert "after CancelledError: enough" in rig.error.message


@pytest.mark.parametrize("evict", [False, True])
def test_cancel_during_compensation_cuts_nothing_short(evict: bool) -> None:
    rig = LogRig(trip, evict=evict)
    rig.start()
    rig.step(1, "F")
    rig.step(2, "H")
    failing(rig, 3, "ValueError")

    rig.cancel("first")
    rig.cancel("second")
    assert not rig.owed.closed_steps
    rig.step(4)
    rig.step(5)

    assert undone(rig) == ["H", "F"]
    assert (rig.status, rig.error.type) == ("failed", "ValueError")
    check_prefixes(rig)
    check_live(rig)


def test_cancel_that_waited_for_the_compensation_is_delivered_then() -> None:
    """Code that goes on after the saga is cancelled at its next await."""

    @workflow
    async def goes_on() -> None:
        try:
            async with saga() as s:
                s.compensate(undo, "a")
                await book("room")
        except ValueError:
            await hook("never")

    rig = LogRig(goes_on)
    rig.start()
    failing(rig, 1, "ValueError")
    rig.cancel("enough")
    rig.step(2)

    assert rig.status == "cancelled"


def test_timeout_around_a_saga_waits_for_its_compensation() -> None:
    """A timeout cancels the task, which the engine's shield does not hold back."""
    rig = LogRig(timed)
    rig.start(at_s=0)
    rig.tick(5)
    assert (rig.status, undone(rig)) == ("running", ["b"])

    settle(rig)

    assert (rig.result, undone(rig)) == ("too late", ["b", "a"])
    check_prefixes(rig)
    check_live(rig)


def test_timeout_that_passes_during_the_compensation_replaces_the_exception() -> None:
    rig = LogRig(timed)
    rig.start(at_s=0)
    failing(rig, 2, "ValueError", at_s=1)
    assert undone(rig) == ["b"]

    rig.tick(6)
    assert not rig.owed.closed_steps
    settle_open(rig)

    assert (rig.result, undone(rig)) == ("too late", ["b", "a"])
    check_prefixes(rig)


def settle_open(rig: LogRig) -> None:
    """As `settle`, from what is open rather than from what the last decision owes."""
    execution = rig.actor._execution
    assert execution is not None
    for _ in range(10):
        for n in [*execution.steps]:
            rig.step(n)


def test_failing_sibling_does_not_cut_a_compensation_short() -> None:
    rig = LogRig(siblings)
    rig.start()
    failing(rig, 1, "ValueError")
    assert undone(rig) == ["b"]

    failing(rig, 2, "OSError")
    assert not rig.owed.closed_steps
    settle_open(rig)

    assert undone(rig) == ["b", "a"]
    assert (rig.status, rig.error.type) == ("failed", "ExceptionGroup")
    check_prefixes(rig)
    check_live(rig)


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
