"""JSON values as expressions know them: kinds, equality, order, text; everything that touches many elements is paid for.

A boolean is no number, and 1 equals 1.0. What is no JSON value has no kind and is refused.
"""

from __future__ import annotations

from math import isfinite
from typing import Final, cast

import msgspec

from .graph_view import Budget, ExpressionError, shown
from .limits import BODY_DEPTH_MAX

WHOLE_MIN: Final = -(2**63)
WHOLE_MAX: Final = 2**63 - 1
"""Whole numbers that arithmetic may make: what every JSON reader with 64 bits takes."""

_LARGEST: Final = 2**64 - 1
"""What may come from outside: the largest that messages can carry."""

_KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}
_NUMBERS: Final = (int, float)
_TEXT_STEP: Final = 10
"""Two to this power characters compared or searched are one step."""


def kind(value: object) -> str:
    """Names the kind with its article, for messages; never the value."""
    return _KINDS.get(type(value), "no JSON value")


def is_number(value: object) -> bool:
    """Tells whether it is a number; booleans are none."""
    return type(value) in _NUMBERS


def text(value: object, what: str) -> str:
    """Returns the value where it is a text. Raises ExpressionError."""
    if type(value) is str:
        return value
    raise ExpressionError(f"{what} takes a text, not {kind(value)}")


def whole(value: object, what: str) -> int:
    """Returns the value where it is a whole number. Raises ExpressionError."""
    if type(value) is int:
        return value
    raise ExpressionError(f"{what} takes a whole number, not {kind(value)}")


def number(value: object, what: str) -> int | float:
    """Returns the value where it is a number. Raises ExpressionError."""
    if type(value) is int or type(value) is float:
        return value
    raise ExpressionError(f"{what} takes a number, not {kind(value)}")


def elements(value: object, what: str) -> list[object]:
    """Returns the value where it is a list. Raises ExpressionError."""
    if type(value) is list:
        return cast("list[object]", value)
    raise ExpressionError(f"{what} takes a list, not {kind(value)}")


def mapping(value: object, what: str) -> dict[str, object]:
    """Returns the value where it is a mapping. Raises ExpressionError."""
    if type(value) is dict:
        return cast("dict[str, object]", value)
    raise ExpressionError(f"{what} takes a mapping, not {kind(value)}")


def counted(value: int | float) -> int | float:
    """Returns a number that was computed where JSON can hold it. Raises ExpressionError."""
    if type(value) is int:
        if not WHOLE_MIN <= value <= WHOLE_MAX:
            raise ExpressionError("the number does not fit into 64 bits")
    elif not isfinite(value):
        raise ExpressionError("the number is too large")
    return value


def scan_steps(value: str) -> int:
    """Returns what reading the whole text costs."""
    return 1 + (len(value) >> _TEXT_STEP)


def is_equal(left: object, right: object, budget: Budget) -> bool:
    """Compares two values deeply: 1 equals 1.0, true does not equal 1, kinds that differ are not equal."""
    one, other = type(left), type(right)
    if one is not other:
        return one in _NUMBERS and other in _NUMBERS and left == right
    if one is list:
        return _are_lists_equal(cast("list[object]", left), cast("list[object]", right), budget)
    if one is dict:
        return _are_mappings_equal(cast("dict[str, object]", left), cast("dict[str, object]", right), budget)
    if one is str:
        budget.step(len(cast("str", left)) >> _TEXT_STEP)
    return left == right


def _are_lists_equal(left: list[object], right: list[object], budget: Budget) -> bool:
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        budget.step()
        if not is_equal(one, other, budget):
            return False
    return True


def _are_mappings_equal(left: dict[str, object], right: dict[str, object], budget: Budget) -> bool:
    if len(left) != len(right):
        return False
    for key, one in left.items():
        budget.step()
        if key not in right or not is_equal(one, right[key], budget):
            return False
    return True


def is_before(left: object, right: object, sign: str = "<") -> bool:
    """Orders two numbers or two texts; texts by code points. Raises ExpressionError for anything else."""
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return left < right
    if type(left) is str and type(right) is str:
        return left < right
    raise ExpressionError(f"{sign} does not go between {kind(left)} and {kind(right)}")


def is_in(value: object, container: object, budget: Budget) -> bool:
    """Tells whether a list has an element, a mapping a key, a text a part. Raises ExpressionError."""
    if type(container) is str:
        budget.step(scan_steps(container))
        return text(value, "in a text") in container
    if type(container) is dict:
        return text(value, "in a mapping") in container
    for element in elements(container, "in"):
        budget.step()
        if is_equal(value, element, budget):
            return True
    return False


def weigh(value: object, budget: Budget, depth: int = 0) -> None:
    """Pays for a value as large as this one, all of its parts counted as often as they occur.

    Values share what they have in common, so that a short expression can name a huge value.

    Raises:
        ExpressionError: It is too large, nested too deeply, or not JSON.
    """
    sort = type(value)
    if sort is str:
        budget.make(len(cast("str", value)))
    elif sort is list or sort is dict:
        if depth >= BODY_DEPTH_MAX:
            raise ExpressionError(f"the value is nested more than {BODY_DEPTH_MAX} levels deep")
        parts = cast("list[object]", value)
        if sort is dict:
            fields = cast("dict[str, object]", value)
            if not all(type(key) is str for key in fields):
                raise ExpressionError("the value is not JSON")
            budget.make(sum(map(len, fields)))
            parts = [*fields.values()]
        budget.make(1 + len(parts))
        for part in parts:  # leaves are looked at here: a call for each would take longer than all the rest
            if type(part) is str:
                budget.make(len(part))
            elif type(part) is int:
                if not WHOLE_MIN <= part <= _LARGEST:
                    raise ExpressionError("the number does not fit into 64 bits")
            elif part is not None and type(part) is not bool and type(part) is not float:
                weigh(part, budget, depth + 1)
    elif sort is int:
        if not WHOLE_MIN <= cast("int", value) <= _LARGEST:
            raise ExpressionError("the number does not fit into 64 bits")
    elif sort not in _KINDS:
        raise ExpressionError("the value is not JSON")


def written(value: object, budget: Budget) -> str:
    """Writes a value as text: texts as they are, everything else as JSON."""
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or type(value) is float:
        budget.make(8)
        return repr(value)
    return json_text(value, budget)


def json_text(value: object, budget: Budget) -> str:
    """Writes any value as JSON, texts in quotes. Keys stand in their order."""
    weigh(value, budget)
    try:
        made = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
        raise ExpressionError("the value is not JSON") from None
    budget.make(len(made))
    return made


def json_value(source: str, budget: Budget) -> object:
    """Reads JSON. Raises ExpressionError, which says where but quotes little."""
    budget.step(scan_steps(source))
    budget.make(len(source))
    try:
        value: object = msgspec.json.decode(source)
    except RecursionError:
        raise ExpressionError("the text is JSON that is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ExpressionError(f"the text {shown(source, length_max=30)} is not JSON: {str(error)[:80]}") from None
    weigh(value, budget)
    return value
