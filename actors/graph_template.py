"""Templates: JSON in which texts may hold expressions. A text that is one expression keeps the value's type.

STAND-IN of the contract: the real one comes with its own commit.
"""

from __future__ import annotations

from .graph_expression import Budget, Expression, View


class Template:
    """A JSON value with expressions in its texts; what they yield is data and never evaluated again.

    Args:
        value: As the definition has it. Texts may hold `{{ … }}` (any number) or `<% … %>`, not both.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    @property
    def is_constant(self) -> bool:
        """Whether no text of it holds an expression."""
        raise NotImplementedError

    def expressions(self) -> list[tuple[tuple[str | int, ...], Expression]]:
        """Lists its expressions, each with the path of its text within the value. Raises ExpressionInvalid (with `path`)."""
        raise NotImplementedError

    def evaluate(self, view: View, budget: Budget) -> object:
        """Fills the expressions in.

        Raises:
            ExpressionError: One of them has no value.
        """
        raise NotImplementedError
