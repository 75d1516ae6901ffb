"""Graphs with all that can be under way when a worker dies: items, retries, timers, a child graph, joins in a loop."""

from __future__ import annotations

import asyncio

from jetrun.actors import attempt, load_graph, step

ROUNDS = 2


@step(name="kills.square")
async def square(x: int) -> int:
    await asyncio.sleep(0.03)
    return x * x


@step(name="kills.flaky")
async def flaky(times: int) -> int:
    if attempt().number < times:
        raise OSError("not yet")
    return attempt().number


@step(name="kills.total")
async def total(parts: list[int]) -> int:
    return sum(parts)


KILLED = load_graph(
    """
name: killed
input: [n]
vars: [{round: 0}, {halves: 0}]
tasks:
  start: {action: kills.square, input: {x: "{{ ctx.n }}"}, next: [{when: "{{ succeeded() }}", publish: [{s: "{{ result() }}"}], do: [items, flaky, pause, child, loop]}]}
  items:
    with: {items: "x in {{ range(7) }}", concurrency: 3}
    action: kills.square
    input: {x: "{{ item('x') }}"}
    next: [{when: "{{ succeeded() }}", publish: [{squares: "{{ result() }}"}], do: [all, two]}]
  flaky:
    action: kills.flaky
    input: {times: 3}
    retry: {count: 5, delay: 0.1}
    next: [{when: "{{ succeeded() }}", publish: [{attempts: "{{ result() }}"}], do: [all, two]}]
  pause: {wait: 0.3, next: [{when: "{{ succeeded() }}", do: [all, two]}]}
  child: {workflow: killed-child, input: {n: "{{ ctx.n }}"}, next: [{when: "{{ succeeded() }}", publish: [{child: "{{ result().sum }}"}], do: all}]}
  loop:
    action: kills.square
    input: {x: "{{ ctx.round }}"}
    next:
      - {when: "{{ ctx.round < 2 }}", publish: [{round: "{{ ctx.round + 1 }}"}], do: [left, right]}
      - {when: "{{ ctx.round == 2 }}", do: all}
  left: {action: kills.square, input: {x: 1}, next: [{when: "{{ succeeded() }}", do: meet}]}
  right: {wait: 0.1, next: [{when: "{{ succeeded() }}", do: meet}]}
  meet: {join: all, action: kills.square, input: {x: 2}, next: [{when: "{{ succeeded() }}", do: loop}]}
  two: {join: 2, action: kills.square, input: {x: 3}, next: [{when: "{{ succeeded() }}", publish: [{halves: "{{ ctx.halves + 1 }}"}]}]}
  all:
    join: all
    action: kills.total
    input: {parts: "{{ [ctx.s, ctx.squares[6], ctx.attempts, ctx.child, ctx.round] }}"}
    next: [{when: "{{ succeeded() }}", publish: [{total: "{{ result() }}"}]}]
output: [{total: "{{ ctx.total }}"}, {squares: "{{ ctx.squares }}"}, {halves: "{{ ctx.halves }}"}, {attempts: "{{ ctx.attempts }}"}]
"""
)

CHILD = load_graph(
    """
name: killed-child
input: [n]
tasks:
  a: {action: kills.square, input: {x: "{{ ctx.n }}"}, next: [{when: "{{ succeeded() }}", publish: [{a: "{{ result() }}"}], do: j}]}
  b: {wait: 0.2, next: [{when: "{{ succeeded() }}", publish: [{b: 1}], do: j}]}
  j: {join: all, action: kills.total, input: {parts: "{{ [ctx.a, ctx.b] }}"}, next: [{when: "{{ succeeded() }}", publish: [{sum: "{{ result() }}"}]}]}
output: [{sum: "{{ ctx.sum }}"}]
"""
)

JOINS = {"all": 1, "two": 1, "meet": ROUNDS}
"""How often each join of a run fires."""


def output_of(n: int) -> dict[str, object]:
    """What a run comes to, whatever has been killed meanwhile."""
    squares = [x * x for x in range(7)]
    return {"total": n * n + 36 + 3 + (n * n + 1) + ROUNDS, "squares": squares, "halves": 1, "attempts": 3}
