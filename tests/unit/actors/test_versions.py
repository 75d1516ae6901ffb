"""Versions of a workflow side by side: a run goes on under the one it began with, its next link under the newest."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import DefinitionError, continue_as_new, hook, step, workflow
from jetrun.actors.messages import CONTINUED, Tick
from jetrun.actors.names import RunKey
from jetrun.actors.registry import RegistrationError, Registry
from jetrun.actors.replay import verify
from support.log_rig import LogRig


@step
async def old_way(n: int) -> Any: ...


@step
async def new_way(n: int) -> Any: ...


@workflow(name="order")
async def first_order(n: int) -> str:
    await old_way(n)
    await hook("go")
    await old_way(n + 1)
    if n:
        continue_as_new(0)
    return "first"


@workflow(name="order", version=2)
async def second_order(n: int) -> str:
    await new_way(n)
    await hook("go")
    if n:
        continue_as_new(0)
    return "second"


def deploy(rig: LogRig, *definitions: Any) -> None:
    """Restarts the worker with these versions."""
    registry = Registry.of(*definitions)
    rig.workflow, rig.older = registry.workflows["order"], registry.older.get("order", {})
    rig.load()


@pytest.mark.parametrize("evict", [False, True])
def test_run_goes_on_under_its_own_version_beside_a_newer_one(evict: bool) -> None:
    rig = LogRig(first_order, evict=evict)
    rig.start(0)
    rig.step(1)
    deploy(rig, second_order, first_order)
    rig.hook("go")
    rig.step(3)

    assert rig.result == "first"
    assert rig.asked() == ["old_way", "old_way"]
    assert {record.version for record in rig.records} == {1}


def test_new_runs_begin_under_the_newest_version() -> None:
    rig = LogRig(first_order)
    deploy_first = Registry.of(first_order, second_order)
    rig.workflow, rig.older = deploy_first.workflows["order"], deploy_first.older["order"]
    rig.actor = rig.new_actor()
    rig.start(0)
    rig.step(1)
    rig.hook("go")

    assert rig.result == "second"
    assert {record.version for record in rig.records} == {2}


@pytest.mark.parametrize("evict", [False, True])
def test_next_link_begins_under_the_newest_version(evict: bool) -> None:
    rig = LogRig(first_order, evict=evict)
    rig.start(1)
    rig.step(1)
    deploy(rig, first_order, second_order)
    rig.hook("go")
    rig.step(3)
    assert rig.last.continued is not None
    rig.feed(rig.message(Tick(n=2, wake=CONTINUED)))
    rig.step(4)
    rig.hook("go")

    assert rig.result == "second"
    assert rig.asked() == ["old_way", "old_way", "new_way"]
    verify("app", RunKey("order", "r-1"), second_order, rig.records, {}, older={1: first_order})


def test_run_whose_version_is_gone_is_moved_and_parks_where_that_differs() -> None:
    rig = LogRig(first_order)
    rig.start(0)
    rig.step(1)
    deploy(rig, second_order)
    rig.hook("go")
    assert (rig.status, rig.last.parked and rig.last.parked.code) == ("parked", "mismatch")
    deploy(rig, second_order, first_order)
    rig.resume()
    rig.step(3)

    assert rig.result == "first"


def test_two_definitions_of_one_version_are_refused() -> None:
    @workflow(name="order", version=2)
    async def other(n: int) -> str:
        return "?"

    with pytest.raises(RegistrationError, match=r"defined twice.*or a version="):
        Registry.of(first_order, second_order, other)


@pytest.mark.parametrize("version", [0, -1, True, "2", 2**31])
def test_impossible_versions_are_refused(version: Any) -> None:
    with pytest.raises(DefinitionError, match="version="):
        workflow(version=version)(first_order.function)


def test_workflow_without_a_log_has_no_versions() -> None:
    with pytest.raises(DefinitionError, match="no log"):
        workflow(version=2, durable=False)(first_order.function)
