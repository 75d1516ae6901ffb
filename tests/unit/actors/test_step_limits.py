"""`schedule_to_close`, `retry_for` and `on_failure`: when the actor gives a step up, and what comes of that."""

from __future__ import annotations

import asyncio
from typing import Any

from jetrun.actors import StepFailed, Workflow, step, workflow
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.settled import is_settled
from support.log_rig import SECOND, START_US, LogRig


@step(max_retries=99, retry_delay="10s", schedule_to_close="60s")
async def fetch(x: int) -> int:
    raise AssertionError


@step(max_retries=99, retry_delay="10s", retry_for="30s")
async def eager(x: int) -> int:
    raise AssertionError


@step
async def double(x: int) -> int:
    raise AssertionError


@workflow
async def fetching(x: int) -> int:
    return await fetch(x)


@workflow
async def guarded(x: int) -> str:
    try:
        return str(await fetch(x))
    except TimeoutError as error:
        return (
            f"{error.error.code} after {error.attempts}: {error.error.message}" if isinstance(error, StepFailed) else ""
        )


@workflow
async def retrying(x: int) -> int:
    return await eager(x)


def falling_back(to: object) -> Workflow[[int], Any]:
    @workflow
    async def priced(x: int) -> Any:
        return await eager.options(max_retries=0, on_failure=to)(x)

    return priced


# --- schedule_to_close ------------------------------------------------------------------------------


def test_step_that_is_not_done_in_time_fails_with_a_code() -> None:
    """Whether it ran or waited: its work and retry are taken back, a running attempt is told."""
    rig = LogRig(guarded)
    rig.start(1, at_s=0)
    rig.tick(61, n=1, due_at_us=START_US + 60 * SECOND)

    assert rig.result == "schedule_to_close after 1: step 'fetch' was not done within its schedule_to_close of 60 s"


def test_work_of_an_expired_step_is_taken_back() -> None:
    @workflow
    async def going_on(x: int) -> int:
        try:
            await fetch(x)
        except StepFailed:
            return await double(x)
        return 0

    rig = LogRig(going_on)
    rig.start(1, at_s=0)
    rig.tick(61)

    assert [command.n for command in rig.owed.closed_steps] == [1]
    assert rig.owed.closed_timers == [1]
    assert [command.name for command in rig.owed.steps] == ["double"]
    assert rig.last.fired == [1]
    assert is_settled(rig.records, 1, 1)
    assert not is_settled(rig.records, 2, 1)


def test_result_in_time_takes_the_timer_back() -> None:
    @workflow
    async def twice(x: int) -> int:
        return await fetch(x) + await fetch(x)

    rig = LogRig(twice)
    rig.start(1, at_s=0)
    rig.step(1, 5, at_s=59)

    assert rig.owed.closed_timers == [1]
    assert rig.owed.timers == [("2", START_US + 119 * SECOND)]
    rig.tick(61, n=1)  # stale
    assert rig.status == "running"
    rig.step(2, 6, at_s=100)
    assert rig.result == 11


def test_result_that_comes_too_late_counts_for_nothing() -> None:
    """The order of the server's times decides, not who was faster here."""
    rig = LogRig(guarded)
    rig.start(1, at_s=0)
    rig.step(1, 5, at_s=60.5)

    assert rig.result.startswith("schedule_to_close after 1")


def test_retry_that_would_come_too_late_is_not_made() -> None:
    """It is recorded, so that a replay under another policy comes to the same."""
    rig = LogRig(guarded)
    rig.start(1, at_s=0)
    rig.fail(1, at_s=20)
    assert [retry.attempt for _, retry in rig.owed.retries] == [2]

    rig.fail(1, attempt=2, at_s=55)

    assert rig.result.startswith("schedule_to_close after 2: ")
    assert rig.result.endswith("attempt 2 of it failed last: OSError: no luck")
    assert rig.owed.retries == []


def test_expired_retry_names_what_failed_last() -> None:
    rig = LogRig(guarded)
    rig.start(1, at_s=0)
    rig.fail(1, at_s=20)
    rig.tick(61)

    assert rig.result.startswith("schedule_to_close after 2: ")
    assert "OSError: no luck" in rig.result


def test_tick_that_comes_too_early_is_scheduled_again() -> None:
    rig = LogRig(fetching)
    rig.start(1, at_s=0)

    decision = rig.tick(59.9, n=1, due_at_us=START_US + 60 * SECOND)

    assert [verdict.early_timer for verdict in decision.verdicts] == ["1"]


def test_limit_of_an_ended_run_is_taken_back() -> None:
    rig = LogRig(fetching)
    rig.start(1, at_s=0)
    rig.terminate()

    assert rig.owed.closed_timers == [1]
    assert [command.n for command in rig.owed.closed_steps] == [1]


def test_changed_limit_holds_for_new_calls_alone() -> None:
    rig = LogRig(guarded)
    rig.start(1, at_s=0)

    @workflow(name="guarded")
    async def changed(x: int) -> str:
        try:
            return str(await fetch.options(schedule_to_close="1s")(x))
        except TimeoutError:
            return "late"

    rig.deploy(changed)
    rig.tick(30)
    assert rig.status == "running"
    rig.tick(60)
    assert rig.result == "late"


# --- retry_for --------------------------------------------------------------------------------------


def test_no_attempt_begins_after_retry_for() -> None:
    """The last failure stands, as after `max_retries`."""
    rig = LogRig(retrying)
    rig.start(1, at_s=0)
    rig.fail(1, at_s=10)
    rig.fail(1, attempt=2, at_s=20)
    assert len(rig.owed.retries) == 1

    rig.fail(1, "KeyError", attempt=3, at_s=20.5)

    assert rig.status == "failed"
    assert rig.error.message == "step 'eager' failed after 3 attempt(s): KeyError: no luck"


# --- on_failure -------------------------------------------------------------------------------------


def test_fallback_step_is_called_with_the_same_arguments() -> None:
    """An ordinary command: recorded, retried, replayed."""
    rig = LogRig(falling_back(double))
    rig.start(4)
    rig.fail(1)
    assert rig.asked() == ["eager", "double"]

    rig.step(2, 8)
    assert rig.result == 8


def test_fallback_may_be_a_value() -> None:
    for value in (0, None, [1, 2]):
        rig = LogRig(falling_back(value))
        rig.start(4)
        rig.fail(1)
        assert rig.result == value


def test_fallback_may_be_a_function_of_the_failure() -> None:
    rig = LogRig(falling_back(lambda failed: f"{failed.step}: {failed.error.type}"))
    rig.start(4)
    rig.fail(1)

    assert rig.result == "eager: OSError"


def test_fallback_that_fails_fails_the_call() -> None:
    rig = LogRig(falling_back(double.options(max_retries=0)))
    rig.start(4)
    rig.fail(1)
    rig.fail(2, "KeyError")

    assert rig.error.message == "step 'double' failed after 1 attempt(s): KeyError: no luck"


def test_fallback_is_not_for_a_cancel() -> None:
    rig = LogRig(falling_back(7))
    rig.start(4)
    rig.cancel("enough")

    assert rig.status == "cancelled"


def test_success_needs_no_fallback() -> None:
    rig = LogRig(falling_back(double))
    rig.start(4)
    rig.step(1, 5)

    assert rig.result == 5
    assert rig.asked() == ["eager"]


def test_expired_step_falls_back_too() -> None:
    @workflow
    async def priced(x: int) -> int:
        return await fetch.options(on_failure=-1)(x)

    rig = LogRig(priced)
    rig.start(4, at_s=0)
    rig.tick(60)

    assert rig.result == -1


def test_fatal_failure_leaves_no_limit_behind() -> None:
    @workflow
    async def going_on(x: int) -> int:
        return await fetch.options(on_failure=double)(x)

    rig = LogRig(going_on)
    rig.start(1, at_s=0)
    rig.step(1, ErrorInfo(type="OSError"), at_s=1)
    rig.fail(1, attempt=2, at_s=12, is_retryable=False)

    assert rig.owed.closed_timers == [1]
    assert [command.name for command in rig.owed.steps] == ["double"]


# --- inline -----------------------------------------------------------------------------------------


def test_inline_steps_are_owed_apart_whoever_reads_the_log() -> None:
    """A worker without the code finds them owed, too; of many, the first hundred."""

    @workflow
    async def wide(count: int) -> list[int]:
        near = double.options(inline=True)
        return await asyncio.gather(*(near(n) for n in range(count)), double(count))

    rig = LogRig(wide)
    rig.start(120)
    assert [command.n for command in rig.owed.inline] == list(range(1, 101))
    assert [command.n for command in rig.owed.steps] == list(range(101, 122))
    owed = rig.owed

    rig.deploy(None)

    assert (rig.owed.inline, rig.owed.steps) == (owed.inline, owed.steps)
