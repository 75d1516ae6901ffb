"""What a definition's expressions come to in a run, checked: truth of conditions, variables, spans, items.

Every failure is a `Misfit`: it breaks the run, and says which place of the definition had no value, and why.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import cast

from .durations import duration_us
from .errors import ErrorInfo, InvalidDuration, InvalidValue
from .graph_expression import Budget, Expression, ExpressionError, ExpressionInvalid, View
from .graph_model import Assignment, Attempts, Items, Limits
from .graph_state import Activation, ItemsState
from .graph_template import Template
from .limits import (
    GRAPH_ADVANCE_SIZE_MAX,
    GRAPH_ADVANCE_STEPS_MAX,
    GRAPH_ITEMS_MAX,
    RETRIES_MAX,
    RETRY_DELAY_CAP_S,
    VALUE_BYTES_MAX,
)
from .values import encode

ENDLESS = -1
"""Stands for retries without end."""


class Misfit(Exception):
    """A place of the definition that has no value.

    Args:
        kind: As `graph_moves.Broken.kind`.
        where: The place: `tasks.build.next[0].when`.
    """

    def __init__(self, kind: str, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.kind = kind


class Evaluation:
    """Evaluates for one advance; all of it shares a budget.

    Args:
        limits: Of the run.
        statuses: Of each task's newest activation that has ended.
        now_us: The run's time.
        run: What expressions may know of the run.
    """

    def __init__(self, limits: Limits, statuses: Mapping[str, str], now_us: int, run: Mapping[str, object]) -> None:
        self._limits = limits
        self._statuses = statuses
        self._now_us = now_us
        self._run = run
        self._budget = Budget(steps=GRAPH_ADVANCE_STEPS_MAX, size=GRAPH_ADVANCE_SIZE_MAX)
        self._publishable = VALUE_BYTES_MAX

    # --- views ---------------------------------------------------------------------------------------
    def of_variables(self, variables: Mapping[str, object]) -> View:
        """Returns what expressions outside tasks see."""
        return View(variables=variables, statuses=self._statuses, now_us=self._now_us, run=self._run)

    def of(self, activation: Activation) -> View:
        """Returns what a task's expressions see before it has ended."""
        return View(
            variables=activation.scope.values,
            statuses=self._statuses,
            attempt=activation.attempt,
            now_us=self._now_us,
            run=self._run,
        )

    def of_end(self, activation: Activation, status: str, result: object, error: ErrorInfo | None) -> View:
        """Returns what a task's expressions see when it has ended."""
        statuses = cast("dict[str, str]", self._statuses)  # for `ChainMap`, which only reads them here
        return View(
            variables=activation.scope.values,
            result=result,
            status=status,
            error=None if error is None else {"type": error.type, "message": error.message, "code": error.code},
            statuses=ChainMap({activation.task: status}, statuses),
            attempt=activation.attempt,
            now_us=self._now_us,
            run=self._run,
        )

    def of_item(self, activation: Activation, index: int, names: Sequence[str]) -> View:
        """Returns what the input of an item sees."""
        view = self.of(activation)
        item = _items(activation).values[index]
        view.item = item
        if len(names) == 1:
            view.items = {names[0]: item}
        elif names:
            parts = cast("list[object]", item) if isinstance(item, list) else [item]
            view.items = {name: parts[n] if n < len(parts) else None for n, name in enumerate(names)}
        return view

    # --- values ----------------------------------------------------------------------------------------
    def truth(self, condition: Expression, view: View, where: str) -> bool:
        """Evaluates a condition, which has to be true or false. Raises Misfit."""
        try:
            value = condition.evaluate(view, self._budget)
        except (ExpressionError, ExpressionInvalid) as error:
            raise Misfit("expression_error", where, str(error)) from None
        if isinstance(value, bool):
            return value
        raise Misfit("expression_error", where, f"a condition is true or false, and this is {_kind(value)}; compare it")

    def value(self, template: Template, view: View, where: str) -> object:
        """Fills a template in. Raises Misfit."""
        try:
            return template.evaluate(view, self._budget)
        except (ExpressionError, ExpressionInvalid) as error:
            raise Misfit("expression_error", where, str(error)) from None

    def assigned(self, assignments: Sequence[Assignment], view: View, where: str) -> dict[str, object]:
        """Sets variables one after the other; each sees the ones before it. Raises Misfit."""
        values: dict[str, object] = {}
        variables, seen = view.variables, dict(view.variables)
        view.variables = seen
        for name, template in assignments:
            value = self.bounded(self.value(template, view, f"{where}.{name}"), f"{where}.{name}")
            values[name] = seen[name] = value
        view.variables = variables
        return values

    def bounded(self, value: object, where: str) -> object:
        """Returns a variable's value. Raises Misfit when it is too large."""
        if not isinstance(value, (int, float)) and value is not None:
            try:
                size = len(encode(value, where=where))
            except InvalidValue as error:
                raise Misfit("value_limit", where, error.reason) from None
            if size > self._limits.value_bytes:
                bound = f"{size} bytes of JSON, at most {self._limits.value_bytes} are allowed (limits.value)"
                raise Misfit("value_limit", where, f"{bound}; keep large data elsewhere and publish its name")
            self._publishable -= size
            if self._publishable < 0:
                bound = f"one event publishes more than {VALUE_BYTES_MAX} bytes"
                raise Misfit("value_limit", where, f"{bound}; keep large data elsewhere and publish its name")
        return value

    def span_us(self, template: Template | None, view: View, where: str) -> int:
        """Evaluates seconds, or a duration with its unit. Raises Misfit."""
        if template is None:
            return 0
        value = self.value(template, view, where)
        if not isinstance(value, (int, float, str)):
            raise Misfit(
                "expression_error", where, f"a duration is seconds or a text such as '30s', not {_kind(value)}"
            )
        try:
            return duration_us(value, what="duration")
        except InvalidDuration as error:
            raise Misfit("expression_error", where, str(error)) from None

    def text(self, template: Template, view: View, where: str) -> str:
        """Evaluates a name. Raises Misfit."""
        value = self.value(template, view, where)
        if isinstance(value, str) and value:
            return value
        raise Misfit("expression_error", where, f"a name is a text, and this is {_kind(value)}")

    def count(self, template: Template, view: View, where: str, *, most: int) -> int:
        """Evaluates a number of things. Raises Misfit."""
        value = self.value(template, view, where)
        if isinstance(value, int) and not isinstance(value, bool) and value <= most:
            return max(0, value)
        raise Misfit("expression_error", where, f"a whole number up to {most} is needed, and this is {_kind(value)}")

    def items(self, items: Items, view: View, where: str) -> tuple[list[object], int]:
        """Evaluates the list of items, and how many are under way at once. Raises Misfit."""
        values = self.value(items.values, view, f"{where}.items")
        if not isinstance(values, list):
            raise Misfit("expression_error", where, f"items are a list, and this is {_kind(values)}")
        values = cast("list[object]", values)
        if len(values) > GRAPH_ITEMS_MAX:
            raise Misfit("items_limit", where, f"{len(values)} items, at most {GRAPH_ITEMS_MAX}; take them in portions")
        if items.concurrency is None:
            return values, 0
        return values, max(1, self.count(items.concurrency, view, f"{where}.concurrency", most=GRAPH_ITEMS_MAX))

    def retries(self, attempts: Attempts, view: View, where: str) -> int:
        """Evaluates how many attempts may follow the first; `ENDLESS` for any number. Raises Misfit."""
        if attempts.count is None:
            return ENDLESS
        return self.count(attempts.count, view, f"{where}.count", most=RETRIES_MAX)

    def arguments(self, template: Template, view: View, where: str) -> tuple[list[object], dict[str, object]]:
        """Evaluates an action's input, by position or by name. Raises Misfit."""
        value = self.value(template, view, where)
        if value is None:
            return [], {}
        if isinstance(value, dict):
            return [], cast("dict[str, object]", value)
        if isinstance(value, list):
            return cast("list[object]", value), {}
        raise Misfit("expression_error", where, f"input is a mapping or a list, and this is {_kind(value)}")


def backoff_us(attempts: Attempts, delay_us: int, ended: int) -> int:
    """Computes the delay before the next attempt, without jitter.

    Args:
        delay_us: The policy's first delay.
        ended: The attempt that has ended, from 1.
    """
    factor = 1 if attempts.backoff == "fixed" else ended if attempts.backoff == "linear" else 1 << min(ended - 1, 40)
    cap_us = attempts.cap_us or max(delay_us, int(RETRY_DELAY_CAP_S * 1e6))
    return min(delay_us * factor, cap_us)


def _items(activation: Activation) -> ItemsState:
    if activation.items is None:
        raise ValueError(f"activation {activation.id} has no items")
    return activation.items


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:40]!r}"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return type(value).__name__
