"""Rehearsals: scenarios in virtual time on the interpreter alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetrun.actors import graph_rehearsal
from jetrun.actors.graph_rehearsal import Rehearsed
from jetrun.actors.graph_scenario_file import read_rehearsal
from jetrun.actors.graph_source import Document, parse
from jetrun.actors.graph_verdict import Verdict, judge
from support.loop_graphs import CONDITIONAL_LOOP, MONITORING_LOOP, RETRY_WITH_CYCLE


def judged(definition: str, **fields: Any) -> Verdict:
    rehearsal = Document.of({"graph": "graph", **fields}, name="rehearsal")
    (scenario,) = read_rehearsal(rehearsal, {"graph": parse(definition, name="graph")})
    return judge(scenario)


def played(definition: str, **fields: Any) -> Rehearsed:
    found = judged(definition, **fields).rehearsed
    assert found is not None
    return found


def ended_at_s(found: Rehearsed) -> float:
    return found.story[-1][0] / 1e6


OK = {"result": {"state": "done"}}


@pytest.mark.parametrize(
    ("definition", "given", "mock", "path", "status", "output"),
    [
        (
            MONITORING_LOOP,
            {"interval": 60},
            {"check_health": {"results": [{"state": "starting"}, {"state": "running"}, {"state": "done"}]}},
            "init, check_health, check_health, check_health, report",
            "succeeded",
            {"state": "done", "checks": 3},
        ),
        (
            MONITORING_LOOP,
            {"max_checks": 2},
            {"check_health": {"results": [{"state": "starting"}, {"state": "running"}]}},
            "init, check_health, check_health, report",
            "failed",
            {"state": "gave_up", "checks": 2},
        ),
        (
            MONITORING_LOOP,
            {},
            {"check_health": [{"activation": 1, "result": {"state": "starting"}}, "failed"]},
            "init, check_health, check_health",
            "failed",
            {"state": "starting", "checks": 1},
        ),
        (
            RETRY_WITH_CYCLE,
            {},
            {"work": {"status": "failed", "times": 2}},
            "init, work, repair, work, repair, work, done",
            "succeeded",
            {"attempt": 2},
        ),
        (RETRY_WITH_CYCLE, {}, {"work": "failed"}, "init, work, repair, work, repair, work", "failed", {"attempt": 3}),
        (
            RETRY_WITH_CYCLE,
            {},
            {"work": "failed", "repair": {"error": "no"}},
            "init, work, repair",
            "failed",
            {"attempt": 1},
        ),
    ],
)
def test_loops_are_rehearsed(
    definition: str, given: dict[str, Any], mock: dict[str, Any], path: str, status: str, output: dict[str, Any]
) -> None:
    """Polling and repairing loops end as their definitions say, for each way out."""
    verdict = judged(definition, input=given, mock=mock, expect={"path": path, "status": status, "output": output})

    assert verdict.lines()[1:] == []


@pytest.mark.parametrize("order", [["process", "audit"], ["audit", "process"]])
@pytest.mark.parametrize("takes", [{}, {"takes": "1h"}])
def test_fork_in_a_loop_ends_the_same_in_every_order(order: list[str], takes: dict[str, str]) -> None:
    """A slow side branch does not bring old values back at the join."""
    pages = [{"items": [1, 2], "more": True}, {"items": [3], "more": True}, {"items": [4], "more": False}]
    verdict = judged(
        CONDITIONAL_LOOP,
        mock={"fetch": {"results": pages}, "audit": {"result": None, **takes}},
        order=order,
        expect={
            "waves": ["init", *(["fetch", ["process", "audit"], "decide"] * 3), "complete"],
            "status": "succeeded",
            "output": {"page": 2, "seen": [1, 2, 3, 4]},
        },
    )

    assert verdict.lines()[1:] == []


def test_waits_take_virtual_time_in_the_order_in_which_they_are_due() -> None:
    """The shorter wait ends first, whatever stands first; nobody waits for either."""
    found = played("tasks: {a: {wait: 2h, next: [{do: c}]}, b: {delay: 1h, next: [{do: d}]}, c: {}, d: {}}")

    assert found.waves == (("a",), ("b", "d"), ("c",))
    assert ended_at_s(found) == 7200


def test_work_that_takes_time_decides_who_comes_first() -> None:
    """Durations are mocked like outcomes."""
    definition = (
        "tasks: {a: {action: x, next: [{do: c}]}, b: {action: x, next: [{do: d}]}, c: {action: x}, d: {action: x}}"
    )

    assert played(definition).waves == (("a", "b"), ("c", "d"))
    assert played(definition, mock={"a": {"takes": "5s"}}).waves == (("a", "b"), ("d",), ("c",))
    assert played(definition, order=["b"]).waves == (("a", "b"), ("d", "c"))


@pytest.mark.parametrize("task", ["action: x, timeout: 30s", "workflow: x, timeout: 30s", "hook: x, timeout: 30s"])
@pytest.mark.parametrize("mock", ["timeout", {"takes": "31s"}, {"status": "running"}])
def test_what_takes_too_long_is_a_timeout(task: str, mock: Any) -> None:
    """A timeout of the definition counts, whether it is mocked or follows from a duration."""
    found = played(f"tasks: {{a: {{{task}}}}}", mock={"a": mock})

    assert found.tasks == {"a": "timeout"}
    assert ended_at_s(found) == 30
    assert found.errors[0][0] in ("step_timeout", "child_timeout", "hook_timeout")


def test_attempts_are_those_of_the_definition() -> None:
    """Plain retries are the engine's, with `when` they are the interpreter's: a rehearsal has both, with their back-off."""
    mock = {"a": [{"attempt": 3, "result": 7}, "failed"]}
    for when in ("", ", when: '{{ failed() }}'"):
        definition = f"tasks: {{a: {{action: x, retry: {{count: 2, delay: 10, backoff: linear{when}}}}}}}"
        found = played(definition, mock=mock)
        assert (found.status, ended_at_s(found), found.path) == ("succeeded", 30, ["a"])
        assert played(definition, mock={"a": "failed"}).status == "failed"
        if not when:
            assert ended_at_s(played(definition, mock={"a": {"status": "failed", "fatal": True}})) == 0


def test_items_are_mocked_one_by_one() -> None:
    """By index, or in the order in which they begin."""
    definition = """
tasks:
  a: {action: x, with: {items: "{{ [1, 2, 3] }}", concurrency: 2}, next: [{publish: [{got: "{{ result() }}"}], when: "{{ completed() }}"}]}
output: [{got: "{{ ctx.got }}"}]
"""
    assert played(definition, mock={"a": {"results": ["x", "y", "z"]}}).output == {"got": ["x", "y", "z"]}
    found = played(definition, mock={"a": [{"item": 1, "error": "no"}, {"result": 0}]})
    assert (found.status, found.output, found.path) == ("failed", {"got": [0, None, 0]}, ["a"])
    assert "the first is item 1" in found.errors[-1][1]


def test_attempt_that_was_given_up_does_not_end_the_next_one() -> None:
    """With `cancel_rest` items of the first attempt are still due when the second has begun."""
    definition = """
tasks:
  a:
    action: x
    with: {items: "{{ [1, 2] }}", on_failure: cancel_rest}
    retry: {count: 1, when: "{{ failed() }}"}
"""
    slow = {"item": 1, "attempt": 1, "status": "failed", "takes": "5s"}
    found = played(definition, mock={"a": [{"item": 0, "attempt": 1, "error": "no"}, slow, {"takes": "10s"}]})

    assert (found.status, ended_at_s(found)) == ("succeeded", 10)


def test_cancel_comes_at_its_moment() -> None:
    """By time, by a task that has begun or ended, for the n-th time."""
    loop = "tasks: {s: {next: [{do: a}]}, a: {wait: 10s, next: [{do: b, when: '{{ succeeded() }}'}]}, b: {action: x, next: [{do: a, when: '{{ succeeded() }}'}]}}"

    assert played(loop, cancel={"at": "35s"}).path == ["s", "a", "b", "a", "b", "a", "b", "a"]
    assert played(loop, cancel={"started": "b", "activation": 2}).path == ["s", "a", "b", "a", "b"]
    found = played(loop, cancel={"ended": "b"})
    assert (found.path, found.status) == (["s", "a", "b", "a"], "cancelled")
    assert judged("tasks: {a: {}}", cancel={"at": "1s"}).notes == (
        "the run was never cancelled: it had ended before at 1 s",
    )


def test_work_goes_on_after_a_cancel_that_lets_it() -> None:
    """`allow_finish`: what runs comes to its end."""
    definition = "on_cancel: allow_finish\ntasks: {a: {action: x, next: [{do: b}]}, b: {action: x}}"
    found = played(definition, mock={"a": {"takes": "1m"}}, cancel={"started": "a"})

    assert (found.status, found.path, found.tasks, ended_at_s(found)) == ("cancelled", ["a"], {"a": "succeeded"}, 60)


def test_limit_of_the_duration_ends_the_run() -> None:
    """It is reached in virtual time, also where nothing else is ever due."""
    definition = "limits: {duration: 1h}\ntasks: {a: {action: x}}"

    for mock in ({"takes": "2h"}, {"status": "running"}):
        found = played(definition, mock={"a": mock})
        assert (found.status, found.errors[0][0], ended_at_s(found)) == ("failed", "duration_limit", 3600)
    assert played(definition, mock={"a": {"takes": "1h"}}).status == "succeeded"


def test_what_never_ends_is_running() -> None:
    """Nothing is due any more, and the run has not ended."""
    found = played("tasks: {a: {action: x}, b: {action: x}}", mock={"a": "running"})

    assert (found.status, found.output, found.tasks) == ("running", None, {"b": "succeeded"})


def test_rehearsal_without_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No definition holds a test run up for ever."""
    monkeypatch.setattr(graph_rehearsal, "GRAPH_REHEARSAL_EVENTS_MAX", 50)
    verdict = judged("tasks: {a: {action: x, retry: forever}}", mock={"a": "failed"}, expect={"status": "failed"})

    assert verdict.lines() == [
        "not ok rehearsal",
        "  it goes on for ever: 50 ends of work have not ended the run, which is at a; mock an outcome that leads out",
        "  status: expected failed, got running",
    ]


def test_tasks_that_run_nothing_succeed_at_once() -> None:
    """As in a real run: before a failure of the same wave can stop anything."""
    definition = "tasks: {b: {action: x}, a: {next: [{do: c}]}, c: {next: [{do: d}]}, d: {}}"

    assert played(definition, mock={"b": "failed"}).waves == (("b", "a", "c", "d"),)


def test_start_tasks_and_skipped_ones() -> None:
    """A run may begin elsewhere; what is skipped has not begun."""
    definition = "tasks: {a: {next: [{do: b}]}, b: {run_if: '{{ false }}', next: [{do: c}]}, c: {}}"
    found = played(definition, start=["b"])

    assert (found.path, found.tasks) == (["c"], {"b": "skipped", "c": "succeeded"})


def test_same_scenario_is_played_the_same_way() -> None:
    """A rehearsal has one outcome: nothing depends on a clock, a hash or chance."""
    fields: dict[str, Any] = {"mock": {"fetch": {"results": [{"items": [1], "more": False}]}}}

    assert msgspec.json.encode(played(CONDITIONAL_LOOP, **fields).story) == msgspec.json.encode(
        played(CONDITIONAL_LOOP, **fields).story
    )
