"""Parking: a run that cannot decide loses nothing, says why, and goes on when it can (R3, R16, P8)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

import pytest

from jetrun.actors import Workflow, hook, sleep, step, workflow
from jetrun.actors.limits import PARK_RETRY_FIRST_US, PARK_RETRY_MAX_US
from jetrun.actors.messages import Hook, Ref, Start, Terminate
from jetrun.actors.records import Parked
from support.log_rig import SECOND, START_US, LogRig, hook_body, result_body


@step
async def charge(cents: int) -> int:
    raise AssertionError


@step
async def ship(order: str) -> str:
    raise AssertionError


def named(function: Callable[..., Coroutine[Any, Any, Any]]) -> Workflow[..., Any]:
    return workflow(name="order")(function)


@named
async def before() -> list[Any]:
    paid = await charge(100)
    sent = await ship("o-1")
    return [paid, sent, await hook("go")]


@named
async def other_price() -> list[Any]:
    return [await charge(99), await ship("o-1"), await hook("go")]


@named
async def other_step() -> list[Any]:
    return [await ship("o-1"), await charge(100), await hook("go")]


@named
async def one_more() -> list[Any]:
    return [await charge(100), *await asyncio.gather(ship("o-1"), ship("o-2")), await hook("go")]


@named
async def one_less() -> list[Any]:
    return [await charge(100), await hook("go")]


@named
async def ends_early() -> None:
    await charge(100)


@named
async def gathered() -> list[Any]:
    return [*await asyncio.gather(charge(99)), await ship("o-1")]


@named
async def spinning() -> None:
    await charge(100)
    while True:
        await asyncio.sleep(0)


@named
async def raising_in_ours() -> None:
    await hook("go", Bomb)


class Bomb:
    """A type whose reading fails in a way that nobody expects."""


def parked(rig: LogRig) -> Parked:
    found = rig.last.parked
    assert found is not None, rig.last
    return found


def begun() -> LogRig:
    rig = LogRig(before, name="order")
    rig.start(at_s=0)
    rig.step(1, 100, at_s=1)
    return rig


def line_of(code: Workflow[..., Any], text: str) -> str:
    import inspect

    lines, first = inspect.getsourcelines(code.function)
    return f"{__file__}:{first + next(i for i, line in enumerate(lines) if text in line)}"


@pytest.mark.parametrize(
    ("code", "command", "recorded", "asked", "line"),
    [
        (other_price, 1, "step 'charge' on queue 'default' with [100]", "step 'charge' .* with [99]", "charge(99)"),
        (other_step, 1, "step 'charge'", "step 'ship'", "ship("),
        (one_more, 3, "nothing", "step 'ship'", "asyncio.gather"),
        (one_less, 2, "step 'ship'", "hook 'go'", "hook("),
        (ends_early, 2, "step 'ship'", "nothing: it ended", "@named"),
        (gathered, 1, "step 'charge'", "step 'charge'", "asyncio.gather"),
    ],
)
def test_code_that_differs_parks_and_says_where(
    code: Workflow[..., Any], command: int, recorded: str, asked: str, line: str
) -> None:
    """Command number, what the log holds, what the code asked for, and the line of source (R13, P8)."""
    rig = begun()
    rig.deploy(code)

    rig.step(2, "sent", at_s=2)

    assert (rig.status, parked(rig).code) == ("parked", "mismatch")
    reason = parked(rig).reason
    assert reason.startswith(f"command {command}: the log holds {recorded}")
    assert re.search(re.escape("the code asked for ") + re.escape(asked).replace(r"\.\*", ".*"), reason)
    assert f"at {line_of(code, line)};" in reason


def test_parked_run_goes_on_when_the_code_fits_again() -> None:
    """Nothing was lost meanwhile: what came is applied in its order."""
    rig = begun()
    rig.deploy(other_price)
    rig.step(2, "sent", at_s=2)
    rig.hook("go", "now", at_s=3)
    assert rig.status == "parked"

    rig.deploy(before)
    rig.tick(30)

    assert rig.result == [100, "sent", "now"]
    assert rig.owed.is_unparked
    assert rig.last.unparked


def test_unknown_workflow_parks_and_goes_on_where_it_is_known() -> None:
    """During a rolling deploy the unknown waits (R17)."""
    rig = LogRig(None, name="order")
    rig.start(at_s=0)
    assert parked(rig).code == "unknown_workflow"
    assert "'order' is not registered" in parked(rig).reason
    assert rig.summary.started_at_us == START_US

    rig.deploy(before)
    rig.tick(6)

    assert rig.asked() == ["charge"]
    assert rig.owed.is_start
    assert rig.status == "running"


def test_running_run_is_read_by_a_worker_that_does_not_know_it() -> None:
    rig = begun()
    rig.deploy(None)

    rig.step(2, "sent")

    assert parked(rig).code == "unknown_workflow"


def test_code_that_holds_the_loop_parks() -> None:
    rig = LogRig(spinning)
    rig.start(at_s=0)

    rig.step(1, 100, at_s=1)

    assert parked(rig).code == "blocked"
    assert "callbacks" in parked(rig).reason


def test_blocked_run_is_tried_again_with_other_code_only() -> None:
    """It would hold the next worker as well; ticks wait for a deploy, a person may insist."""
    rig = LogRig(spinning)
    rig.start(at_s=0)
    rig.step(1, 100, at_s=1)
    k = rig.last.k

    rig.tick(60)
    rig.tick(61, wake="parked")
    assert rig.last.k == k
    rig.resume(at_s=62)
    assert rig.last.k == k + 1
    assert parked(rig).tries == 2

    rig.deploy(before)
    rig.hook("go", "x", at_s=63)  # kept, and written by the worker with the new code
    rig.tick(64, wake="parked")
    assert rig.status == "running"
    assert rig.asked() == ["charge", "ship"]


def test_tries_come_after_5_seconds_doubling_to_5_minutes() -> None:
    rig = begun()
    rig.deploy(other_price)
    rig.step(2, "sent", at_s=2)
    waits: list[int] = []
    for _ in range(9):
        waits.append(parked(rig).retry_at_us - rig.last.at_us)
        assert rig.owed.parked == parked(rig)
        rig.tick((parked(rig).retry_at_us - START_US) / SECOND)

    assert waits[0] == PARK_RETRY_FIRST_US
    assert waits[1] == 2 * PARK_RETRY_FIRST_US
    assert waits[-1] == PARK_RETRY_MAX_US


def test_tick_before_its_time_is_repeated() -> None:
    """Stamped by another server's clock; dropped, the run would be tried again by nobody (R14)."""
    rig = begun()
    rig.deploy(other_price)
    rig.step(2, "sent", at_s=2)
    due_at_us = parked(rig).retry_at_us

    (verdict,) = rig.tick((due_at_us - START_US) / SECOND - 0.001, due_at_us=due_at_us).verdicts
    (stale,) = rig.tick((due_at_us - START_US) / SECOND - 0.001, due_at_us=due_at_us - SECOND).verdicts

    assert (verdict.early_timer, stale.early_timer) == ("park", "")


def test_other_messages_do_not_wake_a_parked_run() -> None:
    rig = begun()
    rig.deploy(other_price)
    rig.step(2, "sent", at_s=2)
    tries = parked(rig).tries

    rig.hook("go", at_s=3)
    rig.cancel(at_s=4)

    assert rig.last.undecided
    assert parked(rig).tries == tries
    assert rig.owed.parked is None


def test_terminate_ends_a_run_whose_code_cannot_go_on() -> None:
    """Without running any of it: a workflow that holds the loop must be possible to get rid of."""
    rig = LogRig(spinning)
    rig.start(at_s=0)
    rig.step(1, 100, at_s=1)
    rig.hook("go", 1, at_s=2)

    rig.terminate("away with it", at_s=3)

    assert rig.status == "terminated"
    assert rig.last.outcome is not None
    assert rig.last.outcome.reason == "away with it"
    assert [(one.seq, one.code) for one in rig.last.refused] == [(3, "ended")]
    assert [command.n for command in rig.owed.closed_steps] == [1]
    assert rig.owed.is_unparked


@pytest.mark.parametrize("code", [None, other_price])
def test_terminate_needs_no_code_that_fits(code: Workflow[..., Any] | None) -> None:
    rig = begun()
    rig.deploy(code)

    rig.feed(rig.message(result_body(2, "sent")), rig.message(Terminate()), rig.message(hook_body(1), "go"))

    assert rig.status == "terminated"
    assert 2 in [command.n for command in rig.owed.closed_steps]
    assert [(one.seq, one.code) for one in rig.last.refused] == [(5, "ended")]


def test_watchdogs_verdict_parks_whatever_the_code_would_do() -> None:
    rig = begun()
    message = rig.message(result_body(2, "sent"))

    decision = rig.actor.park([message], "blocked", "held the loop", nonce="n")
    rig.owed = rig.actor.owed
    rig.store(decision)

    assert (parked(rig).code, parked(rig).reason) == ("blocked", "held the loop")
    again = rig.actor.park([message], "blocked", "held the loop", nonce="n")
    assert (again.records, [verdict.is_repeat for verdict in again.verdicts]) == ([], [True])


def test_large_value_that_is_gone_parks() -> None:
    """The run cannot be rebuilt without it, and must not go another way."""

    @workflow
    async def reading() -> Any:
        await hook("go")
        return await hook("go")

    rig = LogRig(reading)
    rig.start(at_s=0)
    data = b'"' + b"x" * 300_000 + b'"'
    ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
    rig.objects[ref.sha256] = data
    rig.feed(rig.message(Hook(ref=ref), "go"))
    rig.objects.clear()
    rig.load()

    rig.hook("go", 1)
    assert parked(rig).code == "missing_value"
    assert ref.sha256 in parked(rig).reason

    rig.objects[ref.sha256] = data
    rig.tick(60)
    assert rig.result == 1


def test_arguments_in_the_store_that_do_not_fit_park() -> None:
    @workflow
    async def strict(x: int) -> int:
        return x

    rig = LogRig(strict)
    data = b'{"args":["one"],"kwargs":null}'
    ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
    rig.objects[ref.sha256] = data

    rig.feed(rig.message(Start(ref=ref)))

    assert parked(rig).code == "invalid_start"
    assert "argument 'x' of workflow strict" in parked(rig).reason


def test_defect_in_a_fold_parks_the_run_and_not_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = begun()

    def explode(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("jetrun.actors.fold.resolve", explode)
    rig._check = False
    rig.step(2, "sent", at_s=2)

    assert parked(rig).code == "error"
    assert "ZeroDivisionError" in parked(rig).reason

    monkeypatch.undo()
    rig.tick(60)
    assert rig.status == "running"


def test_defect_in_a_replay_parks_the_run_and_not_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = begun()

    def explode(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("jetrun.actors.fold.resolve", explode)
    rig._check = False
    rig.load()
    rig.step(2, "sent", at_s=2)

    assert parked(rig).code == "error"


def test_code_whose_command_differs_in_nothing_that_counts_goes_on() -> None:
    """Queues and limits may change while steps are out; the log's own stay those of the attempt (P3)."""

    @step(name="charge", queue="cards", timeout="5s", max_recovery_attempts=9)
    async def slower(cents: int) -> int:
        raise AssertionError

    @named
    async def tuned() -> list[Any]:
        return [await slower(100), await ship("o-1"), await hook("go")]

    rig = LogRig(before, name="order")
    rig.start(at_s=0)
    rig.deploy(tuned)

    assert [(c.name, c.queue, c.timeout_us) for c in rig.owed.steps] == [("charge", "default", 0)]
    rig.step(1, 100)
    assert rig.status == "running"


def test_shorter_max_duration_applies_from_now_on() -> None:
    """What the log holds was decided under the old one; the next message ends the run, nothing parks."""

    @workflow(name="sleeper")
    async def free() -> None:
        await sleep("1h")
        await sleep("1h")

    @workflow(name="sleeper", max_duration="30m")
    async def limited() -> None:
        await sleep("1h")
        await sleep("1h")

    rig = LogRig(free, name="sleeper")
    rig.start(at_s=0)
    rig.tick(3_601)
    rig.deploy(limited)
    assert not rig.actor.is_spent

    rig.hook("any", at_s=3_700)

    assert (rig.status, rig.error.code) == ("failed", "max_duration")
