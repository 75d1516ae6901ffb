"""Expressions of graphs: `{{ … }}` in Jinja's expression syntax, evaluated by an allow-list of our own with a budget.

What stands in `<% … %>` is YAQL and is translated first. See docs/expressions.md for the language.
"""

from __future__ import annotations

from typing import Final

from .graph_closures import Program
from .graph_values import weigh
from .graph_view import EMPTY, Budget, ExpressionError, ExpressionInvalid, Undefined, View
from .graph_yaql import translate

__all__ = ["EMPTY", "Budget", "Expression", "ExpressionError", "ExpressionInvalid", "Undefined", "View"]

YAQL: Final = "<%"
"""What YAQL begins with."""


class Expression:
    """One expression; parsed when it is first needed.

    Args:
        source: What stands between `{{` and `}}`, or YAQL with the `<%` and `%>` around it.
    """

    __slots__ = ("_program", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._program: Program | None = None

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def problems(self) -> tuple[ExpressionInvalid, ...]:
        """Lists all that is wrong with it; parses it now."""
        try:
            found = self._parsed().problems
            return tuple(
                ExpressionInvalid(each.reason, column=1 if self._is_yaql else each.column, kind=each.kind)
                for each in found
            )
        except ExpressionInvalid as problem:
            return (problem,)

    def check(self) -> None:
        """Parses it now. Raises ExpressionInvalid, for the first problem."""
        for problem in self.problems():
            raise problem

    @property
    def variables(self) -> frozenset[str]:
        """Names of `ctx` that it reads by name and does not ask for with `default`, `defined` or `coalesce`.

        Raises:
            ExpressionInvalid: It cannot be parsed.
        """
        return self._parsed().variables

    @property
    def functions(self) -> frozenset[str]:
        """Names that it uses, `ctx` and `result` among them. Raises ExpressionInvalid."""
        return self._parsed().functions

    def evaluate(self, view: View, budget: Budget) -> object:
        """Computes its value: plain JSON, a structure of its own or shared with the view, never changed later.

        Raises:
            ExpressionError: It has none.
            ExpressionInvalid: It is no expression.
        """
        program = self._program or self._parsed()
        if program.problems:
            self.check()
        try:
            budget.step(program.cost)
            value = program.run(view, budget)
            if not program.is_path and type(value) in (list, dict):
                weigh(value, budget)
        except ExpressionError as error:
            raise type(error)(error.reason, column=self._column(error), source=self.source) from None
        except RecursionError:
            raise ExpressionError("the value is nested too deeply", source=self.source) from None
        return value

    def _parsed(self) -> Program:
        if self._program is None:
            # Jinja takes 100 ms and more to import: a worker without graphs does not wait for it.
            from .graph_evaluate import compile_expression  # noqa: PLC0415

            self._program = compile_expression(translate(self.source) if self._is_yaql else self.source)
        return self._program

    @property
    def _is_yaql(self) -> bool:
        return self.source.lstrip().startswith(YAQL)

    def _column(self, error: ExpressionError) -> int:
        """A place in the translation would tell nobody anything."""
        return 0 if self._is_yaql else error.column
