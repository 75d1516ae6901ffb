"""Operators of expressions on JSON values: what goes together, what it costs, and what it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, cast

from .graph_values import counted, elements, is_before, is_equal, is_in, kind, whole
from .graph_view import Budget, ExpressionError

Operator: TypeAlias = Callable[[object, object, Budget], object]

_POWER_MAX: Final = 64
"""No base but 0, 1 and -1 has a larger power in 64 bits; so much is computed at most."""


def add(left: object, right: object, budget: Budget) -> object:
    """Adds numbers, or joins two texts or two lists."""
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return counted(left + right)
    if type(left) is str and type(right) is str:
        budget.make(len(left) + len(right))
        return left + right
    kinds = (type(left), type(right))
    if kinds == (list, list):
        one, other = cast("list[object]", left), cast("list[object]", right)
        budget.make(len(one) + len(other))
        return one + other
    hint = ""
    if type(left) is str or type(right) is str:
        hint = ": use ~ to join values as text"
    elif kinds == (dict, dict):
        hint = ": use merge(a, b)"
    raise ExpressionError(f"+ does not go between {kind(left)} and {kind(right)}{hint}")


def multiply(left: object, right: object, budget: Budget) -> object:
    """Multiplies numbers, or repeats a text or a list so many times."""
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return counted(left * right)
    if type(left) is str and type(right) is int:
        budget.make(len(left) * max(0, right))
        return left * max(0, right) if left else left
    if kind(left) == "a list" and type(right) is int:
        values = cast("list[object]", left)
        budget.make(len(values) * max(0, right))
        return values * max(0, right) if values else []
    raise ExpressionError(f"* does not go between {kind(left)} and {kind(right)}")


def subtract(left: object, right: object, budget: Budget) -> object:
    """Subtracts numbers."""
    one, other = _numbers(left, right, "-")
    return counted(one - other)


def divide(left: object, right: object, budget: Budget) -> object:
    """Divides numbers; the quotient has a fraction."""
    one, other = _divisible(left, right, "/")
    return counted(_computed(lambda: one / other))


def divide_down(left: object, right: object, budget: Budget) -> object:
    """Divides numbers, rounding down."""
    one, other = _divisible(left, right, "//")
    return counted(_computed(lambda: one // other))


def remain(left: object, right: object, budget: Budget) -> object:
    """Returns what remains of a division that rounds down; of the divisor's sign."""
    one, other = _divisible(left, right, "%")
    return counted(_computed(lambda: one % other))


def raise_to(left: object, right: object, budget: Budget) -> object:
    """Raises a number to a power, not computing what cannot fit."""
    base, exponent = _numbers(left, right, "**")
    if base == 0 and exponent < 0:
        raise ExpressionError("** divides by zero")
    if base < 0 and exponent != exponent // 1:
        raise ExpressionError("** has no real value for a negative base and a broken exponent")
    if type(base) is int and type(exponent) is int and abs(base) > 1 and abs(exponent) > _POWER_MAX:
        raise ExpressionError("the number does not fit into 64 bits")
    return counted(_computed(lambda: cast("float", base**exponent)))


def divide_as_yaql(left: object, right: object, budget: Budget) -> object:
    """Divides two whole numbers rounding down, others as `/` does."""
    is_whole = type(left) is int and type(right) is int
    return divide_down(left, right, budget) if is_whole else divide(left, right, budget)


def negate(value: object) -> object:
    """Changes a number's sign."""
    if type(value) is int or type(value) is float:
        return counted(-value)
    raise ExpressionError(f"- takes a number, not {kind(value)}")


def keep_sign(value: object) -> object:
    """Returns a number as it is."""
    if type(value) is int or type(value) is float:
        return value
    raise ExpressionError(f"+ takes a number, not {kind(value)}")


def cut(value: object, start: object, stop: object, budget: Budget) -> object:
    """Takes a part of a list or a text, from `start` to before `stop`; negative ones count from the end."""
    low = None if start is None else whole(start, "a slice")
    high = None if stop is None else whole(stop, "a slice")
    if type(value) is str:
        budget.make(len(range(*slice(low, high).indices(len(value)))))
        return value[low:high]
    values = elements(value, "a slice")
    budget.make(len(range(*slice(low, high).indices(len(values)))))
    return values[low:high]


def _numbers(left: object, right: object, sign: str) -> tuple[int | float, int | float]:
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return left, right
    raise ExpressionError(f"{sign} does not go between {kind(left)} and {kind(right)}")


def _divisible(left: object, right: object, sign: str) -> tuple[int | float, int | float]:
    one, other = _numbers(left, right, sign)
    if other == 0:
        raise ExpressionError(f"{sign} divides by zero")
    return one, other


def _computed(compute: Callable[[], int | float]) -> int | float:
    try:
        return compute()
    except ArithmeticError:
        raise ExpressionError("the number is too large") from None


ARITHMETIC: Final[dict[str, Operator]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "//": divide_down,
    "%": remain,
    "**": raise_to,
}

COMPARISON: Final[dict[str, Callable[[object, object, Budget], bool]]] = {
    "eq": is_equal,
    "ne": lambda left, right, budget: not is_equal(left, right, budget),
    "lt": lambda left, right, budget: is_before(left, right, "<"),
    "gt": lambda left, right, budget: is_before(right, left, ">"),
    "lteq": lambda left, right, budget: not is_before(right, left, "<="),
    "gteq": lambda left, right, budget: not is_before(left, right, ">="),
    "in": is_in,
    "notin": lambda left, right, budget: not is_in(left, right, budget),
}
