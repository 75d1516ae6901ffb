"""Graph runs under unusual, legal use: on the twin, crashed after each record, and as strangers start them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetrun.actors import load_graph, step, workflow
from jetrun.actors.errors import JetrunError, RunFailed
from jetrun.actors.graph_workflow import GRAPH_WORKFLOW, GRAPHS, GraphWorkflow
from jetrun.actors.workflow import Call
from jetrun.client import testing

LARGE = 250_000


@step
def double(x: int) -> int:
    return x * 2


@step
def large(size: int) -> str:
    return "x" * size


@step
def size_of(x: str) -> int:
    return len(x)


@step(name="core.echo")
def echo(**given: Any) -> Any:
    return given


@workflow
async def child(x: str) -> int:
    return len(x)


DEFINITIONS: list[Any] = [double, large, size_of, echo, child]

STATUS = "{{ ctx.text ~ (task_status('instant') or 'none') }}"
LARGE_DEFINITION = {
    "vars": {"text": "v" * LARGE},
    "tasks": {
        "s": {"next": [{"do": ["called", "instant"]}]},
        "called": {"workflow": "child", "input": {"x": STATUS}, "next": [{"publish": {"n": "{{ result() }}"}}]},
        "instant": {},
    },
    "output": {"n": "{{ ctx.n }}"},
}
LARGE_RESULTS = {
    "tasks": {
        "a": {"step": "large", "input": {"size": LARGE}, "next": [{"publish": {"y": "{{ result() }}"}, "do": "b, c"}]},
        "b": {
            "step": "size_of",
            "input": {"x": "{{ ctx.y }}"},
            "next": [{"publish": {"b": "{{ result() }}"}, "do": "d"}],
        },
        "c": {
            "workflow": "child",
            "input": {"x": "{{ ctx.y }}"},
            "next": [{"publish": {"c": "{{ result() }}"}, "do": "d"}],
        },
        "d": {"join": "all", "next": [{"publish": {"z": "{{ ctx.y }}"}}]},
    },
    "output": {"sum": "{{ ctx.b + ctx.c + (ctx.z | length) }}"},
}
LARGE_ITEMS = {
    "tasks": {
        "a": {
            "with": "x in {{ range(12) }}",
            "step": "large",
            "input": {"size": 20_000},
            "next": [{"publish": {"y": "{{ result() }}"}, "do": "b"}],
        },
        "b": {
            "with": "x in {{ ctx.y }}",
            "step": "size_of",
            "input": {"x": "{{ item('x') }}"},
            "next": [{"publish": {"n": "{{ result() | sum }}"}}],
        },
    },
    "output": {"n": "{{ ctx.n }}"},
}
BAD_NAMES = {
    "vars": {"name": "a b"},
    "tasks": {
        "a": {
            "workflow": "{{ ctx.name }}",
            "next": [{"when": "{{ failed() }}", "publish": {"e": "{{ error().type }}"}, "do": ["b", "c"]}],
        },
        "b": {
            "hook": "{{ ctx.name }}",
            "next": [{"when": "{{ failed() }}", "publish": {"f": "{{ error().type }}"}, "do": "noop"}],
        },
        "c": {"step": "double", "input": {"x": 2}, "next": [{"publish": {"g": "{{ result() }}"}}]},
    },
    "output": {"all": ["{{ ctx.e }}", "{{ ctx.f }}", "{{ ctx.g }}"]},
}
BROKEN_BESIDE_INSTANT = {"tasks": {"a": {}, "w": {"wait": "1s"}, "b": {"run_if": "{{ 1 / 0 > 1 }}"}}}


def graph(definition: dict[str, Any]) -> GraphWorkflow:
    return load_graph(definition, name="deploy")


@pytest.mark.parametrize(
    ("definition", "output"),
    [
        (LARGE_DEFINITION, {"n": LARGE + len("none")}),
        (LARGE_RESULTS, {"sum": 3 * LARGE}),
        (LARGE_ITEMS, {"n": 240_000}),
        (BAD_NAMES, {"all": ["InvalidName", "InvalidName", 4]}),
    ],
    ids=["definition", "results", "items", "names"],
)
def test_a_graph_survives_every_crash(definition: dict[str, Any], output: object) -> None:
    """What is too large for a record is read again from the object store, and no expression evaluated again."""
    deploy = graph(definition)

    assert testing.run(deploy.call(), *DEFINITIONS, deploy) == output
    testing.survives_every_crash(deploy.call(), *DEFINITIONS, deploy)


def test_a_run_that_its_definition_breaks_survives_every_crash() -> None:
    """It fails, with and without crash, and waits for nothing that nobody ends."""
    deploy = graph(BROKEN_BESIDE_INSTANT)

    with pytest.raises(RunFailed, match="divides by zero"):
        testing.run(deploy.call(), deploy)
    testing.survives_every_crash(deploy.call(), deploy)


def test_results_and_arguments_have_any_names() -> None:
    """A result is data; `self` is a name like every other."""
    given = {"__class__": 1, "self": "{{ 1 + 1 }}", "a b": [{"": None}]}
    task = {"step": "core.echo", "input": "{{ ctx.given }}", "next": [{"publish": {"seen": "{{ result() }}"}}]}
    definition = {"input": ["given"], "tasks": {"a": task}, "output": {"seen": "{{ ctx.seen }}"}}

    assert testing.run(GRAPHS.call(definition=definition, input={"given": given}), echo) == {"seen": given}


def started_with(carry: dict[str, Any], workflow_name: str = GRAPH_WORKFLOW, **more: object) -> Call[Any]:
    kwargs = msgspec.json.encode(more) if more else None
    return Call(workflow_name, msgspec.json.encode([carry]), kwargs, Any)


def test_a_carry_of_another_definition_is_refused_for_a_registered_graph() -> None:
    """Permissions are given by workflow: any definition is for `jetrun-graph` alone."""
    deploy = graph({"tasks": {"a": {"step": "double", "input": {"x": 1}}}})
    other: dict[str, Any] = {
        "definition": {"tasks": {"a": {"step": "large", "input": {"size": 1}}}},
        "started_at_us": 0,
    }
    same: dict[str, Any] = {"definition": deploy.definition.value, "started_at_us": 0}

    with pytest.raises(JetrunError, match="begin it as a run of jetrun-graph"):
        testing.run(started_with(other, "deploy"), *DEFINITIONS, deploy)
    assert testing.run(started_with(same, "deploy"), *DEFINITIONS, deploy) is None
    assert testing.run(started_with(other), *DEFINITIONS) is None


def test_a_carry_and_a_definition_exclude_each_other() -> None:
    """One of the two would be ignored in silence."""
    carry: dict[str, Any] = {"definition": {"tasks": {"a": {}}}, "started_at_us": 0}

    with pytest.raises(JetrunError, match="takes nothing else"):
        testing.run(started_with(carry, definition={"tasks": {"b": {}}}))
