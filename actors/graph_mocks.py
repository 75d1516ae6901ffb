"""Mocks of a rehearsal: what becomes of each task's work, as people write it."""

from __future__ import annotations

from typing import Final, cast

import msgspec

from .errors import ErrorInfo
from .graph_fields import Fields
from .graph_findings import shown
from .graph_model import Graph, Task, TimerAction
from .graph_problem import Path
from .graph_scenario import OUTCOMES, OutcomeStatus, Rule
from .limits import GRAPH_ACTIVATIONS, GRAPH_ITEMS_MAX

RULE_FIELDS: Final = (
    "status",
    "result",
    "results",
    "error",
    "fatal",
    "takes",
    "times",
    "item",
    "activation",
    "attempt",
)
ERROR_FIELDS: Final = ("type", "message", "code")


def read_mocks(fields: Fields, graph: Graph | None, *, is_shared: bool) -> dict[str, tuple[Rule, ...]]:
    """Reads the field `mock`: by task a word, an outcome, or a list of outcomes.

    Args:
        graph: Whose tasks they are; None where nothing is known of it.
        is_shared: Whether they are of several scenarios.
    """
    value = fields.values.get("mock")
    if value is None:
        return {}
    if not isinstance(value, dict):
        fields.bad("mock", "write a mapping of tasks to outcomes")
        return {}
    mocks: dict[str, tuple[Rule, ...]] = {}
    for name, given in cast("dict[str, object]", value).items():
        path = (*fields.at("mock"), name)
        task = None if graph is None else graph.tasks.get(name)
        if graph is not None and task is None:
            text = f"the graph has no task {shown(name)}{fields.findings.nearest(name, graph.tasks)}"
            fields.findings.error_at_key("undefined_target", path, text)
        elif task is not None and (task.action is None or isinstance(task.action, TimerAction)):
            does = "runs nothing and succeeds at once" if task.action is None else "is a timer, whose time passes"
            fields.findings.error_at_key("bad_combination", path, f"task {name!r} {does}: it cannot be mocked")
        rules = _all_rules(fields, path, given, task)
        mocks[name] = tuple(msgspec.structs.replace(rule, is_shared=is_shared) for rule in rules)
    return mocks


def _all_rules(fields: Fields, path: Path, given: object, task: Task | None) -> list[Rule]:
    if isinstance(given, list):
        return [
            rule
            for index, each in enumerate(cast("list[object]", given))
            for rule in _rules(fields, (*path, index), each, task)
        ]
    return _rules(fields, path, given, task)


def _rules(fields: Fields, path: Path, given: object, task: Task | None) -> list[Rule]:
    if isinstance(given, str):
        if given in OUTCOMES:
            return [Rule(status=given)]
        hint = fields.findings.nearest(given, OUTCOMES)
        text = f"{shown(given)} is no outcome; use {', '.join(OUTCOMES)}, or a mapping such as {{result: 1}}{hint}"
        fields.findings.error("bad_value", path, text)
        return []
    inner = Fields(fields.findings, path, given, what="an outcome", known=RULE_FIELDS, uses=[])
    status = inner.choice("status", OUTCOMES, "failed" if inner.has("error") else "succeeded")
    if inner.has("error") and status in ("succeeded", "running"):
        fields.findings.error("bad_combination", inner.at("error"), f"work that is {status} has no error")
    if inner.has("item") and task is not None and task.items is None:
        fields.findings.error("bad_combination", inner.at("item"), f"task {task.name!r} has no items: no 'with'")
    rule = Rule(
        status=cast("OutcomeStatus", status),
        result=inner.values.get("result"),
        error=_error(inner),
        is_final=inner.flag("fatal"),
        takes_us=_takes(inner),
        times=inner.whole("times", 0, low=1, high=GRAPH_ACTIVATIONS),
        item=_number(inner, "item", 0, GRAPH_ITEMS_MAX - 1),
        activation=_number(inner, "activation", 1, GRAPH_ACTIVATIONS),
        attempt=_number(inner, "attempt", 1, GRAPH_ACTIVATIONS),
    )
    return _sequence(inner, rule) if inner.has("results") else [rule]


def _sequence(inner: Fields, rule: Rule) -> list[Rule]:
    """Makes an outcome of each of `results`, every one for once."""
    given = inner.values["results"]
    results = cast("list[object]", given) if isinstance(given, list) else []
    for other in ("result", "times"):
        if inner.has(other):
            text = f"'results' are one after the other, each once: leave {other!r} out"
            inner.findings.error_at_key("bad_combination", inner.at(other), text)
    if not results:
        inner.bad("results", "write a list of results")
        return []
    if len(results) > GRAPH_ITEMS_MAX:
        text = f"there are {len(results)} results; at most {GRAPH_ITEMS_MAX} are allowed"
        inner.findings.error("limit_out_of_range", inner.at("results"), text)
        return []
    return [msgspec.structs.replace(rule, result=each, times=1) for each in results]


def _number(inner: Fields, name: str, low: int, high: int) -> int | None:
    return inner.whole(name, low, low=low, high=high) if inner.has(name) else None


def _takes(inner: Fields) -> int | None:
    return inner.duration("takes") if inner.has("takes") else None


def _error(inner: Fields) -> ErrorInfo | None:
    value = inner.values.get("error")
    if value is None:
        return None
    if isinstance(value, str):
        return ErrorInfo(type="Exception", message=value)
    what = "an error (a text is its message)"
    fields = Fields(inner.findings, inner.at("error"), value, what=what, known=ERROR_FIELDS, uses=[])
    return ErrorInfo(type=fields.text("type", "Exception"), message=fields.text("message"), code=fields.text("code"))
