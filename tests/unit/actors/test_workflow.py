"""Workflows and steps as they are written: refused early, hashed the same everywhere, callable without an engine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jetrun.actors import (
    DefinitionError,
    InvalidDuration,
    InvalidName,
    InvalidValue,
    NotInWorkflow,
    call,
    hook,
    info,
    now,
    random,
    shield,
    sleep,
    step,
    uuid4,
    workflow,
)
from jetrun.actors.workflow import code_hash
from support.log_rig import LogRig

TESTS = Path(__file__).parents[2]
RATE = 3


@step
async def double(x: int) -> int:
    return 2 * x


@step
def triple(x: int) -> int:
    return 3 * x


def helper(x: int) -> int:
    return x + RATE


@workflow
async def flow(x: int) -> int:
    return helper(await double(x)) if x in {"a", "b", "c", 1} else 0


def test_plain_calls_run_the_functions() -> None:
    """Unit tests of workflow code need no engine."""
    assert asyncio.run(flow(1)) == 5
    plain: Any = triple(2)
    assert plain == 6
    assert asyncio.run(double(4)) == 8


def test_call_binds_and_checks_arguments() -> None:
    bound = flow.call(x=3)

    assert (bound.workflow, bound.args, bound.kwargs, bound.result_type) == ("flow", b"[3]", None, int)
    with pytest.raises(InvalidValue, match="argument 'x' of workflow flow"):
        flow.call()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_call_by_name_takes_anything_that_is_json() -> None:
    bound = call("order", "o-1", count=2)

    assert (bound.args, bound.kwargs) == (b'["o-1"]', b'{"count":2}')
    with pytest.raises(InvalidName):
        call("no such")
    with pytest.raises(InvalidValue, match="argument 'x' of workflow order"):
        call("order", x=object())


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*"])
def test_names_are_checked_where_they_are_written(name: str) -> None:
    with pytest.raises(InvalidName):
        workflow(name=name)(flow.function)
    with pytest.raises(InvalidName):
        step(queue=name)(double.function)


def test_what_cannot_be_a_workflow_or_step_is_refused() -> None:
    with pytest.raises(DefinitionError, match="async def"):
        workflow(triple.function)  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(DefinitionError, match="takes a function"):
        step(int)
    with pytest.raises(InvalidDuration):
        workflow(max_duration="soon")(flow.function)


@pytest.mark.parametrize("function", [now, random, uuid4, info, shield])
def test_primitives_outside_of_workflows_say_so(function: Any) -> None:
    with pytest.raises(NotInWorkflow, match=f"{function.__name__}\\(\\) works inside a workflow"):
        function()


async def test_waiting_primitives_outside_of_workflows_say_so() -> None:
    """Also where an event loop runs: it is not a workflow's."""
    with pytest.raises(NotInWorkflow):
        await sleep(1)
    with pytest.raises(NotInWorkflow):
        await hook("go")


@pytest.mark.parametrize("delay", [-1, "soon", "5", float("nan"), 1e12, timedelta(days=-1), datetime(2027, 1, 1)])  # noqa: DTZ001
def test_delays_that_make_no_sense_are_errors_of_the_code(delay: Any) -> None:
    @workflow
    async def waiting() -> None:
        await sleep(delay)

    rig = LogRig(waiting)
    rig.start()

    assert rig.error.type == "jetrun.actors.errors.InvalidDuration"


@pytest.mark.parametrize("delay", [3, "3s", timedelta(seconds=3), datetime(2027, 1, 15, 8, 0, 3, tzinfo=UTC)])
def test_sleep_takes_seconds_texts_spans_and_instants(delay: Any) -> None:
    @workflow
    async def waiting() -> str:
        await sleep(delay)
        return now().isoformat()

    rig = LogRig(waiting)
    rig.start(at_s=0)
    rig.tick(3.5)

    assert rig.result == "2027-01-15T08:00:03+00:00"


def test_hook_names_are_checked_where_they_are_asked_for() -> None:
    @workflow
    async def waiting() -> None:
        await hook("a.b")

    rig = LogRig(waiting)
    rig.start()

    assert rig.error.type == "jetrun.actors.errors.InvalidName"
    assert rig.last.commands == []


def test_hash_of_code_follows_what_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    before = flow.code_hash

    with monkeypatch.context() as patch:
        patch.setitem(globals(), "RATE", 4)
        assert code_hash(flow.function) != before
    assert code_hash(flow.function) == before


def test_hash_of_code_is_the_same_in_every_process() -> None:
    """A frozenset of texts has another order under each hash seed."""
    script = "from unit.actors import test_workflow as t; print(t.flow.code_hash)"
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert found == {flow.code_hash}


def test_calling_a_workflow_inside_a_workflow_starts_a_child() -> None:
    @workflow
    async def outer() -> int:
        return await flow(1) + 1

    rig = LogRig(outer)
    rig.start()
    (child,) = rig.owed.children
    rig.child(child.n, 13)

    assert (child.workflow, child.run, bytes(child.args)) == ("flow", "outer-r-1-1", b"[1]")
    assert rig.result == 14
