"""What expressions can see and spend, and how they fail; known to all modules of expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from .errors import JetrunError
from .graph_problem import Path

_SHOWN_MAX: Final = 60


def shown(value: str, *, length_max: int = _SHOWN_MAX) -> str:
    """Quotes a text for a message, on one line and not longer than `length_max`."""
    return repr(value if len(value) <= length_max else value[: length_max - 1] + "…")


class ExpressionError(JetrunError):
    """An expression that has no value: an unknown variable, operands that do not go together, a budget used up.

    One line; what is wrong, in which expression, at which column.

    Args:
        reason: What is wrong, alone.
        column: From 1, within the expression's source; 0 where it is not known.
        source: The expression; "" where it is not known yet.
    """

    def __init__(self, reason: str, *, column: int = 0, source: str = "") -> None:
        place = f"column {column} of " if column else "in "
        super().__init__(f"{reason} ({place}{shown(source, length_max=120)})" if source else reason)
        self.reason = reason
        self.column = column
        self.source = source


class Undefined(ExpressionError):
    """A variable, key or element that does not exist: what `default` and `defined` catch, and nothing else."""


class ExpressionInvalid(JetrunError):
    """A text that is no expression.

    Args:
        reason: One line.
        column: From 1, within the expression's source.
        kind: As in `graph_problem.Problem.kind`: `expression_syntax`, `expression_unknown_function`, `private_variable`,
            `yaql_not_translatable`.
        path: Of the text within a template's value.
    """

    def __init__(self, reason: str, *, column: int = 1, kind: str = "expression_syntax", path: Path = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column
        self.kind = kind
        self.path = path


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
    each: object = msgspec.UNSET
    """`each`: the element that `select` or `where` looks at."""
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
        size: Characters of text, and elements of lists and mappings, made.
    """

    __slots__ = ("size", "steps")

    def __init__(self, *, steps: int, size: int) -> None:
        self.steps = steps
        self.size = size

    def step(self, count: int = 1) -> None:
        """Pays for work before it is done. Raises ExpressionError when the budget does not allow it."""
        self.steps -= count
        if self.steps < 0:
            raise ExpressionError("takes more steps than are allowed: work on less data, or do it in a step")

    def make(self, size: int) -> None:
        """Pays for what is about to be made. Raises ExpressionError when the budget does not allow it."""
        self.size -= size
        if self.size < 0:
            raise ExpressionError("makes more text or elements than are allowed: make it in a step")


EMPTY: Final = View()
