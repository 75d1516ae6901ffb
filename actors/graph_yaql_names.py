"""Functions of YAQL that have a translation, and what they become."""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final[dict[str, tuple[str, int, int]]] = {
    "abs": ("abs", 1, 1),
    "coalesce": ("coalesce", 1, 64),
    "completed": ("completed", 0, 0),
    "concat": ("concat", 1, 64),
    "contains": ("contains", 2, 2),
    "count": ("length", 1, 1),
    "ctx": ("ctx", 0, 1),
    "distinct": ("unique", 1, 1),
    "endsWith": ("endswith", 2, 2),
    "failed": ("failed", 0, 0),
    "first": ("first", 1, 2),
    "flatten": ("flatten", 1, 1),
    "float": ("float", 1, 1),
    "get": ("get", 2, 3),
    "indexOf": ("index_of", 2, 2),
    "int": ("int", 1, 1),
    "isEmpty": ("is_blank", 1, 1),
    "item": ("item", 0, 1),
    "items": ("items", 1, 1),
    "json": ("json", 1, 1),
    "keys": ("keys", 1, 1),
    "last": ("last", 1, 2),
    "lastIndexOf": ("last_index_of", 2, 2),
    "len": ("length", 1, 1),
    "max": ("max", 1, 2),
    "min": ("min", 1, 2),
    "range": ("range", 1, 3),
    "replace": ("replace", 3, 3),
    "result": ("result", 0, 0),
    "reverse": ("reverse", 1, 1),
    "split": ("split", 1, 2),
    "startsWith": ("startswith", 2, 2),
    "str": ("string", 1, 1),
    "substring": ("substring", 2, 3),
    "succeeded": ("succeeded", 0, 0),
    "sum": ("sum", 1, 1),
    "task_status": ("task_status", 1, 1),
    "toLower": ("lower", 1, 1),
    "toUpper": ("upper", 1, 1),
    "trim": ("trim", 1, 1),
    "values": ("values", 1, 1),
    "zip": ("zip", 1, 64),
}
"""YAQL's name: ours, and how many arguments have an exact translation; the value before a `.` is the first one."""

ITERATORS: Final = frozenset(
    {
        *("append", "distinct", "flatten", "items", "keys", "limit", "orderBy", "range", "reverse", "select"),
        *("selectMany", "skip", "take", "values", "where", "zip"),
    }
)
"""What `list(…)` takes apart into elements rather than puts into a list, and `isList` says is none."""

KINDS: Final = {
    "isBoolean": "boolean",
    "isDict": "mapping",
    "isInteger": "integer",
    "isList": "list",
    "isNumber": "number",
    "isString": "string",
}
"""YAQL's question: our test."""

ELEMENT: Final[dict[tuple[str, int], tuple[str, str]]] = {
    ("all", 0): ("all({0})", ""),
    ("all", 1): ("(length(where({0}, (not {1}))) == 0)", ""),
    ("any", 0): ("(length({0}) > 0)", ""),
    ("any", 1): ("(length(where({0}, {1})) > 0)", ""),
    ("select", 1): ("select({0}, {1})", "select"),
    ("selectMany", 1): ("flatten(select({0}, {1}), 1)", "selectMany"),
    ("toDict", 1): ("from_items(select({0}, [{1}, each]))", "dict"),
    ("toDict", 2): ("from_items(select({0}, [{1}, {2}]))", "dict"),
    ("where", 1): ("where({0}, {1})", "where"),
}
"""A method whose arguments are evaluated per element, `$`, and how many it has: what it becomes, and what that is."""

LAMBDAS: Final = frozenset({*(name for name, _ in ELEMENT), "orderBy"})
"""All such methods."""

SPECIAL: Final = LAMBDAS | frozenset(
    {
        *("append", "bool", "containsKey", "dict", "join", "limit", "list", "set", "skip", "switch", "take", "toList"),
        *KINDS,
    }
)
"""Functions with a translation of their own shape."""

TRANSLATED: Final = frozenset(FUNCTIONS) | SPECIAL
"""All functions of YAQL that have a translation."""
