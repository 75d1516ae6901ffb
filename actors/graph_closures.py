"""Closures of expressions: what the nodes become. Each takes the view and the budget, and yields a value or raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from .graph_names import Node
from .graph_values import elements, kind, text, whole
from .graph_view import Budget, ExpressionError, ExpressionInvalid, Undefined, View, shown


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """An expression that is ready to be evaluated, as often as wanted."""

    run: Node
    cost: int
    """Steps of its nodes; what touches elements pays for them when it does."""
    is_path: bool
    """It only looks up what is there and makes nothing."""
    variables: frozenset[str]
    functions: frozenset[str]
    problems: tuple[ExpressionInvalid, ...]


def placed(error: ExpressionError, column: int) -> ExpressionError:
    """Returns the error with its column, where it has none yet."""
    return error if error.column else type(error)(error.reason, column=column)


def constant(value: object) -> Node:
    """Yields the same value always."""
    return lambda view, budget: value


def two(operator: Callable[[object, object, Budget], object], left: Node, right: Node, column: int) -> Node:
    """Applies an operator to two operands."""

    def run(view: View, budget: Budget) -> object:
        one, other = left(view, budget), right(view, budget)
        try:
            return operator(one, other, budget)
        except ExpressionError as error:
            raise placed(error, column) from None

    return run


def keyed(read: Callable[[View, object], object], key: Node, column: int) -> Node:
    """Reads something of the view by a name that is computed."""

    def run(view: View, budget: Budget) -> object:
        name = key(view, budget)
        try:
            return read(view, name)
        except ExpressionError as error:
            raise placed(error, column) from None

    return run


def key(inner: Node, key: str, column: int) -> Node:
    """Looks up a key that is known; a key of null is undefined, too."""

    def run(view: View, budget: Budget) -> object:
        value = inner(view, budget)
        sort = type(value)
        if sort is dict:
            fields = cast("dict[str, object]", value)
            if key in fields:
                return fields[key]
        if sort is dict or value is None:
            raise Undefined(f"{'null' if value is None else 'the mapping'} has no key {shown(key)}", column=column)
        raise ExpressionError(f"{kind(value)} has no key {shown(key)}", column=column)

    return run


def look_up(value: object, key: object, budget: Budget) -> object:
    """Looks up a key or an index. Raises Undefined where there is none."""
    if type(value) is dict:
        name = text(key, "a mapping's key")
        if name not in value:
            raise Undefined(f"the mapping has no key {shown(name)}")
        return cast("dict[str, object]", value)[name]
    if value is None:
        raise Undefined("null has no elements")
    found = value if type(value) is str else elements(value, "[]")
    index = whole(key, "an index")
    if not -len(found) <= index < len(found):
        raise Undefined(f"there is no element {index} of {len(found)}")
    return found[index]


def applied(call: Callable[..., object], arguments: list[Node], options: dict[str, Node], column: int) -> Node:
    """Calls a pure function."""

    def run(view: View, budget: Budget) -> object:
        values = [argument(view, budget) for argument in arguments]
        named = {key: option(view, budget) for key, option in options.items()}
        try:
            return call(budget, *values, **named)
        except ExpressionError as error:
            raise placed(error, column) from None

    return run


def is_defined(inner: Node) -> Node:
    """Tells whether there is a value; an error of another kind stays one."""

    def run(view: View, budget: Budget) -> object:
        try:
            inner(view, budget)
        except Undefined:
            return False
        return True

    return run


def default(inner: Node, fallback: Node, also: Node) -> Node:
    """Yields another value for what is undefined and, where `also` is true, for what is false, empty or null."""

    def run(view: View, budget: Budget) -> object:
        try:
            value = inner(view, budget)
        except Undefined:
            return fallback(view, budget)
        return value if value or not also(view, budget) else fallback(view, budget)

    return run


def coalesce(parts: list[Node]) -> Node:
    """Yields the first value that is defined and not null; null where there is none."""

    def run(view: View, budget: Budget) -> object:
        for each in parts:
            try:
                value = each(view, budget)
            except Undefined:
                continue
            if value is not None:
                return value
        return None

    return run
