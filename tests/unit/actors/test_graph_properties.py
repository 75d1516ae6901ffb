"""Any graph, with any ends of its tasks in any order: what has to hold whatever the definition says.

The player checks at each event that the fold of the moves, a replay and a carry agree with the live interpreter.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from jetrun.actors import graph_fold
from jetrun.actors.graph_events import DelayEnded
from jetrun.actors.graph_moves import TaskStatus
from jetrun.actors.graph_problem import GraphInvalid
from support.graph_player import Player

ITERATIONS = 6
ACTIVATIONS = 60
SLOW = [HealthCheck.filter_too_much, HealthCheck.too_slow]
STEPS_MAX = 400
"""Events that a run of so many activations, items and attempts can need."""

CONDITIONS = [
    "{{ succeeded() }}",
    "{{ failed() }}",
    "{{ completed() }}",
    "{{ ctx.n < 3 }}",
    "{{ ctx.n >= 3 }}",
    "{{ result() == 1 }}",
    "{{ result() }}",
    "{{ 1 // (ctx.n - 2) > 0 }}",
]
VALUES = ["{{ ctx.n + 1 }}", "{{ result() }}", 7, "{{ 1 // (ctx.n - 2) }}", {"deep": ["{{ ctx.n }}"]}]


@st.composite
def edges(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    """One transition: conditions and publishes may have no value in some rounds."""
    edge: dict[str, Any] = {}
    if draw(st.booleans()):
        edge["when"] = draw(st.sampled_from(CONDITIONS))
    if draw(st.booleans()):
        variable = draw(st.sampled_from(["n", "n", "x"]))
        edge["publish"] = [{variable: "{{ ctx.n + 1 }}" if variable == "n" else draw(st.sampled_from(VALUES))}]
    targets = draw(st.lists(st.sampled_from([*names, *names, "continue", "noop", "fail"]), max_size=3, unique=True))
    if targets:
        edge["do"] = targets
    return edge


@st.composite
def tasks(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    """One task: a step, a timer or nothing; once or per item; tried once or more often."""
    task: dict[str, Any] = {"next": draw(st.lists(edges(names), max_size=3))}
    kind = draw(st.sampled_from(["step", "step", "step", "items", "nothing", "timer", "bad"]))
    if kind in ("step", "items", "bad"):
        task["action"] = "core.noop"
    if kind == "bad":
        task["input"] = {"a": "{{ 1 // (ctx.n - 1) }}"}
    if kind == "items":
        policy = draw(st.sampled_from(["run_all", "finish_started", "cancel_rest"]))
        task["with"] = {"items": "{{ [1, 2, 3] }}", "concurrency": draw(st.integers(1, 4)), "on_failure": policy}
        if draw(st.booleans()):
            task["input"] = {"a": "{{ 1 // (item() - 2) }}"}
    if kind == "timer":
        task["wait"] = 5
    if draw(st.integers(0, 3)) == 0:
        task["delay"] = draw(st.integers(0, 3))
    if kind in ("step", "items") and draw(st.integers(0, 3)) == 0:
        retry: dict[str, Any] = {"count": draw(st.integers(0, 2)), "delay": draw(st.integers(0, 2))}
        if draw(st.booleans()):
            retry["when"] = draw(st.sampled_from(CONDITIONS))
        task["retry"] = retry
    if draw(st.integers(0, 4)) == 0:
        task["run_if"] = draw(st.sampled_from(["{{ ctx.n < 2 }}", "{{ ctx.n > 0 }}", "{{ ctx.n }}"]))
    if draw(st.integers(0, 3)) == 0:
        task["match"] = "first"
    if draw(st.integers(0, 4)) == 0:
        task["on_failure"] = "continue"
    return task


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """A transition graph of up to six tasks, with cycles, splits, joins, fails; `t0` leads in."""
    names = [f"t{n}" for n in range(draw(st.integers(1, 6)))]
    drawn = {name: draw(tasks(names[1:] or names)) for name in names}
    for name in names[1:]:
        before = sum(any(name in edge.get("do", []) for edge in task["next"]) for task in drawn.values())
        if before and draw(st.booleans()):
            drawn[name]["join"] = draw(st.sampled_from(["all", *range(1, before + 1)]))
    return {
        "vars": [{"n": 0}, {"x": None}],
        "tasks": drawn,
        "output": [{"n": "{{ ctx.n }}"}, {"broken": "{{ 1 // (ctx.n - 3) }}"}, {"x": "{{ ctx.x }}"}],
        "on_unhandled": draw(st.sampled_from(["fail_fast", "drain"])),
        "on_cancel": draw(st.sampled_from(["cancel_running", "allow_finish"])),
        "limits": {"iterations": ITERATIONS, "activations": ACTIVATIONS, "duration": "1h"},
        "start": ["t0"],
    }


Choices = list[tuple[int, int]]
"""Per event: which of the open ones ends, and how."""

choices = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 99)), max_size=60)


def played(definition: dict[str, Any], picks: Choices, *, may_stop: int = 0, links_every: int = 0) -> Player:
    """Plays a run to its end with the ends that were picked; after those, everything succeeds.

    Args:
        may_stop: Out of 100 events, how many are a cancel or the end of the run's time.
        links_every: After so many events each, the run continues as new; 0 for never.
    """
    try:
        player = Player(definition, links_every=links_every)
    except GraphInvalid:
        assume(False)
        raise
    check(player)
    left = iter(picks)
    for _ in range(STEPS_MAX):
        if player.has_ended:
            return player
        place, how = next(left, (0, 50))
        act(player, place, how, may_stop)
        check(player)
    raise AssertionError(f"the run does not end: {player.state}")


def act(player: Player, place: int, how: int, may_stop: int = 0) -> None:
    if how < may_stop:
        if how % 2 and not player.state.is_cancelled:
            player.cancel()
        elif not player.state.is_stopping:
            player.time_up()
        else:
            act(player, place, 50)
        return
    place %= len(player.asks) + len(player.delayed)
    if place >= len(player.asks):
        activation = player.delayed[place - len(player.asks)]
        player.now_us = max(player.now_us, activation.due_at_us)
        player.take(DelayEnded(id=activation.id))
        return
    statuses: list[TaskStatus] = ["failed", "timeout"]
    status: TaskStatus = statuses[how % 2] if how < 25 else "succeeded"
    player.end_ask(player.asks[place], how % 3, status=status, is_final=how == 7)


def check(player: Player) -> None:
    """It has ended, or something is open whose end will be an event: never neither."""
    assert player.has_ended != bool(player.asks or player.delayed), f"nothing is open: {player.state}"
    assert player.state.live == sum(each.is_live for each in player.state.activations.values())
    firings = player.firings()
    assert len(firings) == len(set(firings)), f"a join was met twice: {Counter(firings).most_common(1)}"
    counts = Counter(each.task for each in player.born.values())
    assert not counts or max(counts.values()) <= ITERATIONS
    assert len(player.born) <= ACTIVATIONS


@settings(suppress_health_check=SLOW, max_examples=150)
@given(graphs(), choices)
def test_a_run_always_ends_or_waits_and_meets_each_join_once(definition: dict[str, Any], picks: Choices) -> None:
    """A run that neither waits nor ends hangs for ever, and nobody is told."""
    player = played(definition, picks)
    assert not player.asks
    assert player.state.status in ("succeeded", "failed")
    if player.broken or player.state.failed:
        assert player.status == "failed"


@settings(suppress_health_check=SLOW, max_examples=60)
@given(graphs(), choices)
def test_a_run_that_is_stopped_from_outside_ends_too(definition: dict[str, Any], picks: Choices) -> None:
    """A cancel, or the end of its time, comes at any moment; what it lets finish is waited for."""
    player = played(definition, picks, may_stop=15)
    assert (player.status == "cancelled") == player.state.is_cancelled


@settings(suppress_health_check=SLOW, max_examples=60)
@given(graphs(), choices, st.integers(1, 8))
def test_a_carry_goes_on_as_the_run_would_have(definition: dict[str, Any], picks: Choices, every: int) -> None:
    """The next link of a chain has nothing but the carry: it must make the same moves for ever after."""
    assert played(definition, picks, links_every=every).moves == played(definition, picks).moves


@settings(suppress_health_check=SLOW, max_examples=60)
@given(graphs(), choices)
def test_what_is_forgotten_of_met_joins_is_never_asked_for(definition: dict[str, Any], picks: Choices) -> None:
    """Met joins are dropped once no token can arrive at them: a run that drops them at once does the same as one that never does."""
    kept = played(definition, picks).moves
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_fold, "_FIRED_SPARE", -100)
        assert played(definition, picks).moves == kept


@settings(suppress_health_check=SLOW, max_examples=40)
@given(graphs(), choices)
def test_a_definition_has_one_run_for_the_same_ends(definition: dict[str, Any], picks: Choices) -> None:
    """Nothing depends on the order of a set, or on what an object is called in memory."""
    again = msgspec.json.decode(msgspec.json.encode(definition))
    assert played(again, picks).moves == played(definition, picks).moves
