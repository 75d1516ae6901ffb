"""Failed attempts: the actor decides about the next one, and the workflow sees the last (R18, I16, I17)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetrun.actors import StepFailed, step, workflow
from jetrun.actors.errors import ErrorInfo
from support.log_rig import SECOND, START_US, LogRig


class OutOfStock(Exception):
    pass


class Picky(Exception):
    """Cannot be made without what only the step knows."""

    def __new__(cls, code: int, text: str) -> Picky:  # pyright: ignore[reportInconsistentConstructor]
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        raise RuntimeError("no heirs")


@step(max_retries=2, retry_delay="10s")
async def fetch(x: int) -> int:
    raise AssertionError


@step(max_retries=5, retry_delay="exponential", retry_cap="4s")
async def jittered(x: int) -> int:
    raise AssertionError


@step(max_retries=3, non_retryable=(OutOfStock, "shop.errors.Gone"))
async def picky() -> int:
    raise AssertionError


@step(max_retries=3, retry_delay=lambda attempt: 1 / 0)
async def bad_policy() -> None:
    raise AssertionError


@workflow
async def fetching(x: int) -> int:
    return await fetch(x)


@workflow
async def patient() -> Any:
    return await jittered(1)


@workflow
async def careful() -> str:
    try:
        await picky()
    except OutOfStock as error:
        return f"{error.step} {error.attempts} {error.error.message}" if isinstance(error, StepFailed) else "alien"
    return "in stock"


@workflow
async def guarded() -> str:
    try:
        await fetch(1)
    except StepFailed as error:
        return type(error).__name__
    return ""


@workflow
async def badly() -> None:
    await bad_policy()


def test_failed_attempt_is_tried_again_after_its_delay() -> None:
    rig = LogRig(fetching)
    rig.start(1, at_s=0)

    rig.fail(1, at_s=1)

    ((command, retry),) = rig.owed.retries
    assert (command.n, retry.attempt, retry.due_at_us) == (1, 2, START_US + 11 * SECOND)
    assert rig.owed.steps == []
    rig.step(1, 7, attempt=2, at_s=12)
    assert rig.result == 7


def test_last_failure_reaches_the_workflow_with_its_attempts() -> None:
    rig = LogRig(fetching)
    rig.start(1, at_s=0)
    for attempt in (1, 2, 3):
        rig.fail(1, attempt=attempt, at_s=20 * attempt)

    assert rig.status == "failed"
    assert [r.attempt for record in rig.records for r in record.retries] == [2, 3]
    assert rig.error.message == "step 'fetch' failed after 3 attempt(s): OSError: no luck"
    assert "OSError" in rig.error.bases


def test_failure_of_an_attempt_that_is_over_counts_for_nothing() -> None:
    """Two workers may run one attempt after another; only the current one's failure counts."""
    rig = LogRig(fetching)
    rig.start(1)
    rig.fail(1, attempt=1)
    before = rig.owed.retries

    rig.fail(1, attempt=1)

    assert before
    assert rig.owed.retries == []
    assert rig.summary.failures == 1


def test_success_of_any_attempt_wins() -> None:
    """A worker that was thought dead may be the first to answer."""
    rig = LogRig(fetching)
    rig.start(1)
    rig.fail(1, attempt=1)

    rig.step(1, 5, attempt=1)

    assert rig.result == 5


def test_computed_delays_are_capped_jittered_and_repeatable() -> None:
    def delays(run: str) -> list[float]:
        rig = LogRig(patient, run=run)
        rig.start(at_s=0)
        found: list[float] = []
        for attempt in range(1, 6):
            at_s = 100.0 * attempt
            rig.fail(1, attempt=attempt, at_s=at_s)
            found.append((rig.owed.retries[0][1].due_at_us - START_US) / SECOND - at_s)
        return found

    first = delays("r-1")
    assert first == delays("r-1")
    assert first != delays("r-2")
    assert all(0.5 * most <= delay <= most for delay, most in zip(first, (1, 2, 4, 4, 4), strict=True))


def test_attempts_own_wish_wins_over_the_policy() -> None:
    rig = LogRig(fetching)
    rig.start(1, at_s=0)

    rig.fail(1, at_s=1, retry_after_us=90 * SECOND)

    assert rig.owed.retries[0][1].due_at_us == START_US + 91 * SECOND


@pytest.mark.parametrize("type_", [f"{__name__}.OutOfStock", "shop.errors.Gone"])
def test_types_that_are_not_worth_a_retry_fail_at_once(type_: str) -> None:
    rig = LogRig(careful)
    rig.start()

    rig.fail(1, type_)

    assert rig.owed.retries == []


def test_fatal_failure_is_final() -> None:
    rig = LogRig(fetching)
    rig.start(1)

    rig.fail(1, is_retryable=False)

    assert rig.status == "failed"


def test_workflow_catches_the_steps_own_exception_class() -> None:
    rig = LogRig(careful)
    rig.start()

    rig.fail(1, f"{OutOfStock.__module__}.OutOfStock")

    assert rig.result == "picky 1 no luck"


@pytest.mark.parametrize(
    "type_",
    [
        "ExceptionGroup",
        "StopIteration",
        "StopAsyncIteration",
        "KeyError",
        "UnicodeDecodeError",
        "asyncio.exceptions.CancelledError",
        "SystemExit",
        "OSError",
        "json.decoder.JSONDecodeError",
        f"{__name__}.Picky",
        f"{__name__}.guarded",
        "no.such.Class",
        "",
        "..",
    ],
)
def test_failure_of_any_class_reaches_the_workflow(type_: str) -> None:
    """A step in whose task group something failed raises an `ExceptionGroup`; an exhausted `next()` a `StopIteration`."""
    rig = LogRig(guarded)
    rig.start()

    rig.fail(1, type_, is_retryable=False)

    assert rig.status == "completed", rig.summary


def test_classes_are_looked_up_when_they_may_have_been_loaded() -> None:
    """Only what was found is remembered."""
    from jetrun.actors.errors import known_class, mixed_class

    name = f"{__name__}.LoadedLater"
    assert known_class(name) is None
    assert mixed_class(StepFailed, name) is StepFailed
    globals()["LoadedLater"] = type("LoadedLater", (Exception,), {})
    try:
        assert known_class(name) is globals()["LoadedLater"]
        assert issubclass(mixed_class(StepFailed, name), globals()["LoadedLater"])
        assert mixed_class(StepFailed, name) is mixed_class(StepFailed, name)
    finally:
        del globals()["LoadedLater"]


def test_policy_that_raises_parks_the_run() -> None:
    """It is the user's code; fixing it lets the run go on."""
    rig = LogRig(badly)
    rig.start()

    rig.fail(1)

    assert rig.status == "parked"
    assert rig.last.parked is not None
    assert rig.last.parked.code == "error"
    assert "ZeroDivisionError" in rig.last.parked.reason


def test_retries_of_a_closed_step_are_not_asked_for() -> None:
    """In one turn a step fails and its caller gives up: nothing is left to try."""

    @workflow
    async def hasty() -> str:
        async with asyncio.timeout(1):
            await fetch(1)
        return ""

    rig = LogRig(hasty)
    rig.start(at_s=0)
    rig.feed(*_failure_then(rig, at_s=0.9, tick_s=1.5))

    assert rig.owed.retries == []
    assert rig.status == "failed"


def _failure_then(rig: LogRig, at_s: float, tick_s: float) -> tuple[Any, Any]:
    from jetrun.actors.messages import StepResult, Tick

    failure = StepResult(command=1, attempt=1, token="", error=ErrorInfo(type="OSError"))
    return rig.message(failure, at_s=at_s), rig.message(Tick(n=2), at_s=tick_s)
