"""The builder of graphs: what it makes is data, what it refuses is one line, and no result is lost in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jetrun.actors import (
    DefinitionError,
    Graph,
    InvalidName,
    InvalidValue,
    define_hook,
    step,
    workflow,
)
from jetrun.actors.graph_problem import GraphInvalid

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "graphs-in-python.md"


@step(max_retries=0)
def build(target: str = "all") -> dict[str, str]:
    raise AssertionError("a builder runs nothing")


@step(max_retries=0)
def verify(url: str, *, deep: bool = False) -> int:
    raise AssertionError("a builder runs nothing")


@step(max_retries=0)
def lint() -> None: ...


@step(max_retries=0)
def notify(**fields: str) -> None: ...


@workflow
async def payment(order: str) -> None: ...


def steps_of(graph: Graph) -> dict[str, Any]:
    steps = graph.definition()["steps"]
    assert isinstance(steps, dict)
    return steps


# --- what is made ------------------------------------------------------------------------------------------


def test_a_graph_is_plain_data_of_the_dependency_form() -> None:
    """A definition that were no data could not be stored, shown, or resumed by another process."""
    graph = (
        Graph("deploy", description="builds", tags=["ci"])
        .input("commit")
        .input("count", default=3)
        .vars({"tries": 0}, url="{{ ctx.commit }}")
        .step(build)
        .step(verify, name="test", after=[build], input={"url": "{{ ctx.build.url }}"}, timeout=timedelta(minutes=1.5))
        .step("deploy-it", queue="ops", after=["test"], run_if="{{ ctx.test == 0 }}", delay="{{ ctx.count }}")
        .step(lint, with_items="x in {{ ctx.xs }}", concurrency=2, items_on_failure="cancel_rest", retry=2)
        .child(payment, after=[lint], input=["o-1"], app="shop")
        .wait(90, name="pause", after_any=[build, lint])
        .hook("approval", after=["pause"], timeout=5, on_failure="continue")
        .step(notify, after_any=["test", payment], on_failure="retry", publish={"a": 1, "b": "{{ ctx.a }}"})
        .output({"url": "{{ ctx.build.url }}"})
        .limits(duration="1h", iterations=10)
        .limits(value="1MiB")
        .options(on_unhandled="fail_fast", on_cancel="allow_finish")
    )

    assert graph.definition() == {
        "name": "deploy",
        "description": "builds",
        "tags": ["ci"],
        "limits": {"duration": "1h", "iterations": 10, "value": "1MiB"},
        "on_unhandled": "fail_fast",
        "on_cancel": "allow_finish",
        "input": ["commit", {"count": 3}],
        "vars": [{"tries": 0}, {"url": "{{ ctx.commit }}"}],
        "output": [{"url": "{{ ctx.build.url }}"}],
        "steps": {
            "build": {},
            "test": {
                "after": ["build"],
                "step": "verify",
                "input": {"url": "{{ ctx.build.url }}"},
                "timeout": "1m30s",
            },
            "deploy-it": {
                "after": ["test"],
                "queue": "ops",
                "run_if": "{{ ctx.test == 0 }}",
                "delay": "{{ ctx.count }}",
            },
            "lint": {
                "with": {"items": "x in {{ ctx.xs }}", "concurrency": 2, "on_failure": "cancel_rest"},
                "retry": {"count": 2},
            },
            "payment": {"after": ["lint"], "workflow": "payment", "app": "shop", "input": ["o-1"]},
            "pause": {"after_any": ["build", "lint"], "wait": "1m30s"},
            "approval": {"after": ["pause"], "hook": "approval", "timeout": "5s", "on_failure": "continue"},
            "notify": {
                "after_any": ["test", "payment"],
                "retry": "forever",
                "publish": [{"a": 1}, {"b": "{{ ctx.a }}"}],
            },
        },
    }
    assert (graph.name, graph.version, graph.inputs) == ("deploy", 1, ("commit", "count"))
    assert graph.max_duration_us == 3_600_000_000
    assert graph.place.startswith(__file__)


def test_every_call_returns_a_new_graph_and_changes_none() -> None:
    """Two graphs share a beginning; neither may show in the other, nor in what was registered before."""
    base = Graph("base").step(build)
    before = base.definition()

    one = base.step(lint, after=[build])
    two = base.input("x").output(y=1).options(on_cancel="allow_finish").limits(iterations=1)
    made = one.definition()
    made["steps"] = None

    assert base.definition() == before
    assert list(steps_of(one)) == ["build", "lint"]
    assert list(steps_of(two)) == ["build"]
    with pytest.raises(AttributeError):
        base.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_what_is_given_may_change_afterwards() -> None:
    """A list that its owner goes on with must not change the graph."""
    needs, values = ["build"], {"url": ["a"]}
    graph = Graph("g").step(build).step(verify, after=needs, input=values)
    before = graph.definition()

    needs.append("other")
    values["url"].append("b")

    assert graph.definition() == before


# --- dependencies ------------------------------------------------------------------------------------------

ITERABLES: list[Iterable[Any]] = [
    ["build", lint],
    ("build", lint),
    {"lint", "build"},
    frozenset({build, lint}),
    {"build": 1, "lint": 2},
    {"build": 1, "lint": 2}.keys(),
    (name for name in ("build", "lint")),
]


@pytest.mark.parametrize("needs", ITERABLES)
def test_dependencies_come_in_any_iterable(needs: Iterable[Any]) -> None:
    """W11: whoever has a set, a generator or steps shall not have to convert; a set's order is not to be seen."""
    graph = Graph("g").step(build).step(lint).step(notify, after=needs)

    assert steps_of(graph)["notify"] == {"after": ["build", "lint"]}


def test_an_object_means_the_entry_that_was_made_of_it() -> None:
    """Under another name, added later, with other options: it is the same step, workflow or graph."""
    inner = Graph("inner").step(build)
    graph = (
        Graph("g")
        .step(notify, after=[build.options(queue="fast"), payment, inner])
        .step(build, name="compile")
        .child(payment, name="pay", input=["o-1"])
        .child(inner, name="again")
        .step(lint, name="lint-2", after=[lint])
        .step(lint)
    )

    assert steps_of(graph)["notify"]["after"] == ["compile", "pay", "again"]
    assert steps_of(graph)["lint-2"]["after"] == ["lint"]


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ("build", 'is a bare text; write ["build"]'),
        ("", 'is a bare text; write [""]'),
        (build, "stands alone; write [build]"),
        (payment, "stands alone; write [payment]"),
        (Graph("g"), "stands alone; write [g]"),
        (b"build", "use a list of names, steps or workflows"),
        (None, "use a list of names, steps or workflows"),
        (5, "use a list of names, steps or workflows"),
        ([build, 5], "after holds 5; use names, steps or workflows"),
        ([["build"]], "after holds ['build']; use names, steps or workflows"),
        ([print], "after holds <built-in function print>; use names, steps or workflows"),
    ],
)
def test_what_is_no_list_of_dependencies_is_refused(needs: Any, said: str) -> None:
    """W11: a text is a list of its letters to Python, and no letter is a step."""
    with pytest.raises(DefinitionError, match="entry 'lint' of graph 'g': after") as refused:
        Graph("g").step(lint, after=needs)
    assert said in str(refused.value)
    with pytest.raises(DefinitionError, match="after_any"):
        Graph("g").step(lint, after_any=needs)


def test_what_concerns_several_entries_is_reported_together() -> None:
    """W27: one name twice and an object of two meanings, each with its path, in one pass."""
    graph = (
        Graph("g")
        .step(build, name="a")
        .step(build, name="b")
        .step(lint, after=[build])
        .step(lint)
        .step(notify, name="a")
    )

    with pytest.raises(GraphInvalid) as refused:
        graph.definition()

    found = {problem.where: (problem.kind, problem.message) for problem in refused.value.problems}
    assert sorted(found) == ["steps.a", "steps.lint", "steps.lint.after[0]"]
    assert found["steps.lint.after[0]"] == (
        "ambiguous_dependency",
        "'build' was made into 'a', 'b'; write the name of one of them",
    )
    kind, message = found["steps.a"]
    assert kind == "duplicate_key"
    assert re.fullmatch(rf"added at {re.escape(__file__)}:\d+ and at {re.escape(__file__)}:\d+; give .*", message)


def test_unknown_names_cycles_and_the_rest_are_found_by_check() -> None:
    """W11, W27: what a document can get wrong is found by the same compiler, all of it in one pass with the builder's own."""
    graph = (
        Graph("g")
        .step(build, after=["builds", notify])
        .step(lint, after=[lint])
        .step("x", after_any=["y"])
        .step("y", after=["x"])
        .step("y")
    )

    found = [problem for problem in graph.check() if problem.severity == "error"]

    wanted = {"missing_dependency": 2, "dependency_cycle": 2, "duplicate_key": 1}
    assert {kind: sum(problem.kind == kind for problem in found) for kind in wanted} == wanted
    assert all(problem.path for problem in found)
    assert [problem.kind for problem in Graph("empty").check()] == ["no_tasks"]
    assert Graph("good").step(build).check() == []


# --- conditions, names, arguments --------------------------------------------------------------------------


def test_a_condition_is_an_expression_and_no_function() -> None:
    """W29: a closure cannot be stored, so a run with it could not be resumed."""
    ready: Any = lambda: True  # noqa: E731
    with pytest.raises(DefinitionError, match="run_if is a Python function, which cannot be stored and resumed; write"):
        Graph("g").step(lint, run_if=ready)
    with pytest.raises(DefinitionError, match="retry when is a Python function, which cannot be stored"):
        Graph("g").step(lint, retry={"count": 1, "when": ready})
    for text in ("ctx.x > 1", "", "yes {{ ctx.x }}"):
        with pytest.raises(DefinitionError, match=r"run_if=.* is no expression; write it as '\{\{ … \}\}'"):
            Graph("g").step(lint, run_if=text)
    always: Any = True
    with pytest.raises(DefinitionError, match="run_if=True; write an expression"):
        Graph("g").step(lint, run_if=always)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "u", "deep": True}, ""),
        (["u"], ""),
        ("{{ ctx.arguments }}", ""),
        (None, "argument 'url' of step verify: missing"),
        ({"uri": "u"}, "argument 'uri' of step verify: no such parameter; it takes url, deep"),
        (["u", True], "takes at most 1 by position, got 2"),
        ("u", "input='u' is no expression"),
        (5, "input=5; use a mapping, a list, or one expression"),
    ],
)
def test_arguments_are_checked_against_the_parameters(given: Any, said: str) -> None:
    """A misspelt name is found where it is written, and not by a run on Friday night. Nothing is run for it."""
    if not said:
        assert steps_of(Graph("g").step(verify, input=given))["verify"] == {"input": given}
        return
    with pytest.raises(DefinitionError, match="entry 'verify' of graph 'g'") as refused:
        Graph("g").step(verify, input=given)
    assert said in str(refused.value)


def test_inputs_of_children_are_checked() -> None:
    """A workflow's parameters, another graph's inputs."""
    inner = Graph("inner").input("x").step(lint)

    assert steps_of(Graph("g").child(inner, input={"x": 1}))["inner"] == {"workflow": "inner", "input": {"x": 1}}
    with pytest.raises(InvalidValue, match="input 'y': no such input; it takes x"):
        Graph("g").child(inner, input={"y": 1})
    with pytest.raises(InvalidValue, match="inputs of a graph are given by name"):
        Graph("g").child(inner, input=[1])
    with pytest.raises(DefinitionError, match="argument 'order' of workflow payment: missing"):
        Graph("g").child(payment)


@pytest.mark.parametrize(
    ("add", "kind", "said"),
    [
        (lambda: Graph("a b"), InvalidName, "workflow name 'a b' contains ' '"),
        (lambda: Graph("jetrun-x"), InvalidName, "which is the engine's own"),
        (lambda: Graph("g", version=0), DefinitionError, "version=0; use a whole number from 1"),
        (lambda: Graph("g", tags="ab"), DefinitionError, "tags='ab'; use a list of texts"),
        (lambda: Graph("g").step("a b"), InvalidName, "step name 'a b' contains ' '"),
        (lambda: Graph("g").step("{{ ctx.x }}"), DefinitionError, "is an expression; give the entry a name="),
        (lambda: Graph("g").step("a", queue="*"), InvalidName, "queue '*'"),
        (lambda: Graph("g").step("a", name=""), DefinitionError, "has name=''; use a text"),
        (lambda: Graph("g").step(print), DefinitionError, "decorate it with @step"),  # type: ignore[arg-type]
        (lambda: Graph("g").step(payment), DefinitionError, "is no step"),  # type: ignore[arg-type]
        (lambda: Graph("g").child(build), DefinitionError, "is no workflow"),  # type: ignore[arg-type]
        (lambda: Graph("g").step("a", on_failure="stop"), DefinitionError, "use one of fail, continue, retry"),  # type: ignore[arg-type]
        (lambda: Graph("g").step("a", timeout="5"), DefinitionError, "has no unit; write '5s'"),
        (lambda: Graph("g").step("a", timeout="{{ ctx.t }}"), DefinitionError, "is an expression; write a duration"),
        (lambda: Graph("g").step("a", delay=-1), DefinitionError, "is negative"),
        (lambda: Graph("g").step("a", concurrency=1), DefinitionError, "which is not given"),
        (lambda: Graph("g").step("a", with_items=[1], concurrency=0), DefinitionError, "from 1 to"),
        (lambda: Graph("g").step("a", with_items="abc"), DefinitionError, "is no expression"),
        (lambda: Graph("g").step("a", with_items=5), DefinitionError, "use a list"),  # type: ignore[arg-type]
        (lambda: Graph("g").step("a", with_items=[0] * 10_001), DefinitionError, "at most 10000"),
        (lambda: Graph("g").step("a", publish=["x"]), DefinitionError, "use a mapping"),  # type: ignore[arg-type]
        (lambda: Graph("g").step("a", input={"x": float("nan")}), InvalidValue, "input of|input"),
        (lambda: Graph("g").step("a", input={"x": object()}), InvalidValue, "cannot become JSON"),
        (lambda: Graph("g").input("x").input("x"), DefinitionError, "has an input 'x' already"),
        (lambda: Graph("g").output({1: 2}), DefinitionError, "use texts as names"),  # type: ignore[dict-item]
        (lambda: Graph("g").limits(duration="x"), DefinitionError, "is no duration"),
        (lambda: Graph("g").options(on_cancel="x"), DefinitionError, "use one of cancel_running"),  # type: ignore[arg-type]
        (lambda: Graph("g").call(x=1), InvalidValue, "no such input; it takes none"),
    ],
)
def test_what_is_wrong_within_one_call_is_refused_there(
    add: Callable[[], object], kind: type[Exception], said: str
) -> None:
    """One clear line at the line that is wrong."""
    with pytest.raises(kind, match=said) as refused:
        add()
    assert "\n" not in str(refused.value)


# --- the rest ------------------------------------------------------------------------------------------------


def test_a_hook_may_be_a_typed_one_and_a_wait_an_expression() -> None:
    """Names come from where they are defined."""
    graph = Graph("g").hook(define_hook("approval", dict[str, bool])).wait("{{ ctx.s }}", name="w", run_if="{{ true }}")

    assert steps_of(graph) == {
        "approval": {"hook": "approval"},
        "w": {"wait": "{{ ctx.s }}", "run_if": "{{ true }}"},
    }


def test_call_binds_inputs_by_name() -> None:
    """What a client starts: the name and JSON, as for any workflow; defaults are the definition's."""
    made = Graph("g").input("x").input("self", default=1).step(lint).call(x=[1], self=2)

    assert (made.workflow, made.args, json.loads(made.kwargs or b"")) == ("g", b"[]", {"x": [1], "self": 2})


def test_yaml_says_the_same() -> None:
    """The document is the definition, with no aliases, whatever was shared when it was built."""
    shared = {"url": ["a", "yes", "12:30", "0o7"]}
    graph = Graph("g").step("a", input=shared).step("b", input=shared, after=["a"])

    text = graph.to_yaml()

    assert yaml.safe_load(text) == graph.definition()
    assert "&" not in text
    assert list(yaml.safe_load(text)["steps"]) == ["a", "b"]


NAMES = st.sampled_from(["a", "b", "c", "d"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
SPANS = st.integers(0, 10**6) | st.timedeltas(timedelta(0), timedelta(days=400)) | st.just("{{ ctx.s }}")


NEEDS = st.lists(NAMES | st.just(payment), max_size=3)
METHODS: dict[str, tuple[st.SearchStrategy[tuple[Any, ...]], dict[str, st.SearchStrategy[Any]]]] = {
    "step": (
        st.tuples(st.sampled_from([build, lint, "named"])),
        {
            "after": NEEDS.map(tuple),
            "with_items": st.none() | st.lists(JSON, max_size=3),
            "publish": st.none() | st.dictionaries(NAMES, JSON, max_size=3),
            "retry": st.none() | st.integers(0, 9) | st.just("forever"),
            "delay": SPANS,
        },
    ),
    "child": (st.just(("other",)), {"after_any": NEEDS, "input": st.fixed_dictionaries({"x": JSON})}),
    "wait": (st.tuples(SPANS), {"after": NEEDS}),
    "hook": (st.just(("h",)), {"after": NEEDS}),
    "output": (st.tuples(st.dictionaries(NAMES, JSON)), {}),
    "vars": (st.tuples(st.dictionaries(NAMES, JSON)), {}),
}


def calls(method: str) -> st.SearchStrategy[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    args, options = METHODS[method]
    return st.tuples(st.just(method), args, st.fixed_dictionaries(options))


@settings(max_examples=50)
@given(st.lists(st.sampled_from(sorted(METHODS)).flatmap(calls), max_size=4))
def test_definitions_survive_json_and_yaml(history: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    """Whatever is built is data: read back it is the same, and no graph on the way was changed by the next."""
    made = [Graph("g")]
    seen = [made[0].definition()]
    names: list[str] = []
    for method, args, options in history:
        if method not in ("output", "vars"):
            names.append(f"e{len(names)}")
            options = {**options, "name": names[-1]}
        made.append(getattr(made[-1], method)(*args, **options))
        seen.append(made[-1].definition())

    assert [graph.definition() for graph in made] == seen
    assert all(json.loads(json.dumps(definition)) == definition for definition in seen)
    assert yaml.safe_load(made[-1].to_yaml()) == seen[-1]
    assert list(steps_of(made[-1])) == names


# --- the page ------------------------------------------------------------------------------------------------


def test_the_example_of_the_page_is_a_graph() -> None:
    """What readers copy works: it is built, and everything that it promises about names and options holds."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    space: dict[str, Any] = {}
    exec(compile(code, "page", "exec"), space)

    graph = space["deploy"]
    steps = steps_of(graph)

    assert list(steps) == ["build", "lint", "test", "approval", "roll_out", "notify"]
    assert steps["build"]["queue"] == "builders"
    assert steps["approval"] == {"after": ["test", "lint"], "hook": "approval", "timeout": "1d"}
    assert steps["notify"]["after_any"] == ["test", "lint"]
    assert json.loads(json.dumps(graph.definition())) == graph.definition()
    assert graph.call(commit="4f2a").workflow == "deploy"


def test_the_example_of_the_page_has_no_problems() -> None:
    """The compiler of documents takes it as it is."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    space: dict[str, Any] = {}
    exec(compile(code, "page", "exec"), space)

    assert space["deploy"].check() == []
