"""Graphs whose logs have to replay for ever: joins in a loop, items, retries, waits, failures. Never changed, as all shapes with a golden log."""

from __future__ import annotations

from jetrun.actors import load_graph

ROUNDS = load_graph(
    """
vars: [{round: 0}, {seen: []}]
tasks:
  init: {next: [{do: fork}]}
  fork:
    action: double
    input: ["{{ ctx.round }}"]
    next: [{publish: [{round: "{{ ctx.round + 1 }}"}], do: [left, right, third]}]
  left: {action: double, input: ["{{ ctx.round }}"], next: [{publish: [{left: "{{ result() }}"}], do: meet}]}
  right: {wait: 2s, next: [{publish: [{right: "{{ ctx.round }}"}], do: meet}]}
  third: {wait: 5s, next: [{do: meet}]}
  meet:
    join: 2
    next:
      - publish: [{seen: "{{ ctx.seen + [ctx.left + ctx.right] }}"}]
        do: [again]
  again: {next: [{when: "{{ ctx.round < 3 }}", do: fork}]}
output: {seen: "{{ ctx.seen }}"}
""",
    name="graph-rounds",
)

PARTS = load_graph(
    """
tasks:
  each:
    with: {items: "x in {{ [3, 1, 4, 1, 5] }}", concurrency: 2}
    action: double
    input: ["{{ item('x') }}"]
    next: [{publish: [{parts: "{{ result() }}"}], do: shaky}]
  shaky:
    action: double
    input: [21]
    retry: {count: 4, delay: 3, backoff: exponential}
    next:
      - {when: "{{ succeeded() }}", publish: [{last: "{{ result() }}"}], do: noop}
      - {when: "{{ failed() }}", publish: [{why: "{{ error().message }}"}], do: noop}
output: {parts: "{{ default(ctx.parts, none) }}", last: "{{ default(ctx.last, none) }}", why: "{{ default(ctx.why, none) }}"}
""",
    name="graph-parts",
)

DEPENDENCIES = load_graph(
    """
steps:
  build: {step: double, input: [2], delay: 1}
  lint: {step: double, input: [3], run_if: "{{ false }}"}
  test: {step: double, input: ["{{ ctx.build }}"], after: [build, lint]}
  ask: {hook: answer, timeout: 1m, after: build, on_failure: continue}
  notify: {step: double, input: [7], after: test, after_any: [ask, lint]}
output: {test: "{{ ctx.test }}", notify: "{{ ctx.notify }}"}
""",
    name="graph-dependencies",
)
