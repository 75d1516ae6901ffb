"""Tests of expressions: what may stand after `is` and `is not`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .graph_collections import length
from .graph_values import is_number, whole
from .graph_view import Budget

_FREE: Final = Budget(steps=0, size=0)

TESTS: Final[dict[str, Callable[[object], bool]]] = {
    "boolean": lambda value: type(value) is bool,
    "empty": lambda value: length(_FREE, value) == 0,
    "even": lambda value: whole(value, "even") % 2 == 0,
    "false": lambda value: value is False,
    "float": lambda value: type(value) is float,
    "integer": lambda value: type(value) is int,
    "list": lambda value: type(value) is list,
    "mapping": lambda value: type(value) is dict,
    "none": lambda value: value is None,
    "null": lambda value: value is None,
    "number": is_number,
    "odd": lambda value: whole(value, "odd") % 2 == 1,
    "sequence": lambda value: type(value) is list,
    "string": lambda value: type(value) is str,
    "true": lambda value: value is True,
}
"""By name; `defined` and `undefined` are in `graph_evaluate.py`, since they look at what has no value."""
