"""Expressions of graphs: `{{ … }}` in Jinja's expression syntax, evaluated by an allow-list of our own with a budget.

STAND-IN of the contract: the evaluator comes with its own commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from .errors import JetrunError


class ExpressionError(JetrunError):
    """An expression that has no value: an unknown variable, operands that do not go together, a budget used up.

    One line; what is wrong, in which expression, at which column.
    """


class ExpressionInvalid(JetrunError):
    """A text that is no expression.

    Args:
        reason: One line.
        column: From 1, within the expression's source.
        kind: As in `graph_problem.Problem.kind`: `expression_syntax`, `expression_unknown_function`.
    """

    def __init__(self, reason: str, *, column: int = 1, kind: str = "expression_syntax") -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column
        self.kind = kind


class View(msgspec.Struct, kw_only=True):
    """What an expression can see; plain JSON values that nothing changes in place."""

    variables: Mapping[str, object] = {}
    """`ctx.name`, `ctx().name`, `ctx('name')`, `ctx()`."""
    result: object = msgspec.UNSET
    """`result` or `result()`: of the task that has ended."""
    status: str = ""
    """Of the task that has ended: `succeeded`, `failed`, `timeout`, `skipped` or `cancelled`; "" where none has.
    `succeeded()`, `failed()` (also a timeout), `timed_out()`, `skipped()`, `completed()`, each also without brackets."""
    error: object = None
    """`error` or `error()`: mapping with `type`, `message` and `code`, null where nothing has failed."""
    item: object = msgspec.UNSET
    """`item` or `item()`; `item('x')` and `item.x` by name where items have names."""
    items: Mapping[str, object] = {}
    """Parts of the item by name."""
    statuses: Mapping[str, str] = {}
    """`task_status('name')`: of each task's latest activation; null where it has none."""
    attempt: int = 0
    """`attempt`: which attempt has ended, from 1."""
    now_us: int = 0
    """`now()`: the run's time as RFC 3339 text; `timestamp()`: seconds since 1970."""
    run: Mapping[str, object] = {}
    """`run.id`, `run.workflow`, `run.app`."""


class Budget:
    """What may still be spent, by all the expressions of one advance together.

    Args:
        steps: Nodes evaluated and elements touched.
        size: Bytes of text, and elements of lists and mappings, made.
    """

    __slots__ = ("size", "steps")

    def __init__(self, *, steps: int, size: int) -> None:
        self.steps = steps
        self.size = size


EMPTY: Final = View()


class Expression:
    """One expression; parsed when it is first needed.

    Args:
        source: What stands between `{{` and `}}`.
    """

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source

    def check(self) -> None:
        """Parses it now. Raises ExpressionInvalid."""

    @property
    def variables(self) -> frozenset[str]:
        """Names of `ctx` that it reads for certain by name. Raises ExpressionInvalid."""
        return frozenset()

    def evaluate(self, view: View, budget: Budget) -> object:
        """Computes its value: plain JSON, a structure of its own or shared with the view, never changed later.

        Raises:
            ExpressionError: It has none.
        """
        raise NotImplementedError
