"""Options of a step: given where it is defined or at a call, checked before anything is asked for."""

from __future__ import annotations

from types import ModuleType
from typing import Any, cast

import pytest

from jetrun.actors import DefinitionError, InvalidName, Step, attempt, step, workflow
from jetrun.actors.commands import RunStep
from jetrun.actors.errors import NotInStep
from jetrun.actors.registry import Registry
from support.log_rig import SECOND, START_US, LogRig


@step(timeout="30s", max_retries=1)
async def charge(order: str, cents: int) -> str:
    return f"{order} {cents}"


@step
def stock(item: str) -> int:
    return 7


@workflow
async def buying(order: str) -> str:
    first = await charge(order, 1)
    return first + await charge.options(timeout="5s", queue="cards", max_retries=0)(order, 2)


@workflow
async def polling() -> list[int]:
    return [await stock("pen") for _ in range(3)]


@workflow(name="buying")
async def selling(order: str) -> str:
    return await charge.options(timeout="1s", queue="other")(order, 1) + await charge(order, 2)


def test_options_of_a_call_stand_in_its_command() -> None:
    """The step itself keeps its own."""
    rig = LogRig(buying)
    rig.start("o-1")
    rig.step(1, "a")

    commands = [command for record in rig.records for command in record.commands if isinstance(command, RunStep)]

    assert [(c.name, c.queue, c.timeout_us) for c in commands] == [
        ("charge", "default", 30 * SECOND),
        ("charge", "cards", 5 * SECOND),
    ]
    rig.fail(2)
    assert rig.error.message == "step 'charge' failed after 1 attempt(s): OSError: no luck"  # max_retries=0


def test_options_are_not_compared_on_replay() -> None:
    """Limits may change while runs are under way."""
    rig = LogRig(buying)
    rig.start("o-1")
    rig.deploy(selling)
    assert rig.status == "running"

    rig.step(1, "a")
    rig.step(2, "b")
    assert rig.result == "ab"


def test_options_keep_what_they_do_not_name() -> None:
    quick = charge.options(timeout="1s").options(queue="cards")

    assert isinstance(quick, Step)
    assert (quick.name, quick.queue, quick.timeout_us, quick.retry.max_retries) == ("charge", "cards", SECOND, 1)
    assert (charge.queue, charge.timeout_us) == ("default", 30 * SECOND)
    assert quick.base is charge


def test_equal_calls_are_calls_of_their_own() -> None:
    """A loop that polls asks three times, not once."""
    rig = LogRig(polling)
    rig.start()
    for n in (1, 2, 3):
        rig.step(n, n)

    assert rig.result == [1, 2, 3]
    assert rig.asked() == ["stock"] * 3


async def test_outside_a_workflow_a_step_is_its_function() -> None:
    """With options as without: no retries, nothing recorded, no attempt."""
    assert await charge("o-1", 5) == "o-1 5"
    assert await charge.options(timeout="5s", on_failure="none")("o-1", 6) == "o-1 6"
    assert cast(object, stock("pen")) == 7

    @step(on_failure=0)
    async def asking() -> int:
        return attempt().number

    with pytest.raises(NotInStep, match="plain function"):
        await asking()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"max_retry": 3}, "step 'charge' has no option 'max_retry'; did you mean 'max_retries'?"),
        ({"timeoutt": 3}, "did you mean 'timeout'"),
        ({"zzz": 3}, "there are queue, max_retries"),
        ({"timeout": "soon"}, "timeout of step 'charge'"),
        ({"schedule_to_close": "5"}, "schedule_to_close of step 'charge'"),
        ({"schedule_to_close": 0}, "schedule_to_close of step 'charge' is 0; use a positive duration"),
        ({"heartbeat_timeout": 0}, "heartbeat_timeout of step 'charge' is 0; use a positive duration"),
        ({"retry_for": 0}, "retry_for=0; use a positive duration"),
        ({"retry_for": "long"}, "retry_for"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"max_recovery_attempts": -1}, "step 'charge': max_recovery_attempts=-1; use a whole number"),
        ({"inline": 1}, "inline=1; use True or False"),
        ({"inline": True}, None),
        ({"inline": True, "timeout": "31s"}, "inline step 'charge' has a timeout of 31 s; at most 30 s"),
        ({"on_failure": ValueError}, "use a step, a plain function, or a value"),
        ({"on_failure": test_outside_a_workflow_a_step_is_its_function}, "use a step, a plain function, or a value"),
    ],
)
def test_options_that_cannot_work_are_one_clear_line(given: dict[str, Any], text: str | None) -> None:
    """Where the step is defined as at a call."""
    if text is None:
        assert charge.options(**given, timeout=None).timeout_us == 5 * SECOND
        return
    for make in (lambda: charge.options(**given), lambda: step(name="charge", **given)(charge.function)):
        with pytest.raises(DefinitionError) as caught:
            make()
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


def test_queue_of_an_option_is_a_token() -> None:
    with pytest.raises(InvalidName):
        charge.options(queue="a b")


def test_registry_knows_the_step_behind_options_and_fallbacks() -> None:
    """A module that names a variant brings its queue, and the fallback, which step workers have to know."""

    @step
    async def cached(item: str) -> int:
        return 0

    module = ModuleType("shop")
    module.__dict__.update(quick=charge.options(queue="cards"), price=stock.options(on_failure=cached))
    registry = Registry()
    registry.add_module(module)

    assert registry.steps == {"charge": charge, "stock": stock, "cached": cached}
    assert registry.queues == ["cards", "default"]


def test_time_of_the_call_is_the_runs_own() -> None:
    """What `schedule_to_close` is counted from."""

    @workflow
    async def bounded() -> str:
        return await charge.options(schedule_to_close="1m")("o-1", 1)

    rig = LogRig(bounded)
    rig.start(at_s=5)

    (command,) = rig.owed.steps
    assert command.close_at_us == START_US + 65 * SECOND
    assert rig.owed.timers == [("1", START_US + 65 * SECOND)]
