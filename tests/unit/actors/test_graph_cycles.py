"""Shapes of graphs as runs: cycles of every kind, joins, several entries, several matching transitions."""

from __future__ import annotations

from typing import Any

import pytest

from jetrun.client import testing
from support.graph_steps import STEPS, code_of, ending_of, graph


async def path_of(text: str, **inputs: Any) -> tuple[list[str], str, Any]:
    """Runs a graph; returns the tasks in the order in which they began, how it ended, and its output."""
    flow = graph(text)
    async with testing.app(flow, *STEPS) as tested:
        run = await tested.client.start(flow.call(**inputs), run_id="r1")
        ending = await ending_of(run)
        return (await run.graph()).path, code_of(ending) or ending.status, ending.output


async def test_a_task_that_leads_to_itself() -> None:
    """A1, A14: the smallest cycle, left by its condition."""
    path, status, output = await path_of("""
vars: [{n: 0}]
start: a
tasks:
  a:
    action: core.noop
    next: [{when: "{{ ctx.n < 3 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: a}]
output: [{n: "{{ ctx.n }}"}]
""")

    assert (path, status, output) == (["a"] * 4, "succeeded", {"n": 3})


async def test_a_long_cycle_with_an_end() -> None:
    """A1, A14: A to B to C to A, twice, and out of it in the middle."""
    path, status, _ = await path_of("""
vars: [{n: 0}]
tasks:
  lead: {next: [{do: a}]}
  a: {action: core.noop, next: [{publish: [{n: "{{ ctx.n + 1 }}"}], do: b}]}
  b: {action: core.noop, next: [{when: "{{ ctx.n < 3 }}", do: c}, {when: "{{ ctx.n >= 3 }}", do: end}]}
  c: {action: core.noop, next: [{do: a}]}
  end: {action: core.noop}
""")

    assert path == ["lead", *["a", "b", "c"] * 2, "a", "b", "end"]
    assert status == "succeeded"


async def test_a_cycle_that_mends_what_has_failed() -> None:
    """A13, A14: a failure is an end like others, and leads back."""
    path, status, output = await path_of("""
vars: [{n: 1}]
tasks:
  lead: {next: [{do: work}]}
  work:
    action: "picky x={{ ctx.n }}"
    next:
      - {when: "{{ succeeded() }}", do: done}
      - {when: "{{ failed() }}", do: repair}
  repair: {action: core.noop, next: [{publish: [{n: "{{ ctx.n + 1 }}"}], do: work}]}
  done: {action: core.noop}
output: [{n: "{{ ctx.n }}"}]
""")

    assert path == ["lead", "work", "repair", "work", "done"]
    assert (status, output) == ("succeeded", {"n": 2})


@pytest.mark.parametrize(("need", "at"), [("all", 3), ("2", 2), ("1", 1)])
async def test_a_join_begins_once_when_so_many_have_come(need: str, at: int) -> None:
    """A9, A14: two of three, all of three; who comes late is absorbed, the run waits for all."""
    path, status, output = await path_of(f"""
tasks:
  a: {{wait: 1, next: [{{do: j}}]}}
  b: {{wait: 2, next: [{{do: j}}]}}
  c: {{wait: 3, next: [{{do: j}}]}}
  j: {{join: {need}, next: [{{publish: [{{at: "{{{{ timestamp() }}}}"}}]}}]}}
output: [{{at: "{{{{ int(ctx.at) % 60 }}}}"}}]
""")

    assert path == ["a", "b", "c", "j"]
    assert (status, output["at"]) == ("succeeded", at)


async def test_all_tasks_without_a_way_to_them_begin() -> None:
    """A2: in the order of the definition, whatever their names."""
    path, status, _ = await path_of("""
tasks:
  z: {action: core.noop}
  m: {action: core.noop, next: [{do: b}]}
  a: {action: core.noop}
  b: {action: core.noop}
""")

    assert (path, status) == (["z", "m", "a", "b"], "succeeded")


async def test_without_a_join_a_task_runs_once_per_way_to_it() -> None:
    """A10: so does all that comes after it."""
    path, status, _ = await path_of("""
tasks:
  s: {next: [{do: [a, b]}]}
  a: {wait: 1, next: [{do: c}]}
  b: {wait: 2, next: [{do: c}]}
  c: {action: core.noop, next: [{do: d}]}
  d: {action: core.noop}
""")

    assert (path, status) == (["s", "a", "b", "c", "d", "c", "d"], "succeeded")


@pytest.mark.parametrize(("match", "path"), [("all", ["a", "d", "b", "c", "b"]), ("first", ["a", "d", "b"])])
async def test_which_of_several_matching_transitions_are_taken(match: str, path: list[str]) -> None:
    """A21: all of them in their order, to the same task, too; or the first alone."""
    found, status, _ = await path_of(f"""
tasks:
  a:
    action: core.noop
    match: {match}
    next:
      - {{when: "{{{{ failed() }}}}", do: c}}
      - {{when: "{{{{ succeeded() }}}}", do: [d, b]}}
      - {{when: "{{{{ completed() }}}}", do: c}}
      - {{do: b}}
  b: {{action: core.noop}}
  c: {{action: core.noop}}
  d: {{action: core.noop}}
""")

    assert (found, status) == (path, "succeeded")


def test_what_comes_before_and_after_a_task_is_known() -> None:
    """A4: edges and joins of the compiled graph."""
    compiled = graph("""
tasks:
  a: {next: [{do: [b, c]}]}
  b: {next: [{do: j}]}
  c: {next: [{when: "{{ failed() }}", do: a}, {do: j}]}
  j: {join: all}
start: a
""").graph

    after = {name: [target for edge in task.edges for target in edge.targets] for name, task in compiled.tasks.items()}
    [group] = compiled.tasks["j"].join
    assert after == {"a": ["b", "c"], "b": ["j"], "c": ["a", "j"], "j": []}
    assert (group.predecessors, group.need) == (frozenset({"b", "c"}), 2)
    assert compiled.dominators == {"j": "a"}
