"""`select(list, …)` and `where(list, …)`: an expression that is evaluated for each element, which it sees as `each`."""

from __future__ import annotations

from typing import Final

import msgspec

from .graph_closures import placed
from .graph_names import Node
from .graph_values import elements
from .graph_view import Budget, ExpressionError, View

EACH: Final = "each"
"""The element's name; the innermost one's, where one such function stands within another."""

PER_ELEMENT: Final = frozenset({"select", "where"})
"""Functions whose second argument is evaluated per element."""


def element(view: View, budget: Budget) -> object:
    """Reads `each`; the compiler lets it stand only where there is one."""
    return view.each


def per_element(name: str, values: Node, body: Node, cost: int, column: int) -> Node:
    """Makes a list of what the body yields for each element (`select`), or of the elements for which that is true (`where`).

    Args:
        cost: Steps of the body, paid per element before the first is looked at.
    """

    def run(view: View, budget: Budget) -> object:
        given = values(view, budget)
        try:
            found = elements(given, name)
            budget.step(len(found) * cost)
            budget.make(len(found))
        except ExpressionError as error:
            raise placed(error, column) from None
        scope = msgspec.structs.replace(view)
        made: list[object] = []
        for each in found:
            scope.each = each
            value = body(scope, budget)
            if name == "select":
                made.append(value)
            elif value:
                made.append(each)
        return made

    return run
