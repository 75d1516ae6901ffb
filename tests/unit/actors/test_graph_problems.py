"""Definitions from strangers: each mistake has its kind and its place, and all are found in one pass."""

from pathlib import Path

import pytest

from jetrun.actors.graph_compile import check, compile_graph
from jetrun.actors.graph_kinds import KINDS
from jetrun.actors.graph_problem import GraphInvalid, Problem
from jetrun.actors.graph_source import Document, parse


def problems_of(text: str) -> list[Problem]:
    return check(parse(text, name="bad.yaml"))


ONE = "tasks: {a: {action: x}}"

ERRORS = {
    # the definition as a whole
    "neither form": ("description: x", "no_tasks", ""),
    "both forms": ("tasks: {a: null}\nsteps: {b: null}", "bad_combination", "steps"),
    "tasks empty": ("tasks: {}", "no_tasks", "tasks"),
    "tasks null": ("tasks:", "no_tasks", "tasks"),
    "steps empty": ("steps: {}", "no_tasks", "steps"),
    "tasks a list": ("tasks: [a]", "bad_type", "tasks"),
    "wrong case": ("Tasks: {a: null}", "unknown_field", "Tasks"),
    "unknown top field": (ONE + "\nworkflows: 1", "unknown_field", "workflows"),
    "another version": (ONE + "\nversion: 2.0", "bad_value", "version"),
    "version true": (ONE + "\nversion: true", "bad_value", "version"),
    "name with spaces": (ONE + "\nname: my graph", "bad_name", "name"),
    "tags a text": (ONE + "\ntags: x", "bad_type", "tags"),
    "description a list": (ONE + "\ndescription: [x]", "bad_type", "description"),
    "on_unhandled": (ONE + "\non_unhandled: fail-fast", "bad_value", "on_unhandled"),
    "on_cancel": (ONE + "\non_cancel: 1", "bad_type", "on_cancel"),
    # inputs, variables, output
    "input a text": (ONE + "\ninput: x", "bad_type", "input"),
    "input a mapping": (ONE + "\ninput: {x: 1}", "bad_type", "input"),
    "input of two keys": (ONE + "\ninput: [{a: 1, b: 2}]", "bad_type", "input[0]"),
    "input twice": (ONE + "\ninput: [x, x]", "duplicate_name", "input[1]"),
    "input bad name": (ONE + "\ninput: ['a b']", "bad_name", "input[0]"),
    "input reads a later one": (
        ONE + "\ninput: [{a: '{{ ctx.b }}'}, {b: 1}]",
        "undefined_variable",
        "input[0].a",
    ),
    "vars of two keys": (ONE + "\nvars: [{a: 1, b: 2}]", "bad_type", "vars[0]"),
    "vars a text": (ONE + "\nvars: a=1", "bad_type", "vars"),
    "vars private": (ONE + "\nvars: [{__a: 1}]", "private_variable", "vars[0].__a"),
    "vars reads itself": (ONE + "\nvars: [{a: '{{ ctx.a }}'}]", "undefined_variable", "vars[0].a"),
    "output reads nothing": (ONE + "\noutput: [{o: '{{ ctx.x }}'}]", "undefined_variable", "output[0].o"),
    "output private": (ONE + "\noutput: [{o: '{{ ctx.__x }}'}]", "private_variable", "output[0].o"),
    # limits
    "limits unknown": (ONE + "\nlimits: {time: 1h}", "unknown_field", "limits.time"),
    "limits a number": (ONE + "\nlimits: 5", "bad_type", "limits"),
    "duration without unit": (ONE + "\nlimits: {duration: 60}", "bad_type", "limits.duration"),
    "duration nothing": (ONE + "\nlimits: {duration: 0s}", "limit_out_of_range", "limits.duration"),
    "duration far": (ONE + "\nlimits: {duration: 9999999d}", "limit_out_of_range", "limits.duration"),
    "iterations zero": (ONE + "\nlimits: {iterations: 0}", "limit_out_of_range", "limits.iterations"),
    "iterations text": (ONE + "\nlimits: {iterations: '5'}", "bad_type", "limits.iterations"),
    "activations": (ONE + "\nlimits: {activations: 1000000000}", "limit_out_of_range", "limits.activations"),
    "value": (ONE + "\nlimits: {value: 1GiB}", "limit_out_of_range", "limits.value"),
    "value text": (ONE + "\nlimits: {value: big}", "bad_type", "limits.value"),
    # names of tasks
    "name of a task": ("tasks: {'a b': null}", "bad_name", 'tasks["a b"]'),
    "name too long": (f"tasks: {{{'a' * 65}: null}}", "bad_name", "tasks." + "a" * 65),
    "name with dash first": ("tasks: {'-a': null}", "bad_name", "tasks.-a"),
    "reserved noop": ("tasks: {noop: null}", "reserved_name", "tasks.noop"),
    "reserved retry": ("tasks: {retry: {action: x}}", "reserved_name", "tasks.retry"),
    # a task's fields
    "a task is a text": ("tasks: {a: core.noop}", "bad_type", "tasks.a"),
    "misspelt field": ("tasks: {a: {acton: x}}", "unknown_field", "tasks.a.acton"),
    "sugar of others": ("tasks: {a: {action: x, on_success: b}}", "unknown_field", "tasks.a.on_success"),
    "steps' field in tasks": ("tasks: {a: {after: b}}", "unknown_field", "tasks.a.after"),
    "action empty": ("tasks: {a: {action: ''}}", "bad_type", "tasks.a.action"),
    "action null": ("tasks: {a: {action: }}", "bad_type", "tasks.a.action"),
    "action a list": ("tasks: {a: {action: [x]}}", "bad_type", "tasks.a.action"),
    "inline rubbish": ("tasks: {a: {action: core.local ls -la}}", "bad_type", "tasks.a.action"),
    "two actions": ("tasks: {a: {action: x, workflow: y}}", "bad_combination", "tasks.a.workflow"),
    "action and step": ("tasks: {a: {action: x, step: y}}", "bad_combination", "tasks.a.step"),
    "queue without step": ("tasks: {a: {queue: q}}", "bad_combination", "tasks.a.queue"),
    "queue of a child": ("tasks: {a: {workflow: w, queue: q}}", "bad_combination", "tasks.a.queue"),
    "queue bad": ("tasks: {a: {action: x, queue: 'a.b'}}", "bad_name", "tasks.a.queue"),
    "app of a step": ("tasks: {a: {action: x, app: q}}", "bad_combination", "tasks.a.app"),
    "timeout without action": ("tasks: {a: {timeout: 5s}}", "bad_combination", "tasks.a.timeout"),
    "timeout of a wait": ("tasks: {a: {wait: 5, timeout: 5s}}", "bad_combination", "tasks.a.timeout"),
    "input of a wait": ("tasks: {a: {wait: 5, input: {a: 1}}}", "bad_combination", "tasks.a.input"),
    "heartbeat of a hook": (
        "tasks: {a: {hook: h, heartbeat_timeout: 5s}}",
        "bad_combination",
        "tasks.a.heartbeat_timeout",
    ),
    "timeout without unit": ("tasks: {a: {action: x, timeout: 5}}", "bad_type", "tasks.a.timeout"),
    "timeout text without unit": ("tasks: {a: {action: x, timeout: '5'}}", "bad_type", "tasks.a.timeout"),
    "timeout nothing": ("tasks: {a: {action: x, timeout: 0s}}", "limit_out_of_range", "tasks.a.timeout"),
    "timeout negative": ("tasks: {a: {action: x, timeout: -5s}}", "limit_out_of_range", "tasks.a.timeout"),
    "timeout expression": (
        "tasks: {a: {action: x, timeout: '{{ 5 }}'}}",
        "bad_type",
        "tasks.a.timeout",
    ),
    "input of a step a text": ("tasks: {a: {action: x, input: hello}}", "bad_type", "tasks.a.input"),
    "input a number": ("tasks: {a: {action: x, input: 5}}", "bad_type", "tasks.a.input"),
    "delay negative": ("tasks: {a: {delay: -1}}", "limit_out_of_range", "tasks.a.delay"),
    "delay true": ("tasks: {a: {delay: true}}", "bad_type", "tasks.a.delay"),
    "delay text": ("tasks: {a: {delay: '5'}}", "bad_type", "tasks.a.delay"),
    "wait a list": ("tasks: {a: {wait: [5]}}", "bad_type", "tasks.a.wait"),
    "wait null": ("tasks: {a: {wait: }}", "bad_type", "tasks.a.wait"),
    "hook empty": ("tasks: {a: {hook: ''}}", "bad_type", "tasks.a.hook"),
    "workflow with spaces": ("tasks: {a: {workflow: a b}}", "bad_name", "tasks.a.workflow"),
    "hook with dots": ("tasks: {a: {hook: a.b}}", "bad_name", "tasks.a.hook"),
    "workflow a number": ("tasks: {a: {workflow: 5}}", "bad_type", "tasks.a.workflow"),
    "run_if text": ("tasks: {a: {run_if: 'yes'}}", "bad_type", "tasks.a.run_if"),
    "match": ("tasks: {a: {match: any}}", "bad_value", "tasks.a.match"),
    "on_failure": ("tasks: {a: {action: x, on_failure: ignore}}", "bad_value", "tasks.a.on_failure"),
    # with
    "with without action": ("tasks: {a: {with: '{{ [1] }}'}}", "items_without_action", "tasks.a.with"),
    "with a wait": ("tasks: {a: {with: '{{ [1] }}', wait: 5}}", "items_without_action", "tasks.a.with"),
    "with plain text": ("tasks: {a: {action: x, with: xs}}", "bad_type", "tasks.a.with"),
    "with null": ("tasks: {a: {action: x, with: }}", "bad_type", "tasks.a.with"),
    "with in nothing": ("tasks: {a: {action: x, with: x in xs}}", "bad_type", "tasks.a.with"),
    "with same names": ("tasks: {a: {action: x, with: 'x, x in {{ [] }}'}}", "duplicate_name", "tasks.a.with"),
    "with no items": ("tasks: {a: {action: x, with: {concurrency: 2}}}", "missing_field", "tasks.a.with"),
    "with unknown": ("tasks: {a: {action: x, with: {item: '{{ [] }}'}}}", "unknown_field", "tasks.a.with.item"),
    "with many": (
        f"tasks: {{a: {{action: x, with: [{'1,' * 10_001}]}}}}",
        "limit_out_of_range",
        "tasks.a.with",
    ),
    "concurrency negative": (
        "tasks: {a: {action: x, with: {items: '{{ [] }}', concurrency: -1}}}",
        "limit_out_of_range",
        "tasks.a.with.concurrency",
    ),
    "concurrency text": (
        "tasks: {a: {action: x, with: {items: '{{ [] }}', concurrency: '2'}}}",
        "bad_type",
        "tasks.a.with.concurrency",
    ),
    "items on_failure": (
        "tasks: {a: {action: x, with: {items: '{{ [] }}', on_failure: stop}}}",
        "bad_value",
        "tasks.a.with.on_failure",
    ),
    # retry
    "retry without count": ("tasks: {a: {action: x, retry: {delay: 1}}}", "missing_field", "tasks.a.retry"),
    "retry max": ("tasks: {a: {action: x, retry: {max: 3}}}", "unknown_field", "tasks.a.retry.max"),
    "retry negative": ("tasks: {a: {action: x, retry: {count: -1}}}", "limit_out_of_range", "tasks.a.retry.count"),
    "retry text": ("tasks: {a: {action: x, retry: {count: '3'}}}", "bad_type", "tasks.a.retry.count"),
    "retry float": ("tasks: {a: {action: x, retry: {count: 1.5}}}", "bad_type", "tasks.a.retry.count"),
    "retry a number": ("tasks: {a: {action: x, retry: 3}}", "bad_type", "tasks.a.retry"),
    "retry hot": ("tasks: {a: {action: x, retry: {count: forever}}}", "bad_combination", "tasks.a.retry.count"),
    "retry of a wait": ("tasks: {a: {wait: 1, retry: {count: 1}}}", "bad_combination", "tasks.a.retry"),
    "retry when text": (
        "tasks: {a: {action: x, retry: {count: 1, when: 'false'}}}",
        "bad_type",
        "tasks.a.retry.when",
    ),
    "retry backoff": (
        "tasks: {a: {action: x, retry: {count: 1, backoff: 0}}}",
        "bad_type",
        "tasks.a.retry.backoff",
    ),
    "retry backoff word": (
        "tasks: {a: {action: x, retry: {count: 1, backoff: constant}}}",
        "bad_value",
        "tasks.a.retry.backoff",
    ),
    "retry cap": ("tasks: {a: {action: x, retry: {count: 1, cap: 5}}}", "bad_type", "tasks.a.retry.cap"),
    "retry jitter": ("tasks: {a: {action: x, retry: {count: 1, jitter: 1}}}", "bad_type", "tasks.a.retry.jitter"),
    "retry delay": (
        "tasks: {a: {action: x, retry: {count: 1, delay: -1}}}",
        "limit_out_of_range",
        "tasks.a.retry.delay",
    ),
    # transitions
    "next a mapping": ("tasks: {a: {next: {do: noop}}}", "bad_type", "tasks.a.next"),
    "next a text": ("tasks: {a: {next: b}}", "bad_type", "tasks.a.next"),
    "a transition a text": ("tasks: {a: {next: [b]}}", "bad_type", "tasks.a.next[0]"),
    "transition unknown": ("tasks: {a: {next: [{if: x}]}}", "unknown_field", "tasks.a.next[0].if"),
    "when text": ("tasks: {a: {next: [{when: 'false', do: noop}]}}", "bad_type", "tasks.a.next[0].when"),
    "when null": ("tasks: {a: {next: [{when: , do: noop}]}}", "bad_type", "tasks.a.next[0].when"),
    "when number": ("tasks: {a: {next: [{when: 1, do: noop}]}}", "bad_type", "tasks.a.next[0].when"),
    "do a number": ("tasks: {a: {next: [{do: 1}]}}", "bad_type", "tasks.a.next[0].do"),
    "do empty name": ("tasks: {a: {next: [{do: 'noop,'}]}}", "bad_type", "tasks.a.next[0].do"),
    "do list of numbers": ("tasks: {a: {next: [{do: [1]}]}}", "bad_type", "tasks.a.next[0].do[0]"),
    "undefined": ("tasks: {a: {next: [{do: b}]}}", "undefined_target", "tasks.a.next[0].do"),
    "undefined in list": (
        "tasks: {a: {next: [{do: [c, b]}]}, c: null}",
        "undefined_target",
        "tasks.a.next[0].do[1]",
    ),
    "duplicate in list": ("tasks: {a: {next: [{do: [b, b]}]}, b: null}", "duplicate_target", "tasks.a.next[0].do[1]"),
    "publish a number": ("tasks: {a: {next: [{publish: 1}]}}", "bad_type", "tasks.a.next[0].publish"),
    "publish plain text": ("tasks: {a: {next: [{publish: words}]}}", "bad_type", "tasks.a.next[0].publish"),
    "publish empty text": ("tasks: {a: {next: [{publish: ''}]}}", "bad_type", "tasks.a.next[0].publish"),
    "publish list of texts": ("tasks: {a: {next: [{publish: [a]}]}}", "bad_type", "tasks.a.next[0].publish[0]"),
    "publish private": (
        "tasks: {a: {next: [{publish: [{__x: 1}]}]}}",
        "private_variable",
        "tasks.a.next[0].publish[0].__x",
    ),
    # start, reach, cycles
    "no entry": ("tasks: {a: {next: [{when: '{{ failed() }}', do: a}]}}", "no_entry", "tasks"),
    "start undefined": (ONE + "\nstart: [b]", "undefined_target", "start[0]"),
    "start twice": (ONE + "\nstart: [a, a]", "duplicate_target", "start[1]"),
    "isolated cycle": (
        "tasks: {a: null, b: {next: [{when: '{{ failed() }}', do: c}]}, c: {next: [{do: b}]}}",
        "unreachable_task",
        "tasks.b",
    ),
    "unconditional cycle": (
        "tasks: {a: {next: [{do: b}]}, b: {next: [{do: c}]}, c: {next: [{do: b}]}}",
        "unconditional_cycle",
        "tasks.b.next",
    ),
    "unconditional loop": (
        "tasks: {a: {next: [{do: b}]}, b: {next: [{do: b}]}}",
        "unconditional_cycle",
        "tasks.b.next",
    ),
    # joins
    "join text": ("tasks: {a: {next: [{do: b}]}, b: {join: '2'}}", "bad_type", "tasks.b.join"),
    "join any": ("tasks: {a: {next: [{do: b}]}, b: {join: any}}", "bad_type", "tasks.b.join"),
    "join true": ("tasks: {a: {next: [{do: b}]}, b: {join: true}}", "bad_type", "tasks.b.join"),
    "join negative": ("tasks: {a: {next: [{do: b}]}, b: {join: -1}}", "limit_out_of_range", "tasks.b.join"),
    "join too many": ("tasks: {a: {next: [{do: b}]}, b: {join: 2}}", "join_exceeds_inbound", "tasks.b.join"),
    "join twice from one": (
        "tasks: {a: {next: [{when: '{{ failed() }}', do: b}, {do: b}]}, b: {join: 2}}",
        "join_exceeds_inbound",
        "tasks.b.join",
    ),
    "join of none": ("tasks: {a: {join: 3}}", "join_exceeds_inbound", "tasks.a.join"),
    # variables
    "undefined in input": (
        "tasks: {a: {action: 'x a={{ ctx.b }}'}}",
        "undefined_variable",
        "tasks.a.action",
    ),
    "undefined deep": (
        "tasks: {a: {action: x, input: {l: [1, {m: 'so {{ ctx.b }}'}]}}}",
        "undefined_variable",
        "tasks.a.input.l[1].m",
    ),
    "set later": (
        "tasks: {a: {action: x, input: {v: '{{ ctx.v }}'}, next: [{publish: v=1, do: b}]}, b: null}",
        "undefined_variable",
        "tasks.a.input.v",
    ),
    "set on another transition": (
        "tasks: {a: {next: [{publish: v=1, do: noop}, {do: b}]}, b: {action: 'x v=<% ctx().v %>'}}",
        "undefined_variable",
        "tasks.b.action",
    ),
    "set on a sibling branch": (
        "tasks: {a: {next: [{do: 'b, c'}]}, b: {next: [{publish: v=1}]}, c: {action: 'x v=<% ctx(v) %>'}}",
        "undefined_variable",
        "tasks.c.action",
    ),
    "undefined in when": (
        "tasks: {a: {next: [{when: '{{ ctx.b }}', do: noop}]}}",
        "undefined_variable",
        "tasks.a.next[0].when",
    ),
    "published before": (
        "tasks: {a: {next: [{publish: [{y: '{{ ctx.x }}'}, {x: 1}]}]}}",
        "undefined_variable",
        "tasks.a.next[0].publish[0].y",
    ),
    "in an isolated cycle": (
        "tasks: {a: null, b: {action: 'x v={{ ctx.v }}', next: [{when: '{{ failed() }}', do: b}]}}",
        "undefined_variable",
        "tasks.b.action",
    ),
    "private": ("tasks: {a: {action: 'x a={{ ctx.__b }}'}}", "private_variable", "tasks.a.action"),
    # expressions
    "syntax": ("tasks: {a: {action: x, input: {a: '{{ 1 + }}'}}}", "expression_syntax", "tasks.a.input.a"),
    "syntax when": ("tasks: {a: {next: [{when: '<% <% %>'}]}}", "expression_syntax", "tasks.a.next[0].when"),
    "statement": ("tasks: {a: {action: x, input: {a: '{% if 1 %}'}}}", "expression_syntax", "tasks.a.input.a"),
    "unknown function": (
        "tasks: {a: {action: x, input: {a: '{{ nofun(1) }}'}}}",
        "expression_unknown_function",
        "tasks.a.input.a",
    ),
    "YAQL without translation": (
        "tasks: {a: {action: x, input: {a: '<% $.b %>'}}}",
        "yaql_not_translatable",
        "tasks.a.input.a",
    ),
    "half a condition": (
        "tasks: {a: {next: [{when: '{{ true }} and {{ false }}'}]}}",
        "expression_syntax",
        "tasks.a.next[0].when",
    ),
    # steps
    "itself": ("steps: {a: {after: a}}", "dependency_cycle", "steps.a.after"),
    "two": ("steps: {a: {after: b}, b: {after: [a]}}", "dependency_cycle", "steps.a.after"),
    "by any": ("steps: {a: null, b: {after_any: [a, c]}, c: {after: b}}", "dependency_cycle", "steps.b.after_any"),
    "missing": ("steps: {build: null, b: {after: [biuld]}}", "missing_dependency", "steps.b.after[0]"),
    "missing any": ("steps: {a: {after_any: b}}", "missing_dependency", "steps.a.after_any"),
    "after twice": ("steps: {a: null, b: {after: [a, a]}}", "duplicate_target", "steps.b.after[1]"),
    "after a number": ("steps: {a: {after: 1}}", "bad_type", "steps.a.after"),
    "tasks' field in steps": ("steps: {a: {join: all}}", "unknown_field", "steps.a.join"),
    "start of steps": ("steps: {a: null}\nstart: [a]", "bad_combination", "start"),
    "step and input": ("steps: {a: null}\ninput: [a]", "name_conflict", "steps.a"),
    "step and variable": ("steps: {a: null}\nvars: {a: 1}", "name_conflict", "steps.a"),
    "publish a step": ("steps: {a: {publish: b=1}, b: null}", "name_conflict", "steps.a.publish"),
    "private step": ("steps: {__a: null}", "reserved_name", "steps.__a"),
    "result of a later step": (
        "steps: {a: {input: {x: '{{ ctx.b }}'}}, b: {after: a}}",
        "undefined_variable",
        "steps.a.input.x",
    ),
    "result of an unrelated step": (
        "steps: {a: {input: {x: '{{ ctx.b }}'}}, b: null}",
        "undefined_variable",
        "steps.a.input.x",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_has_its_kind_and_its_place(name: str) -> None:
    text, kind, where = ERRORS[name]

    found = problems_of(text)

    assert (kind, where.replace('"', "'")) in [
        (problem.kind, problem.where.replace('"', "'")) for problem in found if problem.severity == "error"
    ], [str(problem) for problem in found]
    assert all("\n" not in problem.message for problem in found)
    with pytest.raises(GraphInvalid) as refused:
        compile_graph(parse(text, name="bad.yaml"))
    assert all(problem.severity == "error" for problem in refused.value.problems)


WARNINGS = {
    "join of none": ("tasks: {a: {join: all}}", "join_without_inbound", "tasks.a.join"),
    "join 1 of none": ("tasks: {a: {join: 1}}", "join_without_inbound", "tasks.a.join"),
    "input of nothing": ("tasks: {a: {input: {a: 1}}}", "bad_combination", "tasks.a.input"),
    "input and parameters": ("tasks: {a: {action: x a=1, input: {b: 1}}}", "bad_combination", "tasks.a.input"),
    "do text twice": ("tasks: {a: {next: [{do: 'b, b'}]}, b: null}", "duplicate_target", "tasks.a.next[0].do"),
    "two retries": (
        "tasks: {a: {action: x, retry: {count: 1}, next: [{do: retry}]}}",
        "bad_combination",
        "tasks.a.next[0].do",
    ),
    "publish at retry": (
        "tasks: {a: {action: x, next: [{publish: x=1, do: retry}]}}",
        "bad_combination",
        "tasks.a.next[0].publish",
    ),
    "no concurrency": (
        "tasks: {a: {action: x, with: {items: '{{ [] }}', concurrency: 0}}}",
        "limit_out_of_range",
        "tasks.a.with.concurrency",
    ),
    "cycle with a way out": (
        "tasks: {a: {next: [{do: b}]}, b: {next: [{do: b}, {when: '{{ failed() }}', do: c}]}, c: null}",
        "unconditional_cycle",
        "tasks.b.next",
    ),
    "not from start": ("tasks: {a: null, b: null}\nstart: a", "unreachable_task", "tasks.b"),
    "set on one way": (
        "tasks: {a: {next: [{when: '{{ failed() }}', publish: v=1, do: b}, {do: b}]}, b: {action: 'x v={{ ctx.v }}'}}",
        "maybe_undefined",
        "tasks.b.action",
    ),
    "set on one branch to a join of one": (
        (
            "tasks: {a: {next: [{do: 'b, c'}]}, b: {next: [{publish: v=1, do: d}]}, c: {next: [{do: d}]},"
            " d: {join: 1, action: 'x v={{ ctx.v }}'}}"
        ),
        "maybe_undefined",
        "tasks.d.action",
    ),
    "set in the loop": (
        (
            "tasks: {a: {next: [{do: b}]},"
            " b: {action: 'x v={{ ctx.v }}', next: [{when: '{{ failed() }}', publish: v=1, do: b}]}}"
        ),
        "maybe_undefined",
        "tasks.b.action",
    ),
    "any of two": (
        "steps: {a: null, b: null, c: {after_any: [a, b], input: {x: '{{ ctx.a }}'}}}",
        "maybe_undefined",
        "steps.c.input.x",
    ),
    "of a step that may be skipped": (
        "steps: {a: {run_if: '{{ false }}'}, c: {after: a, input: {x: '{{ ctx.a }}'}}}",
        "maybe_undefined",
        "steps.c.input.x",
    ),
    "both write": (
        (
            "tasks: {a: {next: [{do: 'b, c'}]}, b: {next: [{publish: v=1, do: d}]}, c: {next: [{publish: v=2, do: d}]},"
            " d: {join: all}}"
        ),
        "write_conflict",
        "tasks.c.next[0].publish",
    ),
    "both steps write": (
        "steps: {a: {publish: v=1}, b: {publish: v=2}, c: {after: [a, b]}}",
        "write_conflict",
        "steps.b.publish",
    ),
    "ambiguous": (
        (
            "tasks: {a: {next: [{do: 'b, c, e'}]}, b: {next: [{do: d}]}, c: {next: [{do: d}]}, d: {next: [{do: f}]},"
            " e: {next: [{do: f}]}, f: {join: all}}"
        ),
        "join_ambiguous",
        "tasks.f.join",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_hardly_meant_is_a_warning_and_compiles(name: str) -> None:
    """Orquesta takes these, and a run of them has a meaning: refusing them would lose definitions that work."""
    text, kind, where = WARNINGS[name]

    compiled = compile_graph(parse(text, name="odd.yaml"))

    assert [(kind, where)] == [(problem.kind, problem.where) for problem in compiled.warnings]


def test_all_mistakes_are_found_in_one_pass_and_sorted_by_place() -> None:
    text = """\
version: 3
input: [a, a]
vars:
  - x: "{{ ctx.nothing }}"
tasks:
  first:
    acton: core.noop
    retry: {max: 3}
    next:
      - when: maybe
        do: secnd, third
  second:
    action: core.echo message=<% ctx().y %>
    timeout: 5
  noop:
    join: 4
output:
  - o: "{{ ctx.z }}"
"""
    found = problems_of(text)

    assert [(each.kind, each.where, each.mark.line) for each in found if each.severity == "error"] == [
        ("bad_value", "version", 1),
        ("duplicate_name", "input[1]", 2),
        ("undefined_variable", "vars[0].x", 4),
        ("unknown_field", "tasks.first.acton", 7),
        ("missing_field", "tasks.first.retry", 8),
        ("unknown_field", "tasks.first.retry.max", 8),
        ("bad_type", "tasks.first.next[0].when", 10),
        ("undefined_target", "tasks.first.next[0].do", 11),
        ("undefined_target", "tasks.first.next[0].do", 11),
        ("undefined_variable", "tasks.second.action", 13),
        ("bad_type", "tasks.second.timeout", 14),
        ("reserved_name", "tasks.noop", 15),
        ("join_exceeds_inbound", "tasks.noop.join", 16),
        ("undefined_variable", "output[0].o", 18),
    ]
    with pytest.raises(GraphInvalid, match="acton"):
        compile_graph(parse(text, name="bad.yaml"))


def test_places_sort_alike_without_a_text() -> None:
    value = {"tasks": {f"t{number}": {"bad": 1} for number in range(12)}, "nope": 1}

    found = check(Document.of(value, name="built"))

    assert [each.where for each in found] == [*(f"tasks.t{number}.bad" for number in range(12)), "nope"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Tasks: {a: null}", "did you mean 'tasks'?"),
        ("tasks: {a: {acton: x}}", "did you mean 'action'?"),
        ("tasks: {build: {next: [{do: tset}]}, test: null}", "did you mean 'test'?"),
        ("tasks: {build: {next: [{do: FAIL}]}}", "did you mean 'fail'?"),
        ("steps: {build: null, b: {after: biuld}}", "did you mean 'build'?"),
        (ONE + "\ninput: [count]\noutput: {o: '{{ ctx.cuont }}'}", "did you mean 'count'?"),
        (ONE + "\non_unhandled: drian", "did you mean 'drain'?"),
    ],
)
def test_the_nearest_right_name_is_said(text: str, hint: str) -> None:
    assert any(hint in problem.message for problem in problems_of(text))


def test_a_cycle_is_named_whole() -> None:
    found = problems_of("steps: {a: {after: c}, b: {after: a}, c: {after: b}}")

    assert [each.kind for each in found] == ["dependency_cycle"]
    assert "a -> c -> b -> a" in found[0].message


def test_kinds_are_documented() -> None:
    """The page is what people look a word up in."""
    page = (Path(__file__).parents[3] / "docs" / "graph-definitions.md").read_text()
    documented = {
        line.split("|")[1].strip().strip("`"): line.split("|")[2].strip()
        for line in page.splitlines()
        if line.startswith("| `") and line.count("|") == 3
    }

    assert {kind: documented.get(kind) for kind in KINDS} == KINDS


def test_every_kind_can_be_reported() -> None:
    """A word in the table that nothing reports would be a promise broken."""
    reported = {kind for _, kind, _ in (*ERRORS.values(), *WARNINGS.values())}

    assert reported == set(KINDS)
