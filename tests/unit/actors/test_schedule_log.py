"""The logs of schedules: they stay short, hold in any sequence of events, and replay under later versions (I21, I23)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors import ScheduleSpec
from jetrun.actors.commands import StartChild
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.limits import SCHEDULE_COMMANDS_MAX
from jetrun.actors.messages import CONTINUED, ChildResult, Tick
from jetrun.actors.names import RunKey
from jetrun.actors.records import decode_record
from jetrun.actors.schedule import (
    OVERLAPS,
    SCHEDULE_WORKFLOW,
    Order,
    Overlap,
    PauseOrder,
    Planned,
    ResumeOrder,
    ScheduledCall,
    StartOrder,
    UpdateOrder,
)
from jetrun.actors.schedule_run import state_in
from support.golden_logs import FOLDER
from support.log_rig import START_US, hook_body
from support.schedule_rig import ScheduleRig as Rig

# --- the log ---------------------------------------------------------------------------------------


def fast_rig(overlap: Overlap) -> Rig:
    """A schedule of every second whose log is read anew at the end alone: it is long."""
    rig = Rig(check=False)
    rig.begin(ScheduleSpec(every="1s"), overlap=overlap)
    return rig


def tick(rig: Rig, seconds: int) -> int:
    """Lets a second pass; returns the number of the child that was started, 0 for none."""
    rig.tick(seconds)
    return next((c.n for c in rig.last.commands if isinstance(c, StartChild)), 0)


def begin_link(rig: Rig, at_s: float) -> None:
    """Does what the effects of a switch bring."""
    assert rig.last.continued is not None
    rig.check()
    rig.feed(rig.message(Tick(n=rig.last.continued.link, wake=CONTINUED), at_s=at_s))


@pytest.mark.slow
def test_a_schedule_continues_as_new_between_two_runs() -> None:
    """Its log does not grow for ever; counts and times go on, and nothing is started twice."""
    rig, seconds = fast_rig("skip"), 0
    while rig.last.continued is None:
        seconds += 1
        rig.child(tick(rig, seconds), at_s=seconds + 0.1)
    begin_link(rig, seconds + 0.2)
    for later in (seconds + 1, seconds + 2):
        rig.child(tick(rig, later), at_s=later + 0.1)
    rig.check()

    assert seconds == pytest.approx(SCHEDULE_COMMANDS_MAX / 2, abs=2)
    assert len(set(rig.started)) == len(rig.started) == seconds + 2
    assert (rig.state.runs, rig.state.completed, rig.state.missed) == (seconds + 2, seconds + 2, 0)


@pytest.mark.slow
def test_runs_that_are_under_way_are_taken_along() -> None:
    """Their ends count in the next link, and no run begins beside them that the policy forbids."""
    rig, seconds = fast_rig("buffer_one"), 1
    child = tick(rig, seconds)
    rig.tick(2)
    rig.order(UpdateOrder(call=ScheduledCall(workflow="other")), at_s=2.5)
    while rig.last.continued is None:
        seconds += 1
        tick(rig, seconds)
    begin_link(rig, seconds + 0.2)
    rig.child(child, at_s=seconds + 0.3)
    (second,) = [c for c in rig.last.commands if isinstance(c, StartChild)]
    rig.child(second.n, ErrorInfo(type="ValueError"), at_s=seconds + 0.4)
    rig.check()

    assert seconds == pytest.approx(3 * SCHEDULE_COMMANDS_MAX, abs=10)
    assert [one.workflow for one in rig.children] == ["job", "job"]
    assert (rig.state.completed, rig.state.failed, rig.state.running) == (1, 1, [])


@pytest.mark.slow
def test_a_run_of_an_earlier_link_can_be_cancelled() -> None:
    rig, seconds = fast_rig("skip"), 0
    while rig.last.continued is None:
        seconds += 1
        tick(rig, seconds)
    begin_link(rig, seconds + 0.2)
    rig.order(UpdateOrder(overlap="cancel_other"), at_s=seconds + 0.3)
    tick(rig, seconds + 1)
    (end,) = rig.owed.child_ends
    rig.check()

    assert rig.cancels[0].target == rig.children[0].n
    assert (end.command.run, end.command.n, end.verb) == (rig.children[0].run, rig.children[0].n, "cancel")


@pytest.mark.slow
def test_orders_that_come_with_the_switch_are_followed() -> None:
    """In one turn: the end of the last run, which brings the switch, and an order that the next link finds."""
    rig, seconds = fast_rig("skip"), 0
    payload = msgspec.to_builtins(Order(order=PauseOrder()))
    while rig.last.continued is None:
        seconds += 1
        n = tick(rig, seconds)
        end = rig.message(ChildResult(command=n, token="", status="completed"), at_s=seconds + 0.1)
        is_last = rig.summary.commands >= SCHEDULE_COMMANDS_MAX
        orders = [rig.message(hook_body(payload), "order", at_s=seconds + 0.2)] if is_last else []
        rig.store(rig.fold(end, *orders))
    begin_link(rig, seconds + 0.3)
    rig.check()

    assert rig.state.is_paused
    assert rig.summary.timers_open == 0
    assert rig.state.completed == seconds


# --- whatever comes --------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["tick", "gap", "end", "fail", "pause", "resume", "trigger"]), st.integers(0, 5)),
    max_size=25,
)


@given(steps=STEPS, overlap=st.sampled_from(OVERLAPS), evict=st.booleans())
def test_no_time_starts_two_runs_and_the_policy_holds(
    steps: list[tuple[str, int]], overlap: Overlap, *, evict: bool
) -> None:
    """I23, for times, gaps, ends and orders in any sequence, read anew after each."""
    rig = Rig(evict=evict)
    rig.begin(ScheduleSpec(every="10s", jitter="4s"), overlap=overlap, catch_up="30s")
    now, open_runs = 0.0, list[int]()
    for what, number in steps:
        now += {"tick": 10.0, "gap": 100.0}.get(what, 1.0)
        before = len(rig.records)
        if what in ("tick", "gap"):
            rig.tick(now)
        elif what in ("end", "fail") and open_runs:
            n = open_runs.pop(number % len(open_runs))
            rig.child(n, ErrorInfo(type="ValueError") if what == "fail" else None, at_s=now)
        elif what == "trigger":
            rig.order(StartOrder(runs=[Planned(at_us=START_US, run=f"t-{now:.0f}")]), at_s=now)
        elif what in ("pause", "resume"):
            rig.order(PauseOrder() if what == "pause" else ResumeOrder(), at_s=now)
        open_runs += [c.n for r in rig.records[before:] for c in r.commands if isinstance(c, StartChild)]
        state = rig.state

        assert overlap == "allow_all" or len(state.running) <= 1
        assert sorted(one.command for one in state.running) == sorted(open_runs)
        assert state.runs == state.completed + state.failed + len(state.running)
        assert overlap != "skip" or not state.buffered
        assert len(state.buffered) <= 1 or overlap == "buffer_all"
    assert len(set(rig.started)) == len(rig.started)


def test_a_log_of_an_earlier_version_replays() -> None:
    """A schedule lives for years: what was decided by any version is decided by this one."""
    records = [decode_record(raw) for raw in (FOLDER / "schedules" / "0.1.0.log").read_bytes().splitlines()]
    state = state_in("app", RunKey(SCHEDULE_WORKFLOW, "s"), records, {})

    assert state is not None
    assert (state.runs, state.completed, state.failed, state.cancelled) == (13, 9, 1, 1)
    assert (state.skipped, state.missed, state.is_deleted) == (2, 20, True)
