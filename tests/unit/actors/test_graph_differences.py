"""Where graphs differ on purpose: from Orquesta's bugs (B1 to B7), and where the models that they serve contradict each other.

Each test is one decision. The last part of the design's section 4.5 is the list; what is the same as in Orquesta is shown by
its own scenarios (`tests/integration/test_graph_conformance.py`).
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from jetrun.actors import load_graph, step
from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.client import RunFailed, testing
from support.graph_player import Player

FORK = """
vars: [{x: 0}, {y: 0}]
tasks:
  s: {action: core.noop, next: [{publish: [{x: 1}], do: [a, b, c]}]}
  a: {action: core.noop, next: [{publish: [{x: 2}], do: j}]}
  b: {action: core.noop, next: [{do: j}]}
  c: {action: core.noop, next: [{publish: [{y: "{{ result() }}"}], do: j}]}
  j: {action: core.noop, join: JOIN, next: [{do: e}]}
  e: {action: core.noop}
output: [{x: "{{ ctx.x }}"}, {y: "{{ ctx.y }}"}]
"""


def kinds(text: str) -> list[str]:
    """Lists what the validator finds wrong."""
    with pytest.raises(GraphInvalid) as invalid:
        Definition.of(text).graph  # noqa: B018
    return [problem.kind for problem in invalid.value.problems]


# --- B1 to B7 ------------------------------------------------------------------------------------------------
def test_b1_a_late_third_arrival_is_absorbed() -> None:
    """While the join of two runs, after it has ended, and after all that follows: it and its successors run once."""
    for moment in range(3):
        player = Player(FORK.replace("JOIN", "2"))
        player.end("s")
        player.end("a")
        assert player.end("b") == ["j"]
        for label in ("j", "e")[:moment]:
            player.end(label)
        assert player.end("c", 5) == []
        player.finish()

        assert (player.status, player.path.count("j"), player.path.count("e")) == ("succeeded", 1, 1)
        assert player.output == {"x": 2, "y": 5}, "what it published counts all the same"


LOOP_OF_UNEQUAL_BRANCHES = """
vars: [{n: 0}]
tasks:
  s: {action: core.noop, next: [{do: f}]}
  f: {action: core.noop, next: [{publish: [{n: "{{ ctx.n + 1 }}"}], do: [short, long1]}]}
  short: {action: core.noop, next: [{do: j}]}
  long1: {action: core.noop, next: [{do: long2}]}
  long2: {action: core.noop, next: [{do: j}]}
  j: {action: core.noop, join: all, next: [{when: "{{ ctx.n < 3 }}", do: f}]}
"""


def test_b2_a_join_in_a_loop_waits_for_the_arrivals_of_its_own_round() -> None:
    """The short branch is there long before: last round's arrival of the other one must not stand for this round's."""
    player = Player(LOOP_OF_UNEQUAL_BRANCHES)
    player.end("s")
    for _ in range(3):
        player.end("f")
        assert player.end("short") == []
        assert player.end("long1") == ["long2"]
        assert player.end("long2") == ["j"]
        player.end("j")

    assert (player.status, len(player.path)) == ("succeeded", 16)


def test_b3_a_fork_in_a_loop_that_meets_again_without_join_loses_no_completion() -> None:
    """Each of the two that begin is an activation of its own, with a round of its own after it."""
    player = Player("""
vars: [{n: 0}]
tasks:
  s: {action: core.noop, next: [{do: f}]}
  f: {action: core.noop, next: [{publish: [{n: "{{ ctx.n + 1 }}"}], do: [a, b]}]}
  a: {action: core.noop, next: [{do: m}]}
  b: {action: core.noop, next: [{do: m}]}
  m: {action: core.noop, next: [{when: "{{ ctx.n < 3 }}", do: f}]}
""")
    player.finish()

    assert player.status == "succeeded"
    assert Counter(player.path) == {"s": 1, "f": 1 + 2 + 4, "a": 7, "b": 7, "m": 2 + 4 + 8}


@pytest.mark.parametrize("order", [*itertools.permutations("abc")], ids="".join)
def test_b4_a_branch_that_leaves_a_variable_alone_overwrites_nobody(order: tuple[str, ...]) -> None:
    """x was 1 before the fork, one branch sets it, two do not: the join sees what was set, in every finishing order."""
    player = Player(FORK.replace("JOIN", "all"))
    player.end("s")
    for label in order:
        player.end(label, 7)
    seen = next(each for each in player.state.activations.values() if each.task == "j").scope.values
    player.finish()

    assert seen == {"x": 2, "y": 7}
    assert player.output == {"x": 2, "y": 7}


LEAKS = ["leak: <% ctx().secret %>", "{{ ctx.secret }}", "<% 1 + 1 %>", "{% if 1 %}x{% endif %}", "{{ 'a' * 9 }}"]


@pytest.mark.parametrize("text", LEAKS)
def test_b5_data_is_never_code(text: str) -> None:
    """A result, an input, an item, an error's message: what looks like an expression there is published as it is."""
    player = Player(
        """
input: [given, {twice: "{{ ctx.given }}"}]
vars: [{secret: hunter2}]
tasks:
  a: {action: core.noop, input: {a: "{{ ctx.twice }}"}, next: [{publish: [{r: "{{ result() }}"}, {t: "got {{ ctx.r }}"}], do: b}]}
  b: {with: "x in {{ [ctx.r, ctx.given] }}", action: core.noop, input: {i: "{{ item('x') }}"}, next: [{publish: [{l: "{{ result() }}"}], do: c}]}
  c: {action: core.noop, input: {all: "{{ ctx() }}"}, next: [{when: "{{ failed() }}", publish: [{m: "{{ error().message }}"}], do: noop}]}
output: [{r: "{{ ctx.r }}"}, {t: "{{ ctx.t }}"}, {l: "{{ ctx.l }}"}, {m: "{{ ctx.m }}"}]
""",
        {"given": text},
    )
    player.end("a", text)
    player.end("b[1]", {"deep": [text]})
    player.end("b[0]", text)
    player.fail("c", text)

    assert [ask.kwargs for ask in player.asked[:3]] == [{"a": text}, {"i": text}, {"i": text}]
    assert player.output == {"r": text, "t": f"got {text}", "l": [text, {"deep": [text]}], "m": text}


def test_b6_a_cycle_without_a_way_in_is_an_error_and_so_is_what_is_wrong_in_it() -> None:
    """Orquesta leaves the whole cycle out, with all its mistakes."""
    found = kinds("""
tasks:
  a: {action: core.noop}
  b: {action: core.noop, next: [{when: "{{ ctx.nowhere }}", do: [c, d]}]}
  c: {action: core.noop, next: [{do: b}]}
""")
    assert found.count("unreachable_task") == 2
    assert "undefined_target" in found


@step(name="core.noop")
def noop() -> None:
    return None


INNER = """
tasks:
  a: {action: core.noop, next: [{do: j}]}
  b: {action: core.noop, next: [{when: "{{ failed() }}", do: j}]}
  j: {join: all}
output: [{kept: 1}]
"""
OUTER = """
tasks:
  child: {workflow: inner, next: [{when: "{{ failed() }}", publish: [{why: "{{ error().code }}"}], do: noop}]}
output: [{why: "{{ ctx.why }}"}]
"""


async def test_b7_a_nested_graph_that_dies_of_an_unreachable_join_is_a_failure_of_its_parents_task() -> None:
    """The parent goes on, or fails in turn: it never waits for ever."""
    inner, outer = load_graph(INNER, name="inner"), load_graph(OUTER, name="outer")
    strict = load_graph("tasks: {child: {workflow: outer2}}", name="strict")
    outer2 = load_graph("tasks: {child: {workflow: inner}}", name="outer2")
    async with testing.app(inner, outer, outer2, strict, noop) as app:
        handled = await app.client.start(outer.call(), run_id="r-1")
        assert await handled.result() == {"why": "join_unreachable"}
        unhandled = await app.client.start(strict.call(), run_id="r-2")
        with pytest.raises(RunFailed, match=r"task 'child' failed.*join 'j' is partially satisfied"):
            await unhandled.result()


# --- joins -----------------------------------------------------------------------------------------------------
def test_going_back_to_one_predecessor_alone_is_a_new_instance_that_names_whom_it_misses() -> None:
    """Orquesta meets the join again on the other one's arrival of before."""
    player = Player("""
vars: [{n: 0}]
tasks:
  s: {action: core.noop, next: [{do: [a, b]}]}
  a: {action: core.noop, next: [{do: j}]}
  b: {action: core.noop, next: [{do: j}]}
  j: {action: core.noop, join: all, next: [{when: "{{ ctx.n < 1 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: a}]}
""")
    player.finish()

    assert player.path == ["s", "a", "b", "j", "a"]
    assert (player.status, player.error.code) == ("failed", "join_unreachable")
    assert "'j'" in player.error.message
    assert "a arrived, 1 more of b would be needed" in player.error.message


CONDITIONAL_LOOP = """
vars: [{n: 0}]
tasks:
  s: {action: core.noop, next: [{do: f}]}
  f:
    action: core.noop
    next:
      - {publish: [{n: "{{ ctx.n + 1 }}"}], do: a}
      - {when: "{{ ctx.n != 0 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: b}
  a: {action: core.noop, next: [{do: j}, {when: "{{ ctx.n < 3 }}", do: f}]}
  b: {action: core.noop, next: [{do: j}]}
  j: {action: core.noop, join: JOIN}
"""


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_conditional_branch_that_is_missing_in_one_round_does_not_shift_the_next(first: str) -> None:
    """Counted by their order, the second round's arrivals would be matched with the first round's."""
    player = Player(CONDITIONAL_LOOP.replace("JOIN", "all"))
    player.end("s")
    player.end("f")
    assert player.end("a") == ["f"]
    for _ in range(2):
        player.end("f")
        second = "b" if first == "a" else "a"
        assert "j" not in player.end(first)
        assert "j" in player.end(second)
    player.finish()

    assert player.path.count("j") == 2
    assert player.error.code == "join_unreachable", "the first round's is never met"
    player = Player(CONDITIONAL_LOOP.replace("JOIN", "1"))
    player.finish()
    assert (player.status, player.path.count("j")) == ("succeeded", 3)


def test_a_join_counts_tasks_and_not_tokens() -> None:
    """Two transitions of one task to a join are one arrival; to a task without a join they are two activations."""
    text = """
tasks:
  a: {action: core.noop, next: [{do: t}, {when: "{{ succeeded() }}", do: t}]}
  b: {action: core.noop, next: [{do: t}]}
  t: {action: core.noop JOIN}
"""
    joined, split = Player(text.replace("JOIN", ", join: all")), Player(text.replace("JOIN", ""))
    assert (joined.end("a"), joined.end("b")) == ([], ["t"])
    assert (split.end("a"), split.end("b")) == (["t", "t"], ["t"])


def test_an_ambiguous_join_is_warned_of_and_fires_once() -> None:
    """Orquesta refuses it: which of the arrivals would it be?"""
    from jetrun.actors.graph_compile import check
    from jetrun.actors.graph_source import parse

    text = """
tasks:
  s: {action: core.noop, next: [{do: [a, b, c]}]}
  a: {action: core.noop, next: [{do: m}]}
  b: {action: core.noop, next: [{do: m}]}
  m: {action: core.noop, next: [{do: j}]}
  c: {action: core.noop, next: [{do: j}]}
  j: {action: core.noop, join: all}
"""
    assert [problem.kind for problem in check(parse(text, name="x"))] == ["join_ambiguous"]
    player = Player(text)
    player.finish()
    assert (player.status, player.path.count("m"), player.path.count("j")) == ("succeeded", 2, 1)


def test_a_join_nobody_arrived_at_is_no_error_and_one_with_a_branch_not_taken_is() -> None:
    """Judged at the very step of the last end; the message says who came and who did not."""
    text = """
input: [which]
tasks:
  s: {action: core.noop, next: [{when: "{{ ctx.which == 1 }}", do: a}, {when: "{{ ctx.which == 2 }}", do: b}]}
  a: {action: core.noop, next: [{do: j}]}
  b: {action: core.noop, next: [{do: j}]}
  j: {join: all}
"""
    nobody, one = Player(text, {"which": 0}), Player(text, {"which": 1})
    nobody.end("s")
    one.end("s")
    one.end("a")

    assert nobody.status == "succeeded"
    assert (one.status, one.error.code) == ("failed", "join_unreachable")
    assert "a arrived, 1 more of b" in one.error.message


def test_a_join_that_could_never_be_met_is_refused_at_load() -> None:
    """Orquesta takes it, and such a run fails at its end."""
    assert kinds("tasks: {a: {next: [{do: j}]}, b: {next: [{do: j}]}, j: {join: 3}}") == ["join_exceeds_inbound"]


# --- variables ---------------------------------------------------------------------------------------------------
def test_who_publishes_last_is_read_whoever_arrives_last() -> None:
    """The version of a variable is the time of its publish, not that of its arrival at the join."""
    player = Player("""
vars: [{x: 0}]
tasks:
  early: {action: core.noop, next: [{publish: [{x: early}], do: slow}]}
  slow: {action: core.noop, next: [{do: j}]}
  late: {action: core.noop, next: [{publish: [{x: late}], do: j}]}
  j: {action: core.noop, join: all, input: {x: "{{ ctx.x }}"}}
""")
    player.end("early")
    player.end("late")
    player.end("slow")

    assert player.asks[0].kwargs == {"x": "late"}


def test_mappings_are_not_merged_deeply() -> None:
    """A variable is a value: of two branches that set it, one is read whole. Orquesta makes one mapping of both."""
    player = Player("""
vars: [{m: {k: 0}}]
tasks:
  a: {action: core.noop, next: [{publish: [{m: {a: 1}}], do: j}]}
  b: {action: core.noop, next: [{publish: [{m: {b: 1}}], do: j}]}
  j: {join: all}
output: [{m: "{{ ctx.m }}"}]
""")
    player.end("b")
    player.end("a")

    assert player.output == {"m": {"a": 1}}


def test_a_transition_does_not_see_what_another_one_publishes() -> None:
    """Nor do their targets: each transition begins a branch."""
    player = Player("""
vars: [{x: 0}]
tasks:
  a: {action: core.noop, next: [{publish: [{x: 1}, {y: "{{ ctx.x }}"}], do: b}, {publish: [{z: "{{ ctx.x }}"}], do: c}]}
  b: {action: core.noop, input: {x: "{{ ctx.x }}", y: "{{ ctx.y }}"}}
  c: {action: core.noop, input: {x: "{{ ctx.x }}", z: "{{ ctx.z }}"}}
""")
    player.end("a")

    assert [ask.kwargs for ask in player.asks] == [{"x": 1, "y": 1}, {"x": 0, "z": 0}]


def test_the_output_has_what_was_published_on_the_way_to_a_task_that_never_began() -> None:
    """Orquesta loses it where fail-fast has suppressed the task."""
    player = Player("""
tasks:
  a: {action: core.noop, next: [{publish: [{x: 1}], do: c}]}
  b: {action: core.noop}
  c: {action: core.noop}
output: [{x: "{{ ctx.x }}"}]
""")
    player.fail("b")
    player.end("a")

    assert (player.status, player.path, player.output) == ("failed", ["a", "b"], {"x": 1})


# --- conditions ---------------------------------------------------------------------------------------------------
MATCHES = """
tasks:
  a:
    action: core.noop
    MATCH
    next:
      - {when: "{{ result() > 5 }}", do: z}
      - {when: "{{ result() > 1 }}", do: y}
      - {do: x}
  x: {action: core.noop}
  y: {action: core.noop}
  z: {action: core.noop}
"""


@pytest.mark.parametrize(
    ("match", "result", "begun"),
    [("", 9, ["z", "y", "x"]), ("", 3, ["y", "x"]), ("match: first", 9, ["z"]), ("match: first", 0, ["x"])],
)
def test_all_transitions_that_match_are_taken_in_the_definitions_order_or_the_first_alone(
    match: str, result: int, begun: list[str]
) -> None:
    """Orquesta's order is alphabetical; the first that matches alone is what `match: first` says."""
    assert Player(MATCHES.replace("MATCH", match)).end("a", result) == begun


@pytest.mark.parametrize("result", ["false", "true", "", 0, 1, None, [], [0], {}])
def test_a_condition_is_true_or_false_and_nothing_else(result: object) -> None:
    """In Orquesta the text "false" is true. Here it breaks the run, and says where and what it was."""
    player = Player('tasks: {a: {action: core.noop, next: [{when: "{{ result() }}", do: b}]}, b: {action: core.noop}}')
    assert player.end("a", result) == []
    assert (player.status, player.error.code) == ("failed", "expression_error")
    assert "tasks.a.next[0].when: a condition is true or false" in player.error.message


@pytest.mark.parametrize("when", ['"false"', '"true"', "1", "yes please"])
def test_a_condition_that_is_no_expression_is_refused_at_load(when: str) -> None:
    """Orquesta takes any text for true."""
    text = f"tasks: {{a: {{action: core.noop, next: [{{when: {when}, do: b}}]}}, b: {{action: core.noop}}}}"
    assert kinds(text) in (["bad_type"], ["expression_syntax"])


def test_an_error_in_a_condition_fails_the_run_and_every_error_is_reported() -> None:
    """The transitions that have a value are taken; what they publish is in the output; nothing new begins."""
    player = Player("""
tasks:
  a:
    action: core.noop
    next:
      - {when: "{{ result().x > 1 }}", do: b}
      - {publish: [{kept: 1}], do: b}
      - {publish: [{lost: "{{ result().y }}"}], do: b}
  b: {action: core.noop}
output: [{kept: "{{ ctx.kept }}"}]
""")
    assert player.end("a", {"z": 1}) == []

    assert (player.status, player.output) == ("failed", {"kept": 1})
    assert [text.split(": ")[1] for text in player.broken] == ["tasks.a.next[0].when", "tasks.a.next[2].publish.lost"]
    assert all(text in player.error.message for text in ("next[0].when", "next[2].publish.lost"))


def test_a_failure_is_failed_also_where_it_is_a_timeout() -> None:
    """In Orquesta it depends on when the time was over."""
    text = """
tasks:
  a: {action: core.noop, next: [{when: "{{ failed() and timed_out() }}", publish: [{s: "{{ task_status('a') }}"}], do: noop}]}
output: [{s: "{{ ctx.s }}"}]
"""
    player = Player(text)
    player.end("a", status="timeout")
    assert (player.status, player.output) == ("succeeded", {"s": "timeout"})


def test_a_transition_reads_the_status_of_its_own_task_as_it_is_now() -> None:
    """Not that of the round before."""
    player = Player("""
tasks:
  s: {action: core.noop, next: [{do: a}]}
  a:
    action: core.noop
    next: [{when: "{{ task_status('a') == 'failed' }}", do: a}, {when: "{{ task_status('a') == 'succeeded' }}", do: b}]
  b: {action: core.noop}
""")
    player.end("s")
    assert player.fail("a") == ["a"]
    assert player.end("a") == ["b"]
