"""How graph runs end where Orquesta, attune and wfaas contradict each other, or themselves: each test is one decision."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from jetrun.actors import FatalError, load_graph, step
from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.client import testing
from support.graph_player import Player


def kinds(text: str) -> list[str]:
    """Lists what the validator finds wrong."""
    with pytest.raises(GraphInvalid) as invalid:
        Definition.of(text).graph  # noqa: B018
    return [problem.kind for problem in invalid.value.problems]


BRANCHES = """
on_unhandled: POLICY
tasks:
  a: {action: core.noop, next: [{when: "{{ succeeded() }}", do: c}]}
  b: {action: core.noop, next: [{do: d}]}
  c: {action: core.noop}
  d: {action: core.noop, next: [{do: e}]}
  e: {action: core.noop}
"""


@pytest.mark.parametrize(("policy", "path"), [("fail_fast", ["a", "b"]), ("drain", ["a", "b", "d", "e"])])
def test_an_unhandled_failure_stops_what_is_new_or_lets_branches_run_out(policy: str, path: list[str]) -> None:
    """Orquesta does the one, wfaas the other; both fail in the end, and name the task."""
    player = Player(BRANCHES.replace("POLICY", policy))
    player.fail("a", "boom")
    player.finish()

    assert (player.path, player.status) == (path, "failed")
    assert player.error.message == "task 'a' failed: Refused: boom"


def test_the_output_of_a_run_that_failed_keeps_its_good_entries() -> None:
    """Those that have no value are reported with what failed before."""
    player = Player("""
vars: [{x: 1}]
tasks: {a: {action: core.noop, next: [{when: "{{ succeeded() }}", publish: [{y: 1}]}]}}
output: [{x: "{{ ctx.x }}"}, {y: "{{ ctx.y }}"}, {z: "{{ ctx.x + 1 }}"}, {zz: "{{ 1 // 0 }}"}]
""")
    player.fail("a", "boom")

    assert (player.status, player.output) == ("failed", {"x": 1, "z": 2})
    assert all(text in player.error.message for text in ("boom", "output.y", "output.zz"))


def test_a_good_run_whose_output_has_no_value_has_failed() -> None:
    """Who reads the output must not take a part of it for the whole."""
    player = Player('tasks: {a: {action: core.noop}}\noutput: [{x: 1}, {y: "{{ 1 // 0 }}"}]')
    player.end("a")
    assert (player.status, player.output, player.error.code) == ("failed", {"x": 1}, "expression_error")


def test_a_cancel_beats_a_failure_that_arrives_meanwhile() -> None:
    """And whatever the output's entries come to."""
    text = 'on_cancel: allow_finish\ntasks: {a: {action: core.noop}}\noutput: [{x: 1}, {y: "{{ 1 // 0 }}"}]'
    player = Player(text)
    player.cancel()
    player.fail("a")
    assert (player.status, player.output) == ("cancelled", {"x": 1})


def test_a_second_end_of_a_task_is_ignored() -> None:
    """Completions come at least once."""
    player = Player("tasks: {a: {action: core.noop, next: [{do: b}]}, b: {action: core.noop}}")
    ask = player.asks[0]
    assert player.end_ask(ask) == ["b"]
    player.asks.append(ask)
    before = len(player.moves)
    assert player.end_ask(ask, status="failed") == []
    assert len(player.moves) == before


def test_a_graph_without_an_entry_is_refused_unless_its_start_is_named() -> None:
    """attune's engine completes such a run at once, with nothing done."""
    text = 'tasks: {a: {action: core.noop, next: [{when: "{{ failed() }}", do: b}]}, b: {action: core.noop, next: [{do: a}]}}'
    assert kinds(text) == ["no_entry"]
    player = Player("start: [b]\n" + text)
    player.end("b")
    player.end("a")
    assert player.path == ["b", "a"]
    elsewhere = Player("start: [b]\n" + text, start=["a"])
    assert elsewhere.path == ["a"]
    nowhere = Player("start: [b]\n" + text, start=["c"])
    assert (nowhere.status, nowhere.path, nowhere.error.message) == ("failed", [], "start: no task 'c'")


def test_a_skipped_dependency_is_satisfied_and_a_failed_one_blocks_by_name() -> None:
    """wfaas's rules for dependency graphs: independent branches go on, and who never began is told, and because of whom."""
    text = """
steps:
  build: {}
  lint: {run_if: "{{ false }}"}
  test: {after: [build, lint]}
  docs: {}
  pages: {after: docs}
  notify: {after_any: [test, lint]}
  late: {after: [test], after_any: [docs, lint]}
"""
    player = Player(text)
    assert player.skipped == ["lint"]
    assert player.path == ["build", "docs", "notify"], "one of two is enough, and it is begun once"
    assert player.fail("build", "boom") == []
    assert player.end("docs") == ["pages"]
    player.finish()

    assert (player.status, player.error.code) == ("failed", "task_failed")
    assert player.error.message == "task 'build' failed: Refused: boom; blocked: test (by build), late (by test)"


def test_fifty_skips_in_a_row_are_no_deadlock() -> None:
    """Ends and what follows of them are one step: nobody sees a moment at which nothing is under way (W31)."""
    steps = {"s0": {"run_if": "{{ false }}"}}
    steps |= {f"s{n}": {"run_if": "{{ false }}", "after": f"s{n - 1}"} for n in range(1, 50)}
    steps["last"] = {"after": "s49"}
    player = Player({"steps": steps})
    assert (len(player.skipped), player.path) == (50, ["last"])
    player.end("last")
    assert player.status == "succeeded"


def test_retries_that_are_used_up_stop() -> None:
    """No made-up delay, and no attempt more: the failure's transitions are taken (W7)."""
    player = Player("""
tasks:
  a:
    action: core.noop
    retry: {count: 2, delay: 1, when: "{{ failed() }}"}
    next: [{when: "{{ failed() }}", do: b}]
  b: {action: core.noop}
""")
    for _ in range(2):
        player.fail("a")
        assert player.wake() == []
    assert player.fail("a") == ["b"]
    player.end("b")
    assert player.status == "succeeded"


@pytest.mark.parametrize(
    ("policy", "begun", "statuses"),
    [
        ("run_all", 4, ["failed", "succeeded", "succeeded", "succeeded"]),
        ("finish_started", 2, ["failed", "succeeded", None, None]),
        ("cancel_rest", 2, ["failed", None, None, None]),
    ],
)
def test_what_becomes_of_other_items_when_one_has_failed_is_said_and_not_an_accident(
    policy: str, begun: int, statuses: list[str | None]
) -> None:
    """In Orquesta the rest is begun if another item happens to be under way at that moment."""
    player = Player(
        """
tasks:
  a:
    with: {items: "{{ [1, 2, 3, 4] }}", concurrency: 2, on_failure: POLICY}
    action: core.noop
    next: [{when: "{{ failed() }}", publish: [{r: "{{ result() }}"}], do: noop}]
output: [{r: "{{ ctx.r }}"}]
""".replace("POLICY", policy)
    )
    player.fail("a[0]")
    while player.asks:
        player.end_ask(player.asks[0], "succeeded")

    assert player.status == "succeeded"
    assert len(player.asked) == begun
    assert player.output == {"r": [None, *statuses[1:]]}


def test_no_items_are_a_success_with_no_results() -> None:
    """An empty list was a run that hung."""
    player = Player(
        """
input: [xs]
tasks: {a: {with: "{{ ctx.xs }}", action: core.noop, next: [{publish: [{r: "{{ result() }}"}]}]}}
output: [{r: "{{ ctx.r }}"}]
""",
        {"xs": []},
    )
    assert (player.status, player.output) == ("succeeded", {"r": []})


def test_a_task_that_goes_round_too_often_is_named_with_its_limit() -> None:
    """A cycle that never ends does so at a bound, with its output, and never in memory (A16)."""
    player = Player("""
vars: [{n: 0}]
limits: {iterations: 5}
tasks:
  s: {next: [{do: a}]}
  a: {action: core.noop, next: [{when: "{{ succeeded() }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: a}]}
output: [{n: "{{ ctx.n }}"}]
""")
    player.finish()
    assert (player.status, player.error.code, player.output) == ("failed", "iteration_limit", {"n": 5})
    assert "task 'a' would begin once more, activation 6" in player.error.message


def test_loops_that_wait_for_nothing_end_at_a_bound() -> None:
    """Also two of them at once, one that retries: what has begun is ended, and nothing hangs."""
    player = Player("""
limits: {iterations: 1000000, activations: 1000000}
tasks:
  s: {next: [{do: [a, b, c]}]}
  a: {next: [{when: "{{ succeeded() }}", do: a}]}
  b: {next: [{when: "{{ succeeded() }}", do: b}]}
  c: {retry: {count: 1000, when: "{{ completed() }}"}}
""")
    assert (player.status, player.error.code) == ("failed", "activation_limit")
    assert not player.state.live


def test_an_input_without_value_withholds_all_that_would_begin_and_ends_what_has_begun() -> None:
    """A task without an action that began with it must not keep the run alive for ever."""
    player = Player("""
tasks:
  s: {next: [{do: [a, b, c]}]}
  a: {next: [{publish: [{x: 1}], do: d}]}
  b: {action: core.noop, input: {x: "{{ 1 // 0 }}"}}
  c: {action: core.noop}
  d: {action: core.noop}
output: [{x: "{{ ctx.x }}"}]
""")
    assert (player.path, player.status, player.output) == (["s", "a"], "failed", {"x": 1})
    assert "tasks.b.input" in player.error.message


def test_the_siblings_of_fail_have_one_go_and_no_more() -> None:
    """`do: report, fail`: the report is made once, although its input may have no value, and what it leads to is not."""
    text = """
tasks:
  a: {action: core.noop, next: [{do: [report, fail]}]}
  other: {action: core.noop}
  report: {action: core.noop, input: {x: "{{ VALUE }}"}, next: [{do: after}]}
  after: {action: core.noop}
"""
    good, bad = Player(text.replace("VALUE", "1")), Player(text.replace("VALUE", "1 // 0"))
    assert (good.end("a"), good.end("report"), good.end("other")) == (["report"], [], [])
    assert (bad.end("a"), bad.end("other"), len(bad.broken)) == ([], [], 1)
    assert (good.error.code, bad.error.code) == ("fail", "fail")


def test_an_attempt_after_failed_items_starts_with_nothing_of_the_one_before() -> None:
    """Its results are its own, also after a replay; what still runs of the one before is let go."""
    player = Player("""
tasks:
  a:
    with: {items: "{{ [1, 2] }}", on_failure: cancel_rest}
    action: core.noop
    retry: {count: 1}
    next: [{when: "{{ failed() }}", publish: [{r: "{{ result() }}"}], do: noop}]
output: [{r: "{{ ctx.r }}"}]
""")
    player.fail("a[1]")
    assert [(ask.label, ask.attempt) for ask in player.asks] == [("a[0]", 2), ("a[1]", 2)]
    player.end("a[0]", "second")
    player.fail("a[1]")
    assert (player.status, player.output) == ("succeeded", {"r": ["second", None]})


async def test_a_late_result_of_the_attempt_before_is_not_taken_for_this_ones() -> None:
    """The items that a failure has given up still run, and end while the next attempt's do."""
    begun = Counter[int]()

    @step
    async def pick(x: int) -> int:
        begun[x] += 1
        if x == 0 and begun[x] == 1:
            raise FatalError("on purpose")
        await asyncio.sleep(10 * begun[1])
        return x

    graph = load_graph(
        """
tasks:
  a:
    with: {items: "{{ [1, 0] }}", on_failure: cancel_rest}
    action: pick
    input: {x: "{{ item() }}"}
    retry: {count: 1, when: "{{ failed() }}"}
    next: [{publish: [{r: "{{ result() }}"}]}]
output: [{r: "{{ ctx.r }}"}]
""",
        name="picking",
    )
    async with testing.app(graph, pick) as app:
        run = await app.client.start(graph.call(), run_id="r-1")
        await run.result()
        events = await run.events()

    asked = [event.n for event in events if event.kind == "step.scheduled"]
    ended = {event.n: event.k for event in events if event.kind == "step.completed"}
    items = [event.k for event in events if event.kind == "task.item" and event.data["status"] == "succeeded"]
    assert len(asked) == 4
    assert sorted(items) == sorted(ended[n] for n in asked[2:])
