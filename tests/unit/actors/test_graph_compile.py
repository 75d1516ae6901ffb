"""Both surface forms compiled: Orquesta's definitions of every feature, and dependency graphs."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_compile import Compiled, check, compile_graph
from jetrun.actors.graph_dependencies import STEP_FIELDS
from jetrun.actors.graph_head import HEAD_FIELDS
from jetrun.actors.graph_kinds import KINDS
from jetrun.actors.graph_model import ChildAction, Graph, Group, HookAction, StepAction, Task, TimerAction
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.actors.graph_source import Document, parse
from jetrun.actors.graph_transitions import TASK_FIELDS
from support.orquesta_graphs import ORQUESTA


def compiled(text: str, name: str = "flow.yaml") -> Compiled:
    return compile_graph(parse(text, name=name))


def graph(text: str) -> Graph:
    return compiled(text).graph


def step_of(task: Task) -> StepAction:
    assert isinstance(task.action, StepAction)
    return task.action


@pytest.mark.parametrize("name", ORQUESTA)
def test_what_orquesta_takes_compiles(name: str) -> None:
    result = compiled(ORQUESTA[name])

    assert result.graph.form == "transitions"
    assert result.graph.on_unhandled == "fail_fast"
    assert not result.warnings


def test_meta_and_defaults() -> None:
    found = graph(ORQUESTA["meta"])

    assert (found.name, found.description, found.tags) == ("say_hello", "greets", ("a", "b"))
    assert (found.limits.iterations, found.limits.activations, found.limits.value_bytes) == (1000, 100_000, 1 << 20)
    assert found.limits.duration_us == 0
    assert compiled("tasks: {a: null}", "flows/deploy.v2.yaml").graph.name == "deploy.v2"
    assert compiled("tasks: {a: null}", "deploy").graph.name == "deploy"


def test_limits_and_policies() -> None:
    found = graph(
        "tasks: {a: null}\nlimits: {duration: 1h30m, iterations: 5, activations: 10, value: 64KiB}\n"
        "on_unhandled: drain\non_cancel: allow_finish"
    )

    assert found.limits.duration_us == 5_400_000_000
    assert (found.limits.iterations, found.limits.activations, found.limits.value_bytes) == (5, 10, 65_536)
    assert (found.on_unhandled, found.on_cancel) == ("drain", "allow_finish")


def test_inline_parameters_become_the_input() -> None:
    tasks = graph(ORQUESTA["inline input"]).tasks

    assert step_of(tasks["one"]).name.value == "core.local"
    assert step_of(tasks["one"]).input.value == {
        "cmd": "echo <% ctx().who %> | tr a-z A-Z",
        "timeout": 10,
        "sudo": True,
    }
    assert step_of(tasks["two"]).input.value == {"message": "it's fine", "repeat": 2, "loud": False}


def test_every_action_is_read() -> None:
    tasks = graph(
        """
tasks:
  a: {step: charge, queue: slow, timeout: 30s, heartbeat_timeout: 500ms, input: [1, 2]}
  b: {workflow: payment, app: shop, input: {x: 1}, timeout: 1h}
  c: {wait: 30s}
  d: {wait: 1.5}
  e: {hook: approval, timeout: 2d}
  f: {run_if: "{{ true }}", on_failure: continue, match: first, delay: 1m}
"""
    ).tasks

    step = step_of(tasks["a"])
    assert (step.name.value, step.queue, step.input.value) == ("charge", "slow", [1, 2])
    assert (step.timeout_us, step.heartbeat_us) == (30_000_000, 500_000)
    child = tasks["b"].action
    assert isinstance(child, ChildAction)
    assert (child.workflow.value, child.app, child.timeout_us) == ("payment", "shop", 3_600_000_000)
    assert isinstance(tasks["c"].action, TimerAction)
    assert isinstance(tasks["e"].action, HookAction)
    assert tasks["f"].action is None
    assert tasks["f"].guard is not None
    assert (tasks["f"].on_failure, tasks["f"].match) == ("continue", "first")


def test_commands_of_do_become_flags_of_the_edge() -> None:
    tasks = graph(
        """
tasks:
  a:
    action: x
    next:
      - do: continue
      - publish: y=1
      - do: noop
      - do: fail
      - do: b, fail
      - do: b
      - do: retry
  b: null
"""
    ).tasks

    assert [(edge.targets, edge.handles, edge.fails) for edge in tasks["a"].edges] == [
        ((), False, False),
        ((), False, False),
        ((), True, False),
        ((), True, True),
        (("b",), True, True),
        (("b",), True, False),
    ]
    attempts = tasks["a"].attempts
    assert attempts is not None
    assert attempts.count is not None
    assert attempts.count.value == 3
    assert attempts.when is not None
    assert attempts.when.source == "completed()"


def test_literal_conditions() -> None:
    edges = graph("tasks: {a: {next: [{when: true, do: b}, {when: false, do: b}]}, b: null}").tasks["a"].edges

    assert edges[0].when is None
    assert edges[1].when is not None
    assert edges[1].when.source == "false"


def test_attempts() -> None:
    tasks = graph(
        """
tasks:
  a: {action: x, retry: {count: 2, delay: 1s, backoff: exponential, cap: 1m, jitter: true}}
  b: {action: x, retry: {count: forever, delay: 5}}
  c: {action: x, retry: forever}
"""
    ).tasks
    a, b, c = (tasks[name].attempts for name in "abc")

    assert a is not None
    assert (a.backoff, a.cap_us, a.is_jittered) == ("exponential", 60_000_000, True)
    assert b is not None
    assert b.count is None
    assert c is not None
    assert (c.count, c.backoff, c.cap_us) == (None, "exponential", 300_000_000)


def test_a_retry_always_is_not_a_retry_by_default() -> None:
    """Without a condition a failure is tried again; with `true` a success, too."""
    attempts = graph("tasks: {a: {action: x, retry: {count: 1, when: true}}}").tasks["a"].attempts

    assert attempts is not None
    assert attempts.when is not None
    assert attempts.when.source == "true"


def test_items() -> None:
    tasks = graph(ORQUESTA["items"]).tasks
    names = [items.names for task in tasks.values() if (items := task.items) is not None]

    assert names == [(), ("x",), ("x", "y"), ("x", "y"), ("i",)]
    assert tasks["c"].items is not None
    assert tasks["c"].items.values.value == "<% zip(ctx(xs), ctx(ys)) %>"
    assert tasks["d"].items is not None
    assert tasks["d"].items.concurrency is not None
    assert graph("tasks: {a: {action: x, with: [1, 2]}}").tasks["a"].items is not None


def test_joins_count_tasks_and_know_their_dominators() -> None:
    """A join in a loop is told apart by the activation of the task that all its branches stem from."""
    found = graph(ORQUESTA["join in a loop"])

    assert found.tasks["both"].join == (Group(predecessors=frozenset({"a", "mid"}), need=2),)
    assert found.dominators == {"both": "fork"}
    assert graph(ORQUESTA["several entries"]).dominators == {"c": ""}
    assert graph(ORQUESTA["split"]).dominators == {"g": "d"}
    assert graph(ORQUESTA["join by count"]).tasks["barrier"].join[0].need == 2
    assert graph(ORQUESTA["join zero"]).tasks["b"].join[0].need == 1
    assert graph(ORQUESTA["join on failures"]).tasks["c"].join[0].need == 2


def test_entries_are_named_or_found() -> None:
    assert graph("tasks: {a: null, b: {next: [{do: a}]}, c: null}").entries == ("b", "c")
    loop = "tasks: {a: {next: [{when: '{{ failed() }}', do: a}]}}\n"
    assert graph(loop + "start: a").entries == ("a",)


def test_steps_become_edges_and_joins() -> None:
    found = graph(
        """
name: deploy
input: [version]
steps:
  build: {input: {version: "{{ ctx.version }}"}}
  test: {step: run_tests, after: [build], input: {url: "{{ ctx.build.url }}"}}
  lint: {after: build, on_failure: continue}
  approve: {hook: approval, after: [test, lint], timeout: 1d}
  notify: {after: [build], after_any: [test, lint], publish: {done: true}}
  nothing:
output: {url: "{{ ctx.build.url }}", done: "{{ ctx.done }}"}
"""
    )

    assert found.form == "dependencies"
    assert found.on_unhandled == "drain"
    assert found.entries == ("build", "nothing")
    assert step_of(found.tasks["build"]).name.value == "build"
    assert step_of(found.tasks["test"]).name.value == "run_tests"
    assert isinstance(found.tasks["approve"].action, HookAction)
    succeeded, skipped = found.tasks["build"].edges
    assert succeeded.targets == skipped.targets == ("test", "lint", "notify")
    assert [name for name, _ in succeeded.publish] == ["build"]
    assert skipped.publish == ()
    assert found.tasks["test"].join == ()
    assert found.tasks["approve"].join == (Group(predecessors=frozenset({"test", "lint"}), need=2),)
    assert found.tasks["notify"].join == (
        Group(predecessors=frozenset({"build"}), need=1),
        Group(predecessors=frozenset({"test", "lint"}), need=1),
    )
    assert found.dominators == {}, "nothing runs twice"
    (alone,) = found.tasks["nothing"].edges
    assert alone.targets == ()


def test_a_variable_of_every_branch_is_certain_at_a_join() -> None:
    text = """
tasks:
  a: {next: [{do: [b, c]}]}
  b: {next: [{publish: x=1, do: d}]}
  c: {next: [{publish: y=1, do: d}]}
  d: {join: all, action: "s x={{ ctx.x }} y={{ ctx.y }}"}
"""
    assert check(parse(text, name="x")) == []
    maybe = check(parse(text.replace("join: all", "join: 1"), name="x"))
    assert [problem.kind for problem in maybe] == ["maybe_undefined", "maybe_undefined"]


def test_what_is_asked_for_with_care_is_let_pass() -> None:
    text = 'tasks: {a: {action: s, input: {x: "{{ default(ctx.x, 1) }}", y: "{{ defined(\'x\') }}"}}}'

    assert check(parse(text, name="x")) == []


def _large(size: int) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    for number in range(size):
        following = f"t{number + 1}" if number + 1 < size else "noop"
        tasks[f"t{number}"] = {
            "action": f"core.echo message=<% ctx().v{max(0, number - 1)} %> n={number}",
            "retry": {"count": 3, "delay": 1, "when": "<% failed() %>"},
            "next": [
                {"when": "<% succeeded() %>", "publish": [{f"v{number}": "<% result() %>"}], "do": following},
                {"when": "<% failed() %>", "do": "fail"},
            ],
        }
    return {"version": 1.0, "vars": [{"v0": 1}], "tasks": tasks}


def test_a_thousand_tasks_are_checked_within_a_second() -> None:
    """Here and on a machine that does other things, too: what is measured is the processor's time."""
    document = Document.of(_large(1_000), name="large")

    began = time.process_time()
    problems = check(document)

    assert time.process_time() - began < 5
    assert problems == []


def test_a_chain_backwards_takes_no_longer() -> None:
    """The order of the definition is the author's: an algorithm that needs it forwards would be quadratic."""
    value = _large(1_000)
    value["tasks"] = dict(reversed(value["tasks"].items()))
    document = Document.of(value, name="large")

    began = time.process_time()

    assert check(document) == []
    assert time.process_time() - began < 5


def test_a_way_back_from_each_task_takes_no_longer() -> None:
    """Carried along one edge at a time, each variable would go back a thousand times."""
    value = _large(1_000)
    for number in range(2, 1_000):
        value["tasks"][f"t{number}"]["next"].append({"when": "<% failed() %>", "do": f"t{number - 1}"})
    document = Document.of(value, name="large")

    began = time.process_time()
    problems = check(document)

    assert time.process_time() - began < 5
    assert {problem.severity for problem in problems} <= {"warning"}


_words = st.sampled_from(
    [
        "a",
        "b",
        "all",
        "retry",
        "forever",
        "{{ ctx.a }}",
        "<% result() %>",
        "{{",
        "x in {{ ctx.a }}",
        "core.echo a=1",
        "5s",
        "",
    ]
)
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.floats(allow_nan=False, allow_infinity=False, width=16), _words
)
_fields = st.sampled_from(
    [*HEAD_FIELDS, *TASK_FIELDS, *STEP_FIELDS, "when", "publish", "do", "items", "count", "a", "b", "oops"]
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_fields, inner, max_size=4)),
    max_leaves=20,
)
_tasks = st.dictionaries(
    st.sampled_from(["a", "b", "c", "a b", "noop"]),
    st.one_of(_values, st.dictionaries(st.sampled_from([*TASK_FIELDS, *STEP_FIELDS]), _values, max_size=6)),
    max_size=4,
)


@given(st.dictionaries(st.sampled_from(HEAD_FIELDS), _values, max_size=4), st.sampled_from(["tasks", "steps"]), _tasks)
def test_any_data_is_checked_and_nothing_is_raised(value: dict[str, Any], form: str, tasks: dict[str, Any]) -> None:
    """A definition of a stranger that is data at all gives problems, never another exception."""
    document = Document.of({**value, form: tasks}, name="any")

    problems = check(document)

    assert all(problem.kind in KINDS for problem in problems)
    assert all(problem.message and "\n" not in problem.message for problem in problems)
    if any(problem.severity == "error" for problem in problems):
        with pytest.raises(GraphInvalid):
            compile_graph(document)
    else:
        assert compile_graph(document).graph.tasks


def test_a_word_without_brackets_is_no_condition() -> None:
    """In YAQL `succeeded` is a text, and true; `true` is what it says."""
    text = "tasks: {a: {next: [{when: <% succeeded %>, do: b}, {when: <% true %>, do: b}]}, b: null}"

    found = check(parse(text, name="bare"))

    assert [(problem.kind, problem.path) for problem in found] == [("bad_type", ("tasks", "a", "next", 0, "when"))]
    assert "<% succeeded() %>" in found[0].message
