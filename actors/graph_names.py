"""Names of expressions: what each reads of the view, written with or without brackets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, cast

import msgspec

from .graph_values import text
from .graph_view import Budget, ExpressionError, Undefined, View, shown

Node: TypeAlias = Callable[[View, Budget], object]
"""A part of an expression, ready to be evaluated."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FAILED: Final = frozenset({"failed", "timeout"})
PRIVATE: Final = "__"
"""Variables that begin so belong to the engine."""


def private_reason(name: str) -> str:
    """Says why a private variable is refused."""
    return f"the variable {shown(name)} is private: names that begin with two underscores cannot be read"


def variable(view: View, name: object) -> object:
    """Reads `ctx.name`. Raises Undefined."""
    key = text(name, "ctx")
    if key.startswith(PRIVATE):
        raise ExpressionError(private_reason(key))
    if key not in view.variables:
        raise Undefined(f"the variable {shown(key)} is not defined")
    return view.variables[key]


def variables(view: View, budget: Budget) -> object:
    """Reads `ctx` as a whole, without what is private."""
    budget.step(len(view.variables))
    budget.make(len(view.variables))
    return {name: value for name, value in view.variables.items() if not name.startswith(PRIVATE)}


def part(view: View, name: object) -> object:
    """Reads `item('x')` or `item.x`: a named part of the item, else a key of it."""
    key = text(name, "item")
    if key in view.items:
        return view.items[key]
    sort = type(view.item)
    if sort is dict:
        fields = cast("dict[str, object]", view.item)
        if key in fields:
            return fields[key]
    raise Undefined(f"the item has no part {shown(key)}")


def task_status(view: View, name: object) -> object:
    """Reads `task_status('name')`; null for a task that has not run."""
    return view.statuses.get(text(name, "task_status"))


def _item(view: View, budget: Budget) -> object:
    if view.item is not msgspec.UNSET:
        return view.item
    if view.items:
        budget.make(len(view.items))
        return dict(view.items)
    raise Undefined("there is no item here: only a task with items has one")


def _result(view: View, budget: Budget) -> object:
    if view.result is msgspec.UNSET:
        raise Undefined("there is no result here: no task has ended")
    return view.result


def _now(view: View, budget: Budget) -> object:
    try:
        return (_EPOCH + timedelta(microseconds=view.now_us)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise ExpressionError("the time is beyond the year 9999") from None


READERS: Final[dict[str, Node]] = {
    "attempt": lambda view, budget: view.attempt,
    "cancelled": lambda view, budget: view.status == "cancelled",
    "completed": lambda view, budget: bool(view.status),
    "ctx": variables,
    "error": lambda view, budget: view.error,
    "failed": lambda view, budget: view.status in _FAILED,
    "item": _item,
    "now": _now,
    "result": _result,
    "run": lambda view, budget: dict(view.run),
    "skipped": lambda view, budget: view.status == "skipped",
    "succeeded": lambda view, budget: view.status == "succeeded",
    "timed_out": lambda view, budget: view.status == "timeout",
    "timestamp": lambda view, budget: view.now_us / 1_000_000,
}
"""Names that stand alone: `result` or `result()`."""

KEYED: Final[dict[str, Callable[[View, object], object]]] = {"ctx": variable, "item": part, "task_status": task_status}
"""Names that take a name: `ctx('x')`."""
