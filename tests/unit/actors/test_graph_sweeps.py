"""Crash sweeps: one graph per construct, a crash after every record; nothing differs."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from jetrun.actors.graph_workflow import GRAPHS
from jetrun.client import testing
from support.graph_steps import STEPS, graph

ONE_BY_ONE = {
    "retries": """
tasks:
  a: {action: flaky good=3, retry: {count: 3, delay: 5}, next: [{publish: [{n: "{{ result() }}"}], do: b}]}
  b: {action: flaky good=2, retry: {count: 3, delay: 5, jitter: true, when: "{{ failed() }}"}, next: [{do: c}]}
  c: {action: wrong, retry: {count: 1}, on_failure: continue, next: [{do: d}]}
  d: {action: never, next: [{when: "{{ failed() }}", do: noop}]}
output: [{n: "{{ ctx.n }}"}]
""",
    "loop": """
vars: [{n: 0}]
tasks:
  s: {next: [{do: a}]}
  a:
    action: "double x={{ ctx.n }}"
    delay: 2
    next:
      - {when: "{{ ctx.n < 3 }}", publish: [{n: "{{ ctx.n + 1 }}"}], do: a}
      - {when: "{{ ctx.n >= 3 }}", publish: [{n: "{{ result() }}"}]}
output: [{n: "{{ ctx.n }}"}]
""",
    "join": """
tasks:
  s: {next: [{do: [a, b, c]}]}
  a: {action: double x=1, next: [{publish: [{a: "{{ result() }}"}], do: j}]}
  b: {wait: 30s, next: [{publish: [{b: 5}], do: j}]}
  c: {workflow: successor, input: [41], next: [{publish: [{c: "{{ result() }}"}], do: j}]}
  j: {join: 2, next: [{publish: [{sum: "{{ ctx.a + ctx.c }}"}], do: k}]}
  k: {action: "echo x={{ ctx.sum }}"}
output: [{sum: "{{ ctx.sum }}"}]
""",
    "loop-with-a-join": """
vars: [{n: 0}]
tasks:
  init: {next: [{do: f}]}
  f: {action: "double x={{ ctx.n }}", next: [{publish: [{n: "{{ ctx.n + 1 }}"}], do: [p, q]}]}
  p: {action: double x=1, next: [{do: d}]}
  q: {wait: 3, next: [{do: d}]}
  d: {join: all, next: [{when: "{{ ctx.n < 3 }}", do: f}]}
output: [{n: "{{ ctx.n }}"}]
""",
    "timeouts": """
tasks:
  a: {hook: never, timeout: 10s, next: [{when: "{{ timed_out() }}", publish: [{x: "{{ error().code }}"}], do: noop}]}
  b: {action: slow seconds=100, timeout: 20s, next: [{when: "{{ timed_out() }}", publish: [{y: "{{ error().code }}"}], do: noop}]}
output: {x: "{{ ctx.x }}", y: "{{ ctx.y }}"}
""",
    "hook": """
tasks:
  a: {hook: go, next: [{publish: [{got: "{{ result() }}"}], do: b}]}
  b: {action: "echo x={{ ctx.got }}"}
output: [{got: "{{ ctx.got }}"}]
""",
    "broken": """
tasks:
  a: {action: double x=1, next: [{when: "{{ result() }}", do: b}, {publish: [{z: "{{ result().foo.bar }}"}], do: b}]}
  b: {action: core.noop}
""",
    "fail": """
tasks:
  a: {action: core.noop, next: [{do: "cleanup, fail"}]}
  cleanup: {action: echo x=1, next: [{publish: [{clean: true}], do: after}]}
  after: {action: core.noop}
output: [{clean: "{{ ctx.clean }}"}]
""",
    "unreachable-join": """
tasks:
  a: {action: core.noop, next: [{do: j}]}
  b: {wait: 2, next: [{when: "{{ failed() }}", do: j}]}
  j: {join: all}
""",
    "limit": """
limits: {iterations: 3}
tasks:
  s: {next: [{do: a}]}
  a: {action: core.noop, next: [{when: "{{ succeeded() }}", do: a}]}
""",
    "duration": """
limits: {duration: 60s}
tasks:
  a: {wait: 10m}
  b: {action: slow seconds=100}
output: [{x: 1}]
""",
    "large": """
tasks:
  a: {action: large size=200000, next: [{publish: [{b: "{{ result() }}"}], do: b}]}
  b: {action: "length text={{ ctx.b }}", next: [{publish: [{n: "{{ result() }}"}]}]}
output: {n: "{{ ctx.n }}", all: "{{ ctx.b }}"}
""",
    "steps": """
on_cancel: allow_finish
steps:
  build: {step: double, input: {x: 2}}
  lint: {step: double, input: {x: 3}, run_if: "{{ false }}", after: build}
  test: {step: double, after: [build, lint], input: {x: "{{ ctx.build }}"}}
  notify: {step: echo, after_any: [test, lint], input: {x: 1}, delay: 5}
  bad: {step: wrong, after: notify}
output: {test: "{{ ctx.test }}", notify: "{{ ctx.notify }}"}
""",
    "items-one-by-one": """
tasks:
  a:
    with: {items: "x in {{ [2, 4, 5, 6] }}", concurrency: 1}
    action: "picky x={{ item('x') }}"
    retry: {count: 1, delay: 1}
    next: [{when: "{{ failed() }}", publish: [{got: "{{ result() }}"}], do: noop}]
output: [{got: "{{ ctx.got }}"}]
""",
}
"""At most one step is under way at any time: the order of ends is the same with and without a crash of either worker."""

AT_ONCE = {
    "items": """
tasks:
  a:
    with: {items: "x in {{ [2, 4, 5, 6, 8] }}", concurrency: 2, on_failure: POLICY}
    action: "picky x={{ item('x') }}"
    next: [{when: "{{ completed() }}", publish: [{got: "{{ result() }}"}], do: noop}]
output: [{got: "{{ ctx.got }}"}]
""",
    "branches": """
tasks:
  s: {next: [{do: [a, b, c, d]}]}
  a: {action: wrong, next: [{when: "{{ failed() }}", publish: [{a: 1}], do: j}]}
  b: {action: double x=1, next: [{publish: [{b: "{{ result() }}"}], do: [j, c]}]}
  c: {action: double x=2, next: [{do: j}]}
  d: {workflow: inner, next: [{publish: [{d: "{{ result().x }}"}], do: j}]}
  j: {join: all}
output: {a: "{{ ctx.a }}", b: "{{ ctx.b }}", d: "{{ ctx.d }}"}
""",
    "fail-fast": """
tasks:
  s: {next: [{do: [a, b, c]}]}
  a: {action: wrong, delay: 1}
  b: {action: slow seconds=5, next: [{publish: [{b: 1}], do: d}]}
  c: {wait: 10, next: [{do: d}]}
  d: {action: core.noop}
output: [{b: "{{ ctx.b }}"}]
""",
}
"""Several steps at once: a crash of the step worker may change who is first; one of the actor worker changes nothing."""

INNER = graph(
    "tasks: {a: {action: double x=8, next: [{publish: [{x: '{{ result() }}'}]}]}}\noutput: [{x: '{{ ctx.x }}'}]",
    "inner",
)


def sweep(text: str, name: str, step_crashes: Literal["none", "each"], hooks: Any = ()) -> testing.CrashSweep:
    flow = graph(text, name)
    return testing.survives_every_crash(flow.call(), flow, INNER, *STEPS, step_crashes=step_crashes, hooks=hooks)


SLOW = {"retries", "items-one-by-one", "loop", "loop-with-a-join"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ONE_BY_ONE]
)
def test_a_crash_of_any_worker_changes_nothing(name: str) -> None:
    """A replay folds what the log has; a successor decides what the one before would have."""
    hooks = [("go", {"a": 1})] if name == "hook" else []

    assert sweep(ONE_BY_ONE[name], name, "each", hooks).crashes >= 3


@pytest.mark.parametrize("policy", ["run_all", "finish_started", "cancel_rest"])
def test_a_crash_among_items_changes_nothing(policy: str) -> None:
    """Which items were begun stands in the log."""
    assert sweep(AT_ONCE["items"].replace("POLICY", policy), "items", "none").crashes >= 3


@pytest.mark.parametrize("name", ["branches", "fail-fast"])
def test_a_crash_among_branches_changes_nothing(name: str) -> None:
    """So stands what each branch has published, and who has arrived."""
    assert sweep(AT_ONCE[name], name, "none").crashes >= 3


@pytest.mark.slow
def test_a_definition_that_comes_with_the_start_survives() -> None:
    """Its run has it from its own log."""
    call = GRAPHS.call(definition=ONE_BY_ONE["loop"])

    assert testing.survives_every_crash(call, GRAPHS, *STEPS).crashes >= 3
