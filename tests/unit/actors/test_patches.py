"""Patches: a workflow's code changes, and runs of both sides go on (R13)."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import Workflow, deprecate_patch, patched, sleep, step, workflow
from jetrun.actors.commands import Patch
from jetrun.actors.errors import InvalidName, NotInWorkflow
from support.log_rig import LogRig


@step
async def old(number: int) -> int:
    raise AssertionError


@step
async def new(number: int) -> int:
    raise AssertionError


@step
async def last(number: int) -> int:
    raise AssertionError


def before() -> Workflow[[int], int]:
    @workflow(name="flow")
    async def flow(rounds: int) -> int:
        total = 0
        for _ in range(rounds):
            await sleep(1)
            total += await old(1)
        return total + await last(total)

    return flow


def during() -> Workflow[[int], int]:
    @workflow(name="flow")
    async def flow(rounds: int) -> int:
        total = 0
        for _ in range(rounds):
            await sleep(1)
            if patched("faster"):
                total += await new(1)
            else:
                total += await old(1)
        return total + await last(total)

    return flow


def after() -> Workflow[[int], int]:
    @workflow(name="flow")
    async def flow(rounds: int) -> int:
        total = 0
        for _ in range(rounds):
            await sleep(1)
            deprecate_patch("faster")
            total += await new(1)
        return total + await last(total)

    return flow


def without() -> Workflow[[int], int]:
    @workflow(name="flow")
    async def flow(rounds: int) -> int:
        total = 0
        for _ in range(rounds):
            await sleep(1)
            total += await new(1)
        return total + await last(total)

    return flow


def finish(rig: LogRig) -> Any:
    """Answers whatever the run asks for until it has ended."""
    at_s = 100.0
    while rig.status == "running":
        for command in rig.owed.steps:
            rig.step(command.n, 10, at_s=at_s)
            break
        else:
            rig.tick(at_s)
        at_s += 100
    return rig.result


def test_new_runs_take_the_new_side_and_are_marked_once() -> None:
    rig = LogRig(during(), evict=True)
    rig.start(3)

    assert finish(rig) == 40
    assert rig.asked() == ["new", "new", "new", "last"]
    assert [c.id for record in rig.records for c in record.commands if isinstance(c, Patch)] == ["faster"]


def test_a_run_that_had_passed_the_change_stays_on_the_old_side() -> None:
    """Also where it comes by again: a run is on one side, not on both."""
    rig = LogRig(before())
    rig.start(3)
    rig.tick(2)

    rig.deploy(during())

    assert finish(rig) == 40
    assert rig.asked() == ["old", "old", "old", "last"]


def test_a_run_that_had_not_come_to_the_change_takes_the_new_side() -> None:
    rig = LogRig(before())
    rig.start(2)

    rig.deploy(during())

    assert finish(rig) == 30
    assert rig.asked() == ["new", "new", "last"]


@pytest.mark.parametrize("later", [during, after])
def test_marked_runs_go_on_when_the_old_side_is_gone(later: Any) -> None:
    rig = LogRig(during())
    rig.start(2)
    rig.tick(2)

    rig.deploy(later())

    assert finish(rig) == 30
    assert rig.asked() == ["new", "new", "last"]


def test_without_the_mark_there_is_none_after_the_deprecation() -> None:
    rig = LogRig(after())
    rig.start(2)
    finish(rig)

    assert not [c for record in rig.records for c in record.commands if isinstance(c, Patch)]
    rig.deploy(without())
    assert rig.status == "completed"


def test_a_run_of_the_old_side_parks_where_that_is_gone() -> None:
    rig = LogRig(before(), check=False)
    rig.start(2)
    rig.tick(2)

    rig.deploy(after())
    rig.step(2, 10)

    assert rig.status == "parked"
    assert rig.last.parked is not None
    assert "the log holds step 'old'" in rig.last.parked.reason


def test_a_mark_that_the_code_has_forgotten_parks_the_run() -> None:
    rig = LogRig(during(), check=False)
    rig.start(2)
    rig.tick(2)

    rig.deploy(without())
    rig.step(3, 10)

    assert rig.status == "parked"
    assert rig.last.parked is not None
    assert "the log holds patch 'faster'" in rig.last.parked.reason


def test_patch_ids_are_names_and_belong_into_workflows() -> None:
    @workflow
    async def wrong() -> str:
        try:
            patched("a b")
        except InvalidName as error:
            return str(error)
        return "?"

    rig = LogRig(wrong)
    rig.start()

    assert rig.result.startswith("patch id ")
    for ask in (patched, deprecate_patch):
        with pytest.raises(NotInWorkflow):
            ask("faster")
