"""Workflows with `durable=False`: what may be declared, and what their runs ask for."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import DefinitionError, InvalidName, step, workflow
from jetrun.actors.body import body_of, failure_of
from jetrun.actors.commands import RunStep
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.registry import RegistrationError, Registry
from support.log_rig import LogRig


@step
async def fetch(x: int) -> int:
    return x


@workflow(durable=False, queue="quick", max_recovery_attempts=1, tags=["billing", "nightly"])
async def quick(x: int) -> int:
    return await fetch(x) + 1


def error(code: str) -> ErrorInfo:
    return ErrorInfo(type="X", code=code)


# --- the log -----------------------------------------------------------------------------------------


def test_a_run_asks_for_its_whole_body_and_ends_as_that_does() -> None:
    """Two decisions, whatever the code does: its steps are not in the log."""
    rig = LogRig(quick)
    rig.start(3)
    (asked,) = rig.records[0].commands
    assert isinstance(asked, RunStep)
    assert (asked.name, asked.queue, bytes(asked.args), asked.recoveries_max) == ("workflow:quick", "quick", b"[3]", 2)

    rig.step(1, 4)

    assert len(rig.records) == 2
    outcome = rig.records[-1].outcome
    assert outcome is not None
    assert (outcome.status, bytes(outcome.result)) == ("completed", b"4")


def test_a_run_fails_with_what_its_body_failed_with() -> None:
    """The one who waits sees the workflow's own error, not that a step of the engine's failed."""
    rig = LogRig(quick)
    rig.start(3)

    rig.fail(1, "ValueError")

    outcome = rig.records[-1].outcome
    assert outcome is not None
    assert outcome.error is not None
    assert (outcome.status, outcome.error.type) == ("failed", "ValueError")


def test_changed_code_does_not_stop_the_runs_that_are_under_way() -> None:
    """There is nothing in their logs that it could contradict."""

    @workflow(name="quick", durable=False)
    async def changed(x: int) -> int:
        return 7

    rig = LogRig(quick)
    rig.start(3)
    rig.deploy(changed)

    rig.step(1, 4)

    assert rig.records[-1].outcome is not None


def test_the_bodys_own_failures_are_final_and_those_of_the_engine_are_tried_again() -> None:
    """A worker that does not know the workflow yet, in a rolling deploy, is no end of the run."""
    retry = body_of(quick.function, workflow="quick", queue="q", recovery=None).retry

    def decide(code: str) -> int | None:
        return retry.decide(attempt=1, error=error(code), is_retryable=True, retry_after_us=5, seed="s")

    assert decide("unknown_step") == 5
    assert decide("missing_value") == 5
    assert decide("") is None
    assert decide("worker_lost") is None


def test_other_errors_of_a_run_are_described_as_ever() -> None:
    assert failure_of(quick.body, ValueError("x")).type == "ValueError"
    assert failure_of(None, ValueError("x")).message == "x"


# --- what may be declared -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"durable": None}, "use True or False"),
        ({"durable": 0}, "use True or False"),
        ({"queue": "quick"}, r"is for durable=False; give the queue to its steps: @step\(queue=...\)"),
        ({"durable": True, "queue": "quick"}, "is for durable=False"),
        ({"durable": False, "max_recovery_attempts": -1}, "max_recovery_attempts=-1"),
        ({"durable": False, "recover_on_worker_loss": False, "max_recovery_attempts": 1}, "drop one of the two"),
        ({"tags": ["a", "b", "c", "d"]}, "has 4 tags; at most 3"),
        ({"tags": "billing"}, "use a list of texts"),
        ({"tags": [""]}, "printable text"),
        ({"tags": ["x" * 65]}, "1 to 64 characters"),
        ({"tags": ["a\nb"]}, "printable"),
        ({"tags": [1]}, "tag 1"),
    ],
)
def test_combinations_that_make_no_sense_are_refused_with_the_reason(options: dict[str, Any], reason: str) -> None:
    async def target() -> None: ...

    with pytest.raises(DefinitionError, match=reason):
        workflow(**options)(target)


def test_a_queue_that_cannot_be_one_is_refused() -> None:
    async def target() -> None: ...

    with pytest.raises(InvalidName, match="queue"):
        workflow(durable=False, queue="a b")(target)


def test_what_was_declared_can_be_read() -> None:
    @workflow
    async def plain() -> None: ...

    assert (quick.is_durable, quick.tags, quick.__name__) == (False, ("billing", "nightly"), "quick")
    assert (plain.is_durable, plain.tags, plain.body, plain.recovery) == (True, (), None, None)


# --- the registry ----------------------------------------------------------------------------------------


def test_a_body_is_registered_with_its_workflow_so_that_its_queue_is_provisioned() -> None:
    registry = Registry.of(quick)

    assert registry.steps == {"workflow:quick": quick.body}
    assert registry.queues == ["quick"]


def test_no_step_can_take_the_place_of_a_body() -> None:
    with pytest.raises(InvalidName, match="contains ':'"):
        step(name="workflow:quick")(fetch.function)


def test_one_function_decorated_twice_is_one_definition_and_another_function_is_refused() -> None:
    again = workflow(durable=False, queue="quick", max_recovery_attempts=1, tags=["billing", "nightly"])(quick.function)
    Registry.of(quick, again)
    Registry.of(fetch, step(fetch.function))

    async def fetch_too(x: int) -> int:
        return x

    for one, other in (
        (quick, workflow(name="quick")(quick.function)),
        (quick, workflow(name="quick", durable=False, queue="quick")(fetch_too)),
        (fetch, step(name="fetch")(fetch_too)),
        (fetch, step(name="fetch", queue="q")(fetch.function)),
    ):
        with pytest.raises(RegistrationError, match="defined twice"):
            Registry.of(one, other)


def test_decorators_work_bare_and_with_parentheses() -> None:
    async def target(x: int) -> int:
        return x

    assert step(target).name == step()(target).name == "target"
    assert workflow(target).name == workflow()(target).name == workflow(durable=False)(target).name == "target"
