"""Sagas that are cancelled: by the run, by a timeout, by a sibling; before and while they compensate."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors import hook, saga, workflow
from support.log_rig import LogRig
from support.player import check_live, check_prefixes
from support.saga_rig import book, failing, settle, settle_open, trip, undo, undone


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
async def together() -> None:
    """Two sagas at once; each has done one thing."""

    async def part(what: str) -> None:
        async with saga() as s:
            s.compensate(undo, what)
            await book(what)

    await asyncio.gather(part("a"), part("b"))


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


@pytest.mark.parametrize("evict", [False, True])
def test_cancel_reaches_the_sagas_of_all_tasks(evict: bool) -> None:
    rig = LogRig(together, evict=evict)
    rig.start()

    rig.cancel("enough")
    assert (rig.status, undone(rig)) == ("running", ["a", "b"])
    rig.cancel("again")
    rig.step(6)
    rig.step(5)

    assert rig.status == "cancelled"
    check_prefixes(rig)
    check_live(rig)
