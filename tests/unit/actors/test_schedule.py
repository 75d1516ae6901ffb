"""Schedules in their parts: what overlap means, how runs are named, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from jetrun.actors import Overlap, Schedule, ScheduleSpec, workflow
from jetrun.actors.errors import DefinitionError, InvalidName
from jetrun.actors.limits import SCHEDULE_ID_MAX, SCHEDULE_RUNS_MAX
from jetrun.actors.names import RunKey, is_token
from jetrun.actors.schedule import (
    SCHEDULE_WORKFLOW,
    Admission,
    admit,
    check_schedule_id,
    run_id,
    scheduled_at,
)

HOURLY = ScheduleSpec(every="1h")
AT_US = 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("overlap", "idle", "running", "waiting"),
    [
        ("skip", "start", "skip", "skip"),
        ("buffer_one", "start", "buffer", "skip"),
        ("buffer_all", "start", "buffer", "buffer"),
        ("cancel_other", "start", "replace", "replace"),
        ("allow_all", "start", "start", "start"),
    ],
)
def test_each_policy_has_one_answer(overlap: Overlap, idle: Admission, running: Admission, waiting: Admission) -> None:
    assert admit(overlap, running=0, buffered=0) == idle
    assert admit(overlap, running=1, buffered=0) == running
    assert admit(overlap, running=1, buffered=1) == waiting


@pytest.mark.parametrize("overlap", ["buffer_all", "allow_all"])
def test_no_policy_lets_runs_pile_up_for_ever(overlap: Overlap) -> None:
    assert admit(overlap, running=SCHEDULE_RUNS_MAX - 1, buffered=1) == "skip"


# --- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_us", "mark", "named"),
    [
        (AT_US, "", "nightly-20270115T080000Z"),
        (AT_US + 250_000, "", "nightly-20270115T080000_250000Z"),
        (AT_US, "0a1b2c", "nightly-20270115T080000Z-0a1b2c"),
    ],
)
def test_a_run_is_named_by_its_time_and_tells_it(at_us: int, mark: str, named: str) -> None:
    run = run_id("nightly", at_us, mark)

    assert run == named
    assert is_token(run)
    moment = scheduled_at(RunKey(SCHEDULE_WORKFLOW, "nightly"), run)
    assert moment == datetime(2027, 1, 15, 8, 0, 0, at_us % 1_000_000, tzinfo=UTC)


def test_only_runs_of_schedules_have_a_scheduled_time() -> None:
    run = run_id("nightly", AT_US)

    assert scheduled_at(None, run) is None
    assert scheduled_at(RunKey("shop", "o-1"), run) is None
    assert scheduled_at(RunKey(SCHEDULE_WORKFLOW, "nightly"), "o-1") is None
    assert scheduled_at(RunKey(SCHEDULE_WORKFLOW, "nightly"), "o-20271345T080000Z") is None


def test_ids_leave_room_for_the_time() -> None:
    longest = "x" * SCHEDULE_ID_MAX

    assert is_token(run_id(check_schedule_id(longest), AT_US + 1, "0a1b2c"))
    for bad in (longest + "x", "", "a.b", "-a"):
        with pytest.raises(InvalidName, match="schedule id"):
            check_schedule_id(bad)


# --- definitions -----------------------------------------------------------------------------------


def test_equal_schedules_are_equal_however_they_were_written() -> None:
    assert (
        Schedule(spec=HOURLY, catch_up="60m")
        == Schedule(spec=HOURLY)
        == msgspec.json.decode(msgspec.json.encode(Schedule(spec=HOURLY)), type=Schedule)
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"catch_up": "1s"}, "use '2s' or more"),
        ({"catch_up": "soon"}, "is no duration"),
        ({"catch_up": 60}, "is not a text"),
        ({"overlap": "queue"}, "use one of skip, buffer_one"),
        ({"spec": "0 9 * * *"}, "is no ScheduleSpec"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason) as caught:
        Schedule(**({"spec": HOURLY} | fields))  # type: ignore[arg-type]  # on purpose

    assert "\n" not in str(caught.value)


def test_a_workflow_declares_its_schedule() -> None:
    @workflow(schedule=HOURLY)
    async def report(kind: str = "daily") -> None: ...

    @workflow(schedule=Schedule(spec=HOURLY, overlap="allow_all"))
    async def sweep() -> None: ...

    assert report.schedule == Schedule(spec=HOURLY)
    assert sweep.schedule is not None
    assert sweep.schedule.overlap == "allow_all"


def test_a_workflow_that_needs_arguments_cannot_declare_a_schedule() -> None:
    with pytest.raises(DefinitionError, match=r"argument .kind.*give defaults"):

        @workflow(schedule=HOURLY)
        async def report(kind: str) -> None: ...


def test_a_declared_schedule_is_checked_where_it_is_written() -> None:
    with pytest.raises(DefinitionError, match="no Schedule"):
        workflow(schedule="0 9 * * *")(plain)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(DefinitionError, match="too long"):
        workflow(name="x" * 100, schedule=HOURLY)(plain)


def test_the_engines_names_are_its_own() -> None:
    with pytest.raises(InvalidName, match="the engine's own"):
        workflow(name=SCHEDULE_WORKFLOW)(plain)


async def plain() -> None: ...
