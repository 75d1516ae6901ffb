"""Logs given to today's code again, also those of runs that have ended (R13)."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.actors import Workflow, hook, sleep, step, workflow
from jetrun.actors.errors import ReplayMismatch
from jetrun.actors.replay import verify
from support.log_rig import LogRig


@step
async def double(number: int) -> int:
    raise AssertionError


def flow_of(*, result: int = 0, is_slow: bool = False, fails: bool = False) -> Workflow[[int], int]:
    @workflow(name="flow", max_duration="1h")
    async def flow(number: int) -> int:
        if is_slow:
            await sleep(1)
        doubled = await double(number)
        await hook("go")
        if fails:
            raise ValueError("no luck")
        return doubled + result

    return flow


def ran(code: Workflow[..., Any]) -> LogRig:
    rig = LogRig(code)
    rig.start(1)
    rig.step(1, 2)
    return rig


def check(rig: LogRig, code: Workflow[..., Any]) -> None:
    verify("app", rig.key, code, rig.records, rig.objects)


def test_a_log_replays_with_the_code_that_made_it_at_every_length() -> None:
    rig = ran(flow_of())
    rig.hook("go")
    assert rig.result == 2

    for length in range(1, len(rig.records) + 1):
        verify("app", rig.key, flow_of(), rig.records[:length], rig.objects)


@pytest.mark.parametrize(
    ("code", "difference"),
    [
        (flow_of(is_slow=True), "the log holds step 'double'"),
        (flow_of(result=1), "the log holds the end (completed with 2), the code asked for the end (completed with 3)"),
        (flow_of(fails=True), "the code asked for the end (failed: ValueError: no luck)"),
    ],
    ids=["another command", "another result", "a failure"],
)
def test_a_change_is_named(code: Workflow[..., Any], difference: str) -> None:
    rig = ran(flow_of())
    rig.hook("go")

    with pytest.raises(ReplayMismatch) as caught:
        check(rig, code)

    assert difference in str(caught.value)


def test_code_that_ends_too_early_or_too_late_differs() -> None:
    @workflow(name="flow")
    async def hasty(number: int) -> int:
        return await double(number)

    rig = ran(flow_of())
    with pytest.raises(ReplayMismatch, match=r"hook 'go', the code asked for nothing: it ended"):
        check(rig, hasty)

    rig = ran(hasty)
    with pytest.raises(ReplayMismatch):
        check(rig, flow_of())


@pytest.mark.parametrize("how", ["terminated", "max_duration", "cancelled"])
def test_ends_from_outside_are_no_difference(how: str) -> None:
    rig = ran(flow_of())
    match how:
        case "terminated":
            rig.terminate()
        case "cancelled":
            rig.cancel()
        case _:
            rig.tick(4000)
    assert rig.status in ("terminated", "cancelled", "failed")

    check(rig, flow_of())


def test_a_parked_run_replays_with_the_code_that_it_waits_for() -> None:
    """So that one knows before the deploy."""
    rig = LogRig(flow_of(), check=False)
    rig.start(1)
    rig.deploy(flow_of(is_slow=True))
    rig.step(1, 2)
    assert rig.status == "parked"

    check(rig, flow_of())
    with pytest.raises(ReplayMismatch):
        check(rig, flow_of(is_slow=True))
