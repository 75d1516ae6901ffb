"""Sagas that are used wrongly, and what their error says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jetrun.actors import (
    CompensationFailure,
    DefinitionError,
    InvalidValue,
    NotInWorkflow,
    SagaError,
    saga,
    step,
    workflow,
)
from jetrun.actors.errors import mixed_class
from support.log_rig import LogRig


@step(max_retries=0)
async def undo(what: str) -> None:
    raise AssertionError


def run_once(body: Callable[[], Any]) -> LogRig:
    """Runs code as a workflow."""

    @workflow(name="misuse")
    async def misuse() -> object:
        return await body()

    rig = LogRig(misuse)
    rig.start()
    return rig


def test_registering_after_the_block_is_refused() -> None:
    async def body() -> None:
        async with saga() as s:
            pass
        s.compensate(undo, "late")

    assert run_once(body).error.message == "compensation 'undo': the saga is left; register within its block"


def test_registering_before_the_block_and_while_undoing_is_refused() -> None:
    async def before() -> None:
        saga().compensate(undo, "early")

    async def again() -> None:
        async with saga() as s:

            async def more() -> None:
                s.compensate(undo, "more")

            s.compensate(more)
            raise ValueError("no")

    assert run_once(before).error.message == "compensation 'undo': the saga is not entered; register within its block"
    assert "the saga is left; register within its block" in run_once(again).error.message


def test_saga_is_entered_once() -> None:
    async def body() -> None:
        s = saga()
        async with s:
            pass
        async with s:
            pass

    error = run_once(body).error
    assert error.type == "jetrun.actors.errors.DefinitionError"
    assert error.message.startswith("this saga was entered before; make a new one for each block")


def test_called_compensation_is_refused_with_the_way_to_write_it() -> None:
    """`s.compensate(refund(payment))` would have begun, or never been awaited."""
    called: Any = None

    async def body() -> None:
        nonlocal called
        async with saga() as s:
            called = undo("x")
            s.compensate(called)

    error = run_once(body).error
    assert error.message == "compensate() takes a step and its arguments: `s.compensate(refund, payment)`"


def test_what_cannot_be_called_is_refused() -> None:
    async def body() -> None:
        wrong: Any = "undo"
        async with saga() as s:
            s.compensate(wrong)

    assert run_once(body).error.message == "compensation 'str' cannot be called; use a step or an async function"


@pytest.mark.parametrize("args", [(), ("a", "b"), (object(),)])
def test_wrong_arguments_of_a_step_are_found_when_it_is_registered(args: tuple[Any, ...]) -> None:
    wrong: Any = undo

    async def body() -> None:
        async with saga() as s:
            try:
                s.compensate(wrong, *args)
            except InvalidValue:
                return
        raise AssertionError("not refused")

    assert run_once(body).status == "completed"


def test_saga_outside_of_workflows_is_refused() -> None:
    with pytest.raises(NotInWorkflow, match=r"elsewhere use contextlib\.AsyncExitStack"):
        saga()


def test_too_many_compensations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["jetrun.actors.saga"], "COMPENSATIONS_MAX", 2)  # the name is the function's, too

    async def body() -> None:
        async with saga() as s:
            for _ in range(3):
                s.compensate(asyncio.sleep, 0)

    error = run_once(body).error
    assert error.message == "compensation 'sleep' is one too many: a saga has 2 at most"


# --- the error ---------------------------------------------------------------------------------------------


def test_error_names_ten_failures_and_counts_the_rest() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    failures = [CompensationFailure("undo", ValueError(f"n{index}" + "x" * 500)) for index in range(12)]
    error = SagaError.of(failures, count=12, original=Mute())

    assert str(error).startswith("12 of 12 compensation(s) failed (undo: ValueError: n0xxx")
    assert "; 2 more) after Mute: <no message: __str__ raised ValueError>; undo by hand" in str(error)
    assert len(str(error)) < 4_000
    assert len(error.failures) == 12


def test_error_of_a_run_can_be_caught_as_what_it_is() -> None:
    """A client gets `RunFailed` that is a `SagaError`, too, without its constructor being called."""
    cls = mixed_class(DefinitionError, "jetrun.actors.errors.SagaError")

    error = cls.__new__(cls, "1 of 2")

    assert isinstance(error, SagaError)
    assert error.failures == ()
