"""The workflow behind schedules: what it decides at which time, live and on every replay (I23)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from jetrun.actors import ScheduleSpec
from jetrun.actors.commands import StartTimer
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.limits import CATCH_UP_TIMES_MAX, MISSED_COUNTED_MAX
from jetrun.actors.messages import Tick
from jetrun.actors.schedule import (
    SCHEDULE_WORKFLOW,
    DeleteOrder,
    PauseOrder,
    Planned,
    ResumeOrder,
    ScheduledCall,
    ScheduleState,
    StartOrder,
    UpdateOrder,
)
from jetrun.actors.schedule_run import run_schedule
from jetrun.actors.workflow import Workflow, WorkflowOptions
from support.log_rig import SECOND, START_US
from support.schedule_rig import EVERY_MINUTE
from support.schedule_rig import ScheduleRig as Rig


@pytest.fixture(params=[False, True], ids=["cached", "replayed"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(evict=request.param)


def test_a_time_starts_one_run_that_is_named_by_it(rig: Rig) -> None:
    rig.begin()
    assert rig.owed.timers == [("2", START_US + 60 * SECOND)]
    rig.tick(60)
    rig.tick(61)
    rig.end(0, at_s=62)
    rig.tick(120.4)

    assert rig.started == ["080100Z", "080200Z"]
    assert {child.parent_close for child in rig.children} == {"abandon"}
    assert (rig.state.runs, rig.state.completed, rig.state.last_run) == (2, 1, "s-20270115T080200Z")


def test_there_is_one_timer_at_a_time(rig: Rig) -> None:
    """A year of ticks leaves nothing behind."""
    rig.begin()
    for minute in range(1, 6):
        rig.tick(60 * minute)
        rig.end(minute - 1, at_s=60 * minute + 1)

    assert rig.summary.timers_open == 1
    assert rig.summary.children_open == 0


# --- overlap ---------------------------------------------------------------------------------------


def test_skip_passes_times_over_while_a_run_is_under_way(rig: Rig) -> None:
    rig.begin(overlap="skip")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)
    rig.end(0, at_s=200)
    rig.tick(240)

    assert rig.started == ["080100Z", "080400Z"]
    assert (rig.state.skipped, rig.state.runs) == (2, 2)


def test_buffer_one_keeps_the_first_time_for_later(rig: Rig) -> None:
    rig.begin(overlap="buffer_one")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)
    rig.end(0, at_s=200)

    assert rig.started == ["080100Z", "080200Z"]
    assert (rig.state.skipped, rig.state.buffered) == (1, [])


def test_buffer_all_runs_all_times_one_after_the_other(rig: Rig) -> None:
    rig.begin(overlap="buffer_all")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)
    assert rig.started == ["080100Z"]
    for index in range(2):
        rig.end(index, at_s=200 + index)

    assert rig.started == ["080100Z", "080200Z", "080300Z"]
    assert rig.state.skipped == 0


def test_cancel_other_starts_the_newest_time_when_the_old_run_has_ended(rig: Rig) -> None:
    """Never two at once, even where a run takes its time to clean up."""
    rig.begin(overlap="cancel_other")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)
    assert rig.started == ["080100Z"]
    assert [cancel.target for cancel in rig.cancels] == [rig.children[0].n]
    rig.end(0, at_s=200, status="cancelled")

    assert rig.started == ["080100Z", "080300Z"]
    assert (rig.state.cancelled, rig.state.skipped) == (1, 1)


def test_allow_all_starts_every_time(rig: Rig) -> None:
    rig.begin(overlap="allow_all")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)

    assert rig.started == ["080100Z", "080200Z", "080300Z"]
    assert len(rig.state.running) == 3


# --- gaps ------------------------------------------------------------------------------------------


def test_times_missed_within_the_window_are_made_up_for(rig: Rig) -> None:
    rig.begin(overlap="allow_all", catch_up="3m")
    rig.tick(605)

    assert rig.started == ["080800Z", "080900Z", "081000Z"]
    assert rig.state.missed == 7
    assert rig.state.next_us == START_US + 660 * SECOND


def test_the_overlap_policy_holds_for_times_that_are_made_up_for(rig: Rig) -> None:
    """After an outage one run starts, not one for each time that was missed."""
    rig.begin(catch_up="3m")
    rig.tick(605)

    assert rig.started == ["080800Z"]
    assert (rig.state.missed, rig.state.skipped) == (7, 2)


def test_how_messages_are_grouped_makes_no_difference(rig: Rig) -> None:
    """A tick that comes with other messages after an outage finds the same times (R12)."""
    alone = Rig()
    for one in (rig, alone):
        one.begin(overlap="allow_all", catch_up="2m")
    rig.feed(*(rig.message(Tick(), at_s=at_s) for at_s in (305, 306)))
    for at_s in (305, 306):
        alone.tick(at_s)

    assert rig.started == alone.started == ["080400Z", "080500Z"]


def test_catching_up_has_an_end(rig: Rig) -> None:
    """Every second, and away for a week: no fold may hold the worker for long."""
    rig.begin(ScheduleSpec(every="1s"), overlap="allow_all", catch_up="30d")
    rig.tick(7 * 86_400)

    assert len(rig.children) == CATCH_UP_TIMES_MAX
    assert rig.state.missed == MISSED_COUNTED_MAX
    assert rig.state.next_us == START_US + (7 * 86_400 + 1) * SECOND


def test_a_late_time_is_missed_where_the_window_has_closed(rig: Rig) -> None:
    rig.begin(ScheduleSpec(times=(datetime(2027, 1, 15, 9, tzinfo=UTC),)), catch_up="10s")
    rig.tick(3611)

    assert rig.started == []
    assert (rig.state.missed, rig.state.next_us) == (1, 0)


# --- times -----------------------------------------------------------------------------------------


def test_nothing_starts_from_the_end_on(rig: Rig) -> None:
    rig.begin(ScheduleSpec(every="1m", end_at=datetime(2027, 1, 15, 8, 2, tzinfo=UTC)), overlap="allow_all")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)

    assert rig.started == ["080100Z"]
    assert rig.owed.timers == []
    assert rig.status == "running", "what is left to do with it is up to its owner"


def test_jitter_puts_off_and_keeps_the_name(rig: Rig) -> None:
    other = Rig()
    spec = ScheduleSpec(every="1h", jitter="30m")
    for one in (rig, other):
        one.begin(spec)
        one.tick(3600)
        assert one.started == []
    ((_, due_us),) = rig.owed.timers
    assert rig.owed.timers == other.owed.timers
    assert 0 < due_us - (START_US + 3600 * SECOND) < 1800 * SECOND
    rig.tick((due_us - START_US) / SECOND)

    assert rig.started == ["090000Z"]


def test_what_jitter_puts_off_beyond_the_window_is_not_missed(rig: Rig) -> None:
    """Neither when the schedule looks at its times again meanwhile."""
    rig.begin(ScheduleSpec(every="12h", jitter="11h"), catch_up="10s")
    rig.tick(4 * 3600)
    ((_, due_us),) = rig.owed.timers
    assert due_us > START_US + (4 * 3600 + 60) * SECOND
    rig.order(UpdateOrder(overlap="buffer_one"), at_s=4 * 3600 + 30)
    rig.tick((due_us - START_US) / SECOND)

    assert rig.started == ["120000Z"]
    assert rig.state.missed == 0


def test_a_time_beyond_what_a_timer_can_reach_is_waited_for_in_steps(rig: Rig) -> None:
    far = datetime(2127, 1, 15, 8, tzinfo=UTC)
    rig.begin(ScheduleSpec(times=(far,)))
    rig.tick(60 * 366 * 86_400)
    rig.tick((far - datetime(2027, 1, 15, 8, tzinfo=UTC)) / timedelta(seconds=1))

    assert [child.run for child in rig.children] == ["s-21270115T080000Z"]


def test_zone_data_that_have_changed_do_not_stop_a_schedule(rig: Rig) -> None:
    """What the log says was decided; the new data count from the next time on."""

    async def elsewhere(state: ScheduleState) -> ScheduleState:
        spec = msgspec.structs.replace(state.schedule.spec, timezone="Etc/GMT+1")
        state.schedule = msgspec.structs.replace(state.schedule, spec=spec)
        return await run_schedule(state)

    rig.begin(ScheduleSpec(cron="0 9 * * *", jitter="10m"))
    rig.tick(3600)
    rig.tick(3600 + 600)
    rig.deploy(Workflow(elsewhere, name=SCHEDULE_WORKFLOW, options=WorkflowOptions()))
    assert rig.started == ["090000Z"]
    rig.end(0, at_s=4300)
    rig.tick(86_400 + 3600 + 600)

    assert rig.status == "running"
    assert [child.run for child in rig.children] == ["s-20270115T090000Z", "s-20270116T090000Z"]
    timers = [c for record in rig.records for c in record.commands if isinstance(c, StartTimer)]
    assert timers[-1].due_at_us == START_US + (86_400 + 2 * 3600) * SECOND


# --- ends of runs ----------------------------------------------------------------------------------


def test_ends_are_counted_by_how_they_were(rig: Rig) -> None:
    rig.begin(overlap="allow_all")
    for minute in range(1, 6):
        rig.tick(60 * minute)
    rig.end(0, at_s=310)
    rig.end(1, at_s=311, error=ErrorInfo(type="ValueError", message="no luck"))
    rig.end(2, at_s=312, status="cancelled")
    rig.end(3, at_s=313, status="terminated")
    rig.end(4, at_s=314, status="refused", error=ErrorInfo(type="MessageRefused", message="unknown", code="workflow"))

    state = rig.state
    assert (state.runs, state.completed, state.failed, state.cancelled, state.skipped) == (5, 1, 3, 1, 0)
    assert state.last_error == "s-20270115T080500Z: refused: MessageRefused: unknown"
    assert state.running == []


def test_a_time_that_had_its_run_before_is_passed_over(rig: Rig) -> None:
    rig.begin()
    rig.tick(60)
    rig.end(0, at_s=61, status="refused", error=ErrorInfo(type="MessageRefused", code="exists"))

    assert (rig.state.runs, rig.state.skipped, rig.state.failed) == (0, 1, 0)


# --- orders ----------------------------------------------------------------------------------------


def test_times_pass_during_a_pause(rig: Rig) -> None:
    rig.begin()
    rig.order(PauseOrder(), at_s=10)
    assert rig.owed.closed_timers == [2]
    rig.tick(60)
    rig.order(ResumeOrder(), at_s=130)
    rig.order(ResumeOrder(), at_s=131)
    rig.tick(180)

    assert rig.started == ["080300Z"]
    assert (rig.state.missed, rig.state.is_paused) == (0, False)


def test_an_update_counts_from_now_on(rig: Rig) -> None:
    rig.begin()
    update = UpdateOrder(
        call=ScheduledCall(workflow="other"), spec=ScheduleSpec(every="10m"), overlap="allow_all", catch_up="1d"
    )
    rig.order(update, at_s=70)
    rig.end(0, at_s=71)
    rig.tick(600)

    assert [(child.workflow, child.run[-7:]) for child in rig.children] == [("job", "080100Z"), ("other", "081000Z")]
    assert (rig.state.schedule.overlap, rig.state.schedule.catch_up, rig.state.runs) == ("allow_all", "1d", 2)


def test_an_update_without_a_difference_asks_for_nothing(rig: Rig) -> None:
    """Actor workers declare what they know at every start."""
    rig.begin()
    rig.order(UpdateOrder(call=ScheduledCall(workflow="job"), spec=EVERY_MINUTE), at_s=1)

    assert [type(c).__name__ for c in rig.last.commands] == ["OpenHook"]


def test_a_trigger_starts_a_run_of_its_own(rig: Rig) -> None:
    rig.begin()
    rig.order(PauseOrder(), at_s=1)
    rig.order(StartOrder(runs=[Planned(at_us=START_US, run="s-20270115T080000Z-abcdef")]), at_s=2)

    assert rig.started == ["080000Z-abcdef"]


def test_a_trigger_obeys_the_overlap_policy_unless_told_otherwise(rig: Rig) -> None:
    rig.begin()
    rig.tick(60)
    rig.order(StartOrder(runs=[Planned(at_us=START_US, run="one")]), at_s=61)
    rig.order(StartOrder(runs=[Planned(at_us=START_US, run="two")], overlap="allow_all"), at_s=62)

    assert rig.started == ["080100Z", "two"]
    assert rig.state.skipped == 1


def test_a_backfill_waits_for_its_turn_and_runs_in_order(rig: Rig) -> None:
    rig.begin()
    rig.tick(60)
    runs = [Planned(at_us=START_US - n * 60 * SECOND, run=f"back-{n}") for n in (3, 2, 1)]
    rig.order(StartOrder(runs=runs, overlap="buffer_all"), at_s=61)
    assert rig.started == ["080100Z"]
    rig.tick(120)
    for index in range(4):
        rig.end(index, at_s=130 + index)
    rig.tick(180)

    assert rig.started == ["080100Z", "back-3", "back-2", "back-1", "080300Z"]


def test_what_waits_is_started_when_all_are_allowed(rig: Rig) -> None:
    rig.begin(overlap="buffer_all")
    for minute in (1, 2, 3):
        rig.tick(60 * minute)
    rig.order(UpdateOrder(overlap="allow_all"), at_s=181)

    assert rig.started == ["080100Z", "080200Z", "080300Z"]


def test_what_waits_is_started_with_what_was_due_then(rig: Rig) -> None:
    rig.begin(overlap="buffer_all")
    rig.tick(60)
    rig.tick(120)
    rig.order(UpdateOrder(call=ScheduledCall(workflow="other")), at_s=121)
    rig.end(0, at_s=122)

    assert [child.workflow for child in rig.children] == ["job", "job"]


def test_a_deleted_schedule_tells_what_it_has_done_and_lets_its_runs_go_on(rig: Rig) -> None:
    rig.begin()
    rig.tick(60)
    rig.order(DeleteOrder(), at_s=61)

    assert rig.status == "completed"
    state = msgspec.convert(rig.result, ScheduleState)
    assert (state.is_deleted, state.runs, len(state.running)) == (True, 1, 1)
    assert rig.owed.child_ends == []


def test_orders_after_the_end_are_refused(rig: Rig) -> None:
    rig.begin()
    rig.order(DeleteOrder(), at_s=1)
    rig.order(PauseOrder(), at_s=2)

    assert {code for *_, code in rig.dead} == {"ended"}


@pytest.mark.parametrize(
    "order",
    [
        {"do": "explode"},
        {"do": "update", "catch_up": "soon"},
        {"do": "update", "overlap": "queue"},
        {"do": "update", "spec": {"cron": "99 * * * *"}},
        {"do": "update", "call": {"workflow": "a.b"}},
        {"do": "update", "call": {"workflow": "job", "args": {}}},
        {"do": "update", "call": {"workflow": "job", "kwargs": []}},
        {"do": "start", "runs": [{"at_us": 0, "run": "a.b"}]},
        {"do": "start", "runs": [{"at_us": 10**18, "run": "far"}]},
    ],
)
def test_an_order_that_is_none_is_refused_and_changes_nothing(rig: Rig, order: dict[str, Any]) -> None:
    """Anybody may send one: no order ends a schedule but that to delete it."""
    rig.begin()
    rig.hook("order", {"order": order}, at_s=1)
    rig.tick(60)

    assert {code for *_, code in rig.dead} == {"payload"}
    assert rig.started == ["080100Z"]
