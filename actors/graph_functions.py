"""Functions of expressions on numbers, texts and JSON, and the registry of all pure ones.

A function takes the budget first and pays before it makes; it knows nothing of the run. Those that see the run are in
`graph_names.py`, those that catch what is undefined in `graph_evaluate.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from .graph_collections import (
    as_list,
    flatten,
    from_items,
    index_of,
    is_blank,
    largest,
    last_index_of,
    length,
    merge,
    pairs,
    reverse,
    smallest,
    sort,
    span,
    substring,
    together,
    total,
    unique,
)
from .graph_collections import (
    at as part_at,
)
from .graph_collections import (
    first as first_of,
)
from .graph_collections import (
    keys as all_keys,
)
from .graph_collections import (
    last as last_of,
)
from .graph_collections import (
    values as all_values,
)
from .graph_operators import add, divide_as_yaql
from .graph_values import (
    counted,
    elements,
    is_equal,
    is_in,
    json_text,
    json_value,
    kind,
    mapping,
    number,
    scan_steps,
    text,
    whole,
    written,
)
from .graph_view import Budget, ExpressionError, shown

_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")
_DIGITS_MAX: Final = 15


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A pure function with the arguments that it takes."""

    call: Callable[..., object]
    least: int = 1
    most: int = 1
    """Arguments by position."""
    names: frozenset[str] = frozenset()
    """Arguments that may be given by name, too."""


def absolute(budget: Budget, value: object) -> object:
    """Returns a number without its sign."""
    return counted(abs(number(value, "abs")))


def rounded(budget: Budget, value: object, digits: object = 0) -> object:
    """Rounds to a whole number, or to so many digits behind the point; halves to the even neighbour."""
    places = whole(digits, "round")
    if not -_DIGITS_MAX <= places <= _DIGITS_MAX:
        raise ExpressionError(f"round takes from -{_DIGITS_MAX} to {_DIGITS_MAX} digits")
    given = number(value, "round")
    try:
        return counted(round(given, places) if places > 0 else int(round(given, places)))
    except (OverflowError, ValueError):
        raise ExpressionError("the number is too large") from None


def to_whole(budget: Budget, value: object) -> object:
    """Makes a whole number of a number, a boolean or a text of digits; fractions are cut off."""
    if type(value) is bool:
        return int(value)
    if type(value) is int or type(value) is float:
        return counted(int(value))
    if type(value) is str and _WHOLE.fullmatch(value.strip(" ") if len(value) < 64 else value):
        return counted(int(value))
    said = f"the text {shown(value, length_max=30)}" if type(value) is str else kind(value)
    raise ExpressionError(f"int cannot make a whole number of {said}")


def to_float(budget: Budget, value: object) -> object:
    """Makes a number with a fraction of a number, a boolean or a text in decimal notation."""
    if type(value) is int or type(value) is float or type(value) is bool:
        return float(value)
    if type(value) is str and _DECIMAL.fullmatch(value.strip(" ") if len(value) < 64 else value):
        return counted(float(value))
    said = f"the text {shown(value, length_max=30)}" if type(value) is str else kind(value)
    raise ExpressionError(f"float cannot make a number of {said}")


def to_bool(budget: Budget, value: object) -> object:
    """The texts "true" and "false" mean what they say, others mean nothing; the rest is as in conditions of `if`."""
    if type(value) is str:
        word = value.lower() if len(value) < 8 else value
        if word not in ("true", "false"):
            raise ExpressionError(f"bool takes the texts 'true' and 'false', not {shown(value, length_max=30)}")
        return word == "true"
    return bool(value)


def to_text(budget: Budget, value: object) -> object:
    """Writes a value as `~` does."""
    return written(value, budget)


def upper(budget: Budget, value: object) -> object:
    """Writes a text in capitals."""
    return _made(text(value, "upper"), budget).upper()


def lower(budget: Budget, value: object) -> object:
    """Writes a text in small letters."""
    return _made(text(value, "lower"), budget).lower()


def trim(budget: Budget, value: object, signs: object = None) -> object:
    """Takes white space, or the given characters, off both ends."""
    given = _made(text(value, "trim"), budget)
    stripped = None if signs is None else text(signs, "trim")
    budget.step(scan_steps(given) * (1 if stripped is None else scan_steps(stripped)))
    return given.strip(stripped)


def split(budget: Budget, value: object, separator: object = None) -> object:
    """Without a separator at white space, and then without empty texts."""
    given = text(value, "split")
    sign = None if separator is None else text(separator, "split")
    if sign == "":
        raise ExpressionError("split takes a separator that is not empty")
    budget.step(scan_steps(given))
    budget.make(len(given) + (len(given) // 2 if sign is None else given.count(sign)) + 1)
    return given.split(sign)


def join(budget: Budget, values: object, separator: object = "") -> object:
    """Elements that are no texts are written as `~` writes them."""
    between = text(separator, "join")
    found = elements(values, "join")
    budget.step(len(found))
    budget.make(len(between) * max(0, len(found) - 1))
    parts = [written(each, budget) for each in found]
    budget.make(sum(map(len, parts)))
    return between.join(parts)


def replace(budget: Budget, value: object, old: object, new: object) -> object:
    """Replaces each occurrence of a text."""
    given, before, after = text(value, "replace"), text(old, "replace"), text(new, "replace")
    if not before:
        raise ExpressionError("replace takes a text to look for that is not empty")
    budget.step(scan_steps(given))
    count = given.count(before)
    budget.make(len(given) + count * (len(after) - len(before)))
    return given.replace(before, after)


def starts_with(budget: Budget, value: object, part: object) -> object:
    """Tells whether a text begins with another."""
    return text(value, "startswith").startswith(text(part, "startswith"))


def ends_with(budget: Budget, value: object, part: object) -> object:
    """Tells whether a text ends with another."""
    return text(value, "endswith").endswith(text(part, "endswith"))


def contains(budget: Budget, container: object, value: object) -> object:
    """Does what `in` does, the container first."""
    return is_in(value, container, budget)


def parse_json(budget: Budget, value: object) -> object:
    """Reads JSON."""
    return json_value(text(value, "json"), budget)


def to_json(budget: Budget, value: object) -> object:
    """Writes JSON."""
    return json_text(value, budget)


def get(budget: Budget, values: object, key: object, fallback: object = None) -> object:
    """Looks up a key; the third argument, or null, where there is none."""
    return mapping(values, "get").get(text(key, "get"), fallback)


def concat(budget: Budget, first: object, *others: object) -> object:
    """Joins texts, or lists, never both."""
    for other in others:
        if type(first) not in (str, list) or type(other) is not type(first):
            raise ExpressionError(f"concat takes texts alone or lists alone, not {kind(first)} and {kind(other)}")
        first = add(first, other, budget)
    return first


def divide_as_yaql_does(budget: Budget, left: object, right: object) -> object:
    """Divides; two whole numbers rounding down."""
    return divide_as_yaql(left, right, budget)


def _made(value: str, budget: Budget) -> str:
    budget.make(len(value))
    return value


_LENGTH: Final = Function(call=length)
_TO_JSON: Final = Function(call=to_json)
_MANY: Final = 64

SIMPLE: Final[dict[str, Function]] = {
    "abs": Function(call=absolute),
    "bool": Function(call=to_bool),
    "first": Function(call=first_of, most=2),
    "flatten": Function(call=flatten, most=2),
    "float": Function(call=to_float),
    "from_items": Function(call=from_items),
    "int": Function(call=to_whole),
    "is_blank": Function(call=is_blank),
    "items": Function(call=pairs),
    "json": Function(call=parse_json),
    "keys": Function(call=all_keys),
    "last": Function(call=last_of, most=2),
    "len": _LENGTH,
    "length": _LENGTH,
    "list": Function(call=as_list),
    "lower": Function(call=lower),
    "reverse": Function(call=reverse),
    "round": Function(call=rounded, most=2),
    "str": Function(call=to_text),
    "string": Function(call=to_text),
    "sum": Function(call=total),
    "to_json": _TO_JSON,
    "tojson": _TO_JSON,
    "trim": Function(call=trim, most=2),
    "unique": Function(call=unique),
    "upper": Function(call=upper),
    "values": Function(call=all_values),
}
"""Functions that need one argument alone: what `map`, `filter`, `any` and `all` take by name."""

_BY: Final = frozenset({"attribute"})
_PICK: Final = frozenset({"attribute", "equals"})


def _each(budget: Budget, values: list[object], function: object, attribute: object) -> list[object]:
    """Computes one value per element: an attribute of it, a function of it, or itself."""
    budget.step(len(values))
    budget.make(len(values))
    if attribute is not None:
        if function is not None:
            raise ExpressionError("takes either a function's name or attribute=, not both")
        path = text(attribute, "attribute").split(".")
        budget.step(len(values) * len(path))
        return [part_at(value, path) for value in values]
    if function is None:
        return values
    name = text(function, "the function's name")
    if name not in SIMPLE:
        raise ExpressionError(
            f"there is no function {shown(name)} of one argument: use attribute={shown(name)} for a key"
        )
    call = SIMPLE[name].call
    return [call(budget, value) for value in values]


def apply(budget: Budget, values: object, function: object = None, *, attribute: object = None) -> object:
    """Makes a list of a function, or an attribute, of each element."""
    if function is None and attribute is None:
        raise ExpressionError("map takes a function's name or attribute=")
    return _each(budget, elements(values, "map"), function, attribute)


def choose(
    budget: Budget, values: object, function: object = None, *, attribute: object = None, equals: object = msgspec.UNSET
) -> object:
    """Keeps the elements of which a function, an attribute or the element itself is true, or equals a value."""
    found = elements(values, "filter")
    verdicts = _verdicts(budget, found, function, attribute, equals)
    return [value for value, verdict in zip(found, verdicts, strict=True) if verdict]


def is_any(
    budget: Budget, values: object, function: object = None, *, attribute: object = None, equals: object = msgspec.UNSET
) -> object:
    """Tells whether `filter` would keep an element."""
    return any(_verdicts(budget, elements(values, "any"), function, attribute, equals))


def is_all(
    budget: Budget, values: object, function: object = None, *, attribute: object = None, equals: object = msgspec.UNSET
) -> object:
    """Tells whether `filter` would keep each element."""
    return all(_verdicts(budget, elements(values, "all"), function, attribute, equals))


def _verdicts(budget: Budget, values: list[object], function: object, attribute: object, equals: object) -> list[bool]:
    found = _each(budget, values, function, attribute)
    if equals is msgspec.UNSET:
        return [bool(value) for value in found]
    return [is_equal(equals, value, budget) for value in found]


FUNCTIONS: Final[dict[str, Function]] = {
    **SIMPLE,
    "all": Function(call=is_all, most=2, names=_PICK),
    "any": Function(call=is_any, most=2, names=_PICK),
    "concat": Function(call=concat, most=_MANY),
    "contains": Function(call=contains, least=2, most=2),
    "divide": Function(call=divide_as_yaql_does, least=2, most=2),
    "endswith": Function(call=ends_with, least=2, most=2),
    "filter": Function(call=choose, most=2, names=_PICK),
    "get": Function(call=get, least=2, most=3),
    "index_of": Function(call=index_of, least=2, most=2),
    "join": Function(call=join, most=2),
    "last_index_of": Function(call=last_index_of, least=2, most=2),
    "map": Function(call=apply, most=2, names=_BY),
    "max": Function(call=largest, most=_MANY, names=_BY),
    "merge": Function(call=merge, most=_MANY),
    "min": Function(call=smallest, most=_MANY, names=_BY),
    "range": Function(call=span, most=3),
    "replace": Function(call=replace, least=3, most=3),
    "sort": Function(call=sort, names=frozenset({"attribute", "reverse"})),
    "split": Function(call=split, most=2),
    "startswith": Function(call=starts_with, least=2, most=2),
    "substring": Function(call=substring, least=2, most=3),
    "zip": Function(call=together, most=_MANY, names=frozenset({"pad"})),
}
"""All pure functions by name; filters are the same ones."""
