"""Recovery: which options hold, and which are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import DefinitionError, step, workflow
from jetrun.actors.commands import RunStep
from jetrun.actors.limits import RECOVERY_ATTEMPTS, RECOVERY_ATTEMPTS_MAX
from jetrun.actors.recovery import Recovery, recovery_of
from support.log_rig import LogRig


@step
async def fetch() -> int:
    return 1


@step(recover_on_worker_loss=False)
async def charge() -> int:
    return 1


@step(max_recovery_attempts=9)
async def convert() -> int:
    return 1


async def all_three() -> int:
    return await fetch() + await charge() + await convert()


def deliveries(flow: Any) -> list[int]:
    rig = LogRig(flow)
    rig.start()
    for n in (1, 2, 3):
        rig.step(n, 1)
    return [command.recoveries_max for r in rig.records for command in r.commands if isinstance(command, RunStep)]


@pytest.mark.parametrize(
    ("options", "fetch_deliveries"),
    [
        ({}, RECOVERY_ATTEMPTS + 1),
        ({"recover_on_worker_loss": True}, RECOVERY_ATTEMPTS + 1),
        ({"recover_on_worker_loss": False}, 1),
        ({"max_recovery_attempts": 0}, 1),
        ({"max_recovery_attempts": 5}, 6),
    ],
)
def test_a_step_follows_its_workflow_where_it_does_not_say(options: dict[str, Any], fetch_deliveries: int) -> None:
    """The log holds how often an attempt may be handed out: once more than it may be recovered."""
    assert deliveries(workflow(name="flow", **options)(all_three)) == [fetch_deliveries, 1, 10]


def test_nobody_says_anything() -> None:
    assert Recovery.build("step 'x'", recover_on_worker_loss=None, max_recovery_attempts=None) is None
    assert recovery_of(None, None).attempts == RECOVERY_ATTEMPTS


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_recovery_attempts": -1}, "use a whole number from 0"),
        ({"max_recovery_attempts": RECOVERY_ATTEMPTS_MAX + 1}, f"to {RECOVERY_ATTEMPTS_MAX}"),
        ({"max_recovery_attempts": True}, "use a whole number"),
        ({"max_recovery_attempts": "3"}, "use a whole number"),
        ({"recover_on_worker_loss": 1}, "use True or False"),
        ({"recover_on_worker_loss": False, "max_recovery_attempts": 3}, "what is never run again has no attempts"),
        ({"recover_on_worker_loss": True, "max_recovery_attempts": 0}, "use 1 or more"),
    ],
)
def test_options_that_cannot_work_are_refused_where_they_are_written(options: dict[str, Any], reason: str) -> None:
    async def target() -> None: ...

    for decorated in (
        lambda: step(name="target", **options)(target),
        lambda: workflow(**options)(target),
        lambda: workflow(durable=False, **options)(target),
    ):
        with pytest.raises(DefinitionError, match=reason) as refused:
            decorated()
        assert "'target': " in str(refused.value)
