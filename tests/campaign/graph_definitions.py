"""The graphs that campaigns and simulations run: each leans on another part of the interpreter, with the steps of `flows`.

Inputs are drawn by `graph_shapes`, which also says what is right. Outputs are plain reads, so that `graph_invariants` can
compare them with the variables that the moves lead to.
"""

from __future__ import annotations

from typing import Final

from jetrun.actors import load_graph
from jetrun.actors.graph_workflow import GraphWorkflow
from jetrun.actors.recovery import Recovery

RECOVERIES: Final = Recovery(attempts=1000)
"""Workers are killed far more often than in a life; no task may count as deadly for that."""

DIAMOND: Final = """
name: g-diamond
input: [n, {x: 0}]
tasks:
  start: {next: [{do: [left, right]}]}
  left: {action: double, input: ["{{ ctx.n }}"], next: [{publish: [{x: "{{ result() }}"}], do: both}]}
  right: {action: double, input: ["{{ ctx.n + 1 }}"], next: [{publish: [{y: "{{ result() }}"}], do: both}]}
  both:
    join: all
    action: double
    input: ["{{ ctx.x + ctx.y }}"]
    next: [{publish: [{sum: "{{ result() }}"}]}]
output: [{x: "{{ ctx.x }}"}, {y: "{{ ctx.y }}"}, {sum: "{{ ctx.sum }}"}]
"""
"""The right branch never touches `x`: whenever it arrives, the left one's value stands."""

LATE: Final = """
name: g-late
input: [spans, n]
vars: [{met: 0}]
tasks:
  start: {next: [{do: [a, b, c]}]}
  a: {action: linger, input: ["{{ ctx.spans[0] }}"], next: [{publish: [{a: true}], do: meet}]}
  b: {action: linger, input: ["{{ ctx.spans[1] }}"], next: [{publish: [{b: true}], do: meet}]}
  c: {wait: "{{ ctx.spans[2] }}", next: [{publish: [{c: true}], do: meet}]}
  meet:
    join: 2
    action: double
    input: ["{{ ctx.n }}"]
    next: [{publish: [{met: "{{ ctx.met + 1 }}"}], do: after}]
  after: {action: double, input: ["{{ ctx.met }}"]}
output: [{met: "{{ ctx.met }}"}, {a: "{{ ctx.a }}"}, {b: "{{ ctx.b }}"}, {c: "{{ ctx.c }}"}]
"""

LOOP: Final = """
name: g-loop
input: [rounds, {page: 0}, {seen: "{{ [] }}"}]
tasks:
  init: {next: [{do: fetch}]}
  fetch:
    action: double
    input: ["{{ ctx.page }}"]
    next: [{publish: [{batch: "{{ [result()] }}"}], do: [process, audit]}]
  process:
    action: double
    input: ["{{ ctx.page + 3 }}"]
    next: [{when: "{{ succeeded() }}", publish: [{seen: "{{ ctx.seen + ctx.batch }}"}], do: decide}]
  audit: {wait: "{{ 0.3 if ctx.page % 2 else 0.01 }}", next: [{do: decide}]}
  decide:
    join: all
    next:
      - {when: "{{ ctx.page + 1 < ctx.rounds }}", publish: [{page: "{{ ctx.page + 1 }}"}], do: fetch}
      - {when: "{{ ctx.page + 1 >= ctx.rounds }}", do: complete}
  complete: {action: double, input: ["{{ ctx.page }}"]}
output: [{page: "{{ ctx.page }}"}, {seen: "{{ ctx.seen }}"}]
"""

ITEMS: Final = """
name: g-items
input: [width, seats, room]
vars: [{all: null}, {some: null}, {handled: false}]
tasks:
  start: {next: [{do: [each, portion]}]}
  each:
    with: {items: "seat in {{ range(1, ctx.width + 1) }}", concurrency: "{{ ctx.room }}", on_failure: run_all}
    action: book
    input: ["{{ item('seat') }}", "{{ ctx.seats }}"]
    next:
      - {when: "{{ succeeded() }}", publish: [{all: "{{ result() }}"}], do: last}
      - {when: "{{ failed() }}", publish: [{all: "{{ result() }}"}, {handled: true}], do: last}
  portion:
    with: {items: "{{ range(ctx.width) }}", concurrency: 2}
    action: double
    input: ["{{ item() }}"]
    next: [{publish: [{some: "{{ result() }}"}], do: last}]
  last: {join: all}
output: [{all: "{{ ctx.all }}"}, {some: "{{ ctx.some }}"}, {handled: "{{ ctx.handled }}"}]
"""

RETRIES: Final = """
name: g-retries
input: [n, failures]
tasks:
  start: {next: [{do: [native, again, until]}]}
  native:
    action: flaky
    input: ["{{ ctx.n }}", "{{ ctx.failures }}"]
    retry: {count: 2, delay: 0.3, backoff: exponential}
    next:
      - {when: "{{ succeeded() }}", publish: [{native: "{{ result() }}"}]}
      - {when: "{{ failed() }}", publish: [{native: -1}], do: noop}
  again:
    action: flaky
    input: ["{{ ctx.n }}", "{{ ctx.failures - attempt() + 1 }}"]
    retry: {count: 2, delay: 0.2, when: "{{ failed() }}"}
    next:
      - {when: "{{ succeeded() }}", publish: [{again: "{{ result() }}"}]}
      - {when: "{{ failed() }}", publish: [{again: -1}], do: noop}
  until:
    action: double
    input: ["{{ attempt() }}"]
    retry: {count: 4, delay: 0.1, when: "{{ result() < 6 }}"}
    next: [{publish: [{until: "{{ result() }}"}]}]
output: [{native: "{{ ctx.native }}"}, {again: "{{ ctx.again }}"}, {until: "{{ ctx.until }}"}]
"""

WAITS: Final = """
name: g-waits
input: [seconds]
tasks:
  rest: {wait: "{{ ctx.seconds }}", next: [{do: ask}]}
  ask:
    hook: go
    timeout: 1500ms
    next:
      - {when: "{{ succeeded() }}", publish: [{got: "{{ result() }}"}], do: end}
      - {when: "{{ timed_out() }}", publish: [{got: -1}], do: end}
  end: {action: double, input: [2], delay: 0.4}
output: [{got: "{{ ctx.got }}"}]
"""

INNER: Final = """
name: g-inner
input: [n, seats]
tasks:
  a: {action: double, input: ["{{ ctx.n }}"], next: [{publish: [{twice: "{{ result() }}"}], do: b}]}
  b: {action: book, input: [2, "{{ ctx.seats }}"]}
output: [{twice: "{{ ctx.twice }}"}]
"""

PARENT: Final = """
name: g-parent
input: [n, seats]
tasks:
  start: {next: [{do: [graph, flow]}]}
  graph:
    workflow: g-inner
    input: {n: "{{ ctx.n }}", seats: "{{ ctx.seats }}"}
    next:
      - {when: "{{ succeeded() }}", publish: [{inner: "{{ result().twice }}"}], do: both}
      - {when: "{{ failed() }}", publish: [{inner: "{{ error().code }}"}], do: both}
  flow: {workflow: fan, input: ["{{ ctx.n }}", 2], next: [{publish: [{fanned: "{{ result() }}"}], do: both}]}
  both: {join: all}
output: [{inner: "{{ ctx.inner }}"}, {fanned: "{{ ctx.fanned }}"}]
"""

STEPS: Final = """
name: g-steps
input: [n, seats, lints]
steps:
  build: {step: double, input: ["{{ ctx.n }}"]}
  lint: {step: double, input: [1], run_if: "{{ ctx.lints }}"}
  shaky: {step: book, input: [2, "{{ ctx.seats }}"], on_failure: continue}
  test: {step: double, after: [build, shaky], input: ["{{ ctx.build }}"]}
  notify: {step: double, after_any: [test, lint], input: [3], delay: 0.2}
  last: {step: double, after: [notify, test, lint], input: [2]}
output: [{test: "{{ ctx.test }}"}, {notify: "{{ ctx.notify }}"}]
"""

UNHANDLED: Final = """
name: {name}
on_unhandled: {policy}
input: [spans, {{done: false}}]
tasks:
  bad: {{action: book, input: [2, 1], delay: "{{{{ ctx.spans[0] }}}}"}}
  slow: {{action: linger, input: ["{{{{ ctx.spans[1] }}}}"], next: [{{publish: [{{slow: true}}], do: then}}]}}
  then: {{action: double, input: [1], next: [{{publish: [{{done: true}}]}}]}}
output: [{{done: "{{{{ ctx.done }}}}"}}]
"""

TO_FAIL: Final = """
name: g-to-fail
input: [n]
vars: [{cleaned: false}, {more: false}]
tasks:
  a: {action: double, input: ["{{ ctx.n }}"], next: [{do: [clean, fail]}]}
  b: {wait: 0.3, next: [{do: [c]}]}
  c: {wait: 0.3, next: [{do: [b2]}]}
  b2: {action: double, input: [1]}
  clean: {action: double, input: [4], next: [{publish: [{cleaned: true}], do: more}]}
  more: {action: double, input: [4], next: [{publish: [{more: true}]}]}
output: [{cleaned: "{{ ctx.cleaned }}"}, {more: "{{ ctx.more }}"}]
"""

ENDLESS: Final = """
name: g-endless
limits: {iterations: 4}
input: [n]
vars: [{turns: 0}]
tasks:
  start: {next: [{do: again}]}
  again:
    action: double
    input: ["{{ ctx.n }}"]
    next: [{when: "{{ succeeded() }}", publish: [{turns: "{{ ctx.turns + 1 }}"}], do: again}]
output: [{turns: "{{ ctx.turns }}"}]
"""

LONG: Final = """
name: g-long
input: [rounds, {n: 0}, {total: 0}]
tasks:
  start: {next: [{do: [tick, listen, meet1, meet2]}]}
  tick: {wait: "{{ 0.05 + 0.1 * (ctx.n % 3) }}", next: [{do: add}]}
  add:
    action: double
    input: ["{{ 5 * ctx.n }}"]
    next:
      - when: "{{ ctx.n + 1 < ctx.rounds }}"
        publish: [{total: "{{ ctx.total + result() }}"}, {n: "{{ ctx.n + 1 }}"}]
        do: tick
      - when: "{{ ctx.n + 1 >= ctx.rounds }}"
        publish: [{total: "{{ ctx.total + result() }}"}]
        do: [both, meet]
  meet1: {wait: 0.1, next: [{publish: [{one: 1}], do: meet}]}
  meet2: {wait: 0.2, next: [{publish: [{two: 2}], do: meet}]}
  meet: {join: 2, action: double, input: [50]}
  listen: {hook: item, next: [{publish: [{heard: "{{ result() }}"}], do: both}]}
  both: {join: all}
output: [{total: "{{ ctx.total }}"}, {n: "{{ ctx.n }}"}, {heard: "{{ ctx.heard }}"}]
"""
"""Goes on as new while `listen` waits; `meet` was met in an early link, and its third arrival comes in the last one."""

PATIENT: Final = """
name: {name}
on_cancel: {policy}
input: [n]
tasks:
  start: {{next: [{{do: [sleeper, hooked, worker, pair, child]}}]}}
  sleeper: {{wait: 1h}}
  hooked: {{hook: never}}
  worker:
    action: linger
    input: ["{{{{ 0.3 * (1 + ctx.n % 3) }}}}"]
    next: [{{publish: [{{n: "{{{{ ctx.n + 1 }}}}"}}], do: worker2}}]
  worker2: {{action: double, input: ["{{{{ ctx.n }}}}"], delay: 0.2, next: [{{when: "{{{{ ctx.n < 40 }}}}", do: worker}}]}}
  pair:
    with: {{items: "{{{{ range(6) }}}}", concurrency: 2}}
    action: linger
    input: ["{{{{ 0.2 * item() }}}}"]
  child: {{workflow: {child}}}
output: [{{n: "{{{{ ctx.n }}}}"}}]
"""

BULKY: Final = """
name: g-bulky
input: [text, pieces]
tasks:
  each:
    with: "piece in {{ range(ctx.pieces) }}"
    action: echo
    input: ["{{ ctx.text ~ item('piece') }}"]
    next: [{publish: [{texts: "{{ result() }}"}], do: measure}]
  measure: {action: echo, input: ["{{ ctx.texts[0] }}"], next: [{publish: [{sizes: "{{ map(ctx.texts, 'length') }}"}]}]}
output: [{sizes: "{{ ctx.sizes }}"}]
"""
"""Moves for the object store, and decisions of several records."""

CHANGING: Final = """
name: g-changing
input: [n]
tasks:
  first: {action: double, input: ["{{ ctx.n }}"], next: [{publish: [{got: "{{ result() }}"}], do: [second]}]}
  second: {action: double, input: ["{{ ctx.got }}"], delay: 0.4, next: [{publish: [{got: "{{ result() }}"}], do: [third]}]}
  third: {action: double, input: ["{{ ctx.got }}"], next: [{publish: [{got: "{{ result() }}"}]}]}
output: [{got: "{{ ctx.got }}"}]
"""

CHANGED: Final = """
name: g-changing
input: [n]
tasks:
  first: {action: double, input: ["{{ ctx.n }}"], next: [{publish: [{got: "{{ result() + 1000 }}"}], do: [other]}]}
  other: {action: double, input: ["{{ ctx.got }}"], delay: 0.3, next: [{publish: [{got: "{{ result() + 1 }}"}]}]}
output: [{got: "{{ ctx.got }}"}]
"""
"""What some of the workers know `g-changing` as: a run keeps the one that it began with."""


def _graph(text: str) -> GraphWorkflow:
    made = load_graph(text)
    made.recovery = RECOVERIES
    return made


FAST_TEXT: Final = UNHANDLED.format(name="g-fast", policy="fail_fast")
DRAIN_TEXT: Final = UNHANDLED.format(name="g-drain", policy="drain")
PATIENT_TEXT: Final = PATIENT.format(name="g-patient", policy="cancel_running", child="patient, input: [false]")
FINISH_TEXT: Final = PATIENT.format(name="g-finish", policy="allow_finish", child="sleepy, input: [[300, 900]]")

TEXTS: Final = {
    "g-diamond": DIAMOND,
    "g-late": LATE,
    "g-loop": LOOP,
    "g-items": ITEMS,
    "g-retries": RETRIES,
    "g-waits": WAITS,
    "g-parent": PARENT,
    "g-steps": STEPS,
    "g-fast": FAST_TEXT,
    "g-drain": DRAIN_TEXT,
    "g-to-fail": TO_FAIL,
    "g-endless": ENDLESS,
    "g-long": LONG,
    "g-bulky": BULKY,
    "g-patient": PATIENT_TEXT,
    "g-finish": FINISH_TEXT,
}
"""Definitions by name, for runs that bring theirs along."""

diamond = _graph(DIAMOND)
late = _graph(LATE)
loop = _graph(LOOP)
items = _graph(ITEMS)
retries = _graph(RETRIES)
waits = _graph(WAITS)
inner = _graph(INNER)
parent = _graph(PARENT)
steps = _graph(STEPS)
fast = _graph(FAST_TEXT)
drain = _graph(DRAIN_TEXT)
to_fail = _graph(TO_FAIL)
endless = _graph(ENDLESS)
long = _graph(LONG)
bulky = _graph(BULKY)
waiting = _graph(PATIENT_TEXT)
finishing = _graph(FINISH_TEXT)
changing = _graph(CHANGING)
CHANGED_GRAPHS: Final = {"g-changing": _graph(CHANGED)}
