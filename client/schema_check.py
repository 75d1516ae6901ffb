"""Checks JSON against a JSON Schema, as far as the schemas of hooks go: what msgspec and pydantic write for types.

Keywords that are not known are passed over, formats among them: the type in the workflow is the judge, this is a hint
that comes sooner.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

Schema: TypeAlias = Mapping[str, Any]

_DEPTH_MAX: Final = 128
"""References followed, and levels of the value: a schema may refer to itself."""

_SHOWN_MAX: Final = 120

_KINDS: Final[dict[str, Callable[[object], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}

_BOUNDS: Final[Mapping[str, tuple[Callable[[float, float], bool], str]]] = {
    "minimum": (lambda value, bound: value >= bound, "at least"),
    "exclusiveMinimum": (lambda value, bound: value > bound, "more than"),
    "maximum": (lambda value, bound: value <= bound, "at most"),
    "exclusiveMaximum": (lambda value, bound: value < bound, "less than"),
}

_SIZES: Final[Mapping[str, tuple[type, bool, str]]] = {
    "minLength": (str, True, "characters"),
    "maxLength": (str, False, "characters"),
    "minItems": (list, True, "items"),
    "maxItems": (list, False, "items"),
    "minProperties": (dict, True, "fields"),
    "maxProperties": (dict, False, "fields"),
}


def misfit(schema: Schema, value: object) -> str:
    """Says in one line where a value does not fit, the path first: `$.ok: expected boolean, got string`; empty if it does.

    Args:
        value: Plain JSON, as `msgspec.json.decode` reads it.
    """
    return _misfit(schema, value, "$", schema, 0)


def resolved(schema: Schema, root: Schema) -> Schema:
    """Follows a schema's reference to the definition that it names; a reference that leads nowhere fits everything."""
    for _ in range(_DEPTH_MAX):
        target = schema.get("$ref")
        if not isinstance(target, str):
            return schema
        found: Any = root
        for part in target.removeprefix("#").strip("/").split("/") if target != "#" else ():
            name = part.replace("~1", "/").replace("~0", "~")
            found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            return {}
        schema = {**cast("dict[str, Any]", found), **{key: schema[key] for key in schema if key != "$ref"}}
    return {}


def _misfit(schema: Any, value: object, path: str, root: Schema, depth: int) -> str:
    if schema is False:
        return f"{path}: not allowed"
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return ""
    found = resolved(cast("dict[str, Any]", schema), root)
    return (
        _of_kind(found, value, path)
        or _of_choices(found, value, path)
        or _of_size(found, value, path)
        or _of_parts(found, value, path, root, depth)
        or _of_unions(found, value, path, root, depth)
    )


def _of_kind(schema: Schema, value: object, path: str) -> str:
    wanted = schema.get("type")
    kinds = [wanted] if isinstance(wanted, str) else cast("list[str]", wanted or [])
    if not kinds or any(kind not in _KINDS or _KINDS[kind](value) for kind in kinds):
        return ""
    return f"{path}: expected {' or '.join(kinds)}, got {kind_of(value)}"


def _of_choices(schema: Schema, value: object, path: str) -> str:
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(choices, list) or any(_is_same(value, choice) for choice in cast("list[object]", choices)):
        return ""
    return f"{path}: expected one of {_shown(cast('list[object]', choices))}"


def _of_size(schema: Schema, value: object, path: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for keyword, (is_within, words) in _BOUNDS.items():
            bound = schema.get(keyword)
            if isinstance(bound, (int, float)) and math.isfinite(bound) and not is_within(value, bound):
                return f"{path}: expected {words} {bound}, got {value}"
        return ""
    for keyword, (kind, is_least, noun) in _SIZES.items():
        bound = schema.get(keyword)
        if isinstance(value, kind) and isinstance(bound, int):
            size = len(cast("Sequence[object]", value))
            if size < bound if is_least else size > bound:
                return f"{path}: expected at {'least' if is_least else 'most'} {bound} {noun}, got {size}"
    pattern = schema.get("pattern")
    if isinstance(value, str) and isinstance(pattern, str) and not _is_like(pattern, value):
        return f"{path}: expected a text that matches {pattern!r}"
    return ""


def _of_parts(schema: Schema, value: object, path: str, root: Schema, depth: int) -> str:
    if isinstance(value, dict):
        return _of_fields(schema, cast("dict[str, object]", value), path, root, depth)
    if isinstance(value, list):
        first = schema.get("prefixItems")
        prefix = cast("list[object]", first) if isinstance(first, list) else []
        for index, item in enumerate(cast("list[object]", value)):
            part = prefix[index] if index < len(prefix) else schema.get("items")
            if text := _misfit(part, item, f"{path}[{index}]", root, depth + 1):
                return text
    return ""


def _of_fields(schema: Schema, value: dict[str, object], path: str, root: Schema, depth: int) -> str:
    for name in cast("list[str]", schema.get("required") or []):
        if name not in value:
            return f"{path}: lacks field {name!r}"
    known = cast("dict[str, object]", schema.get("properties") or {})
    for name, item in value.items():
        part = known.get(name, schema.get("additionalProperties"))
        if text := _misfit(part, item, f"{path}.{name}", root, depth + 1):
            return text
    return ""


def _of_unions(schema: Schema, value: object, path: str, root: Schema, depth: int) -> str:
    for part in cast("list[object]", schema.get("allOf") or []):
        if text := _misfit(part, value, path, root, depth + 1):
            return text
    for keyword in ("anyOf", "oneOf"):  # of `oneOf` the first is enough: types that overlap are told apart by the type
        parts = cast("list[object]", schema.get(keyword) or [])
        reasons = [_misfit(part, value, path, root, depth + 1) for part in parts]
        if reasons and all(reasons):
            deepest = max(reasons, key=lambda reason: reason.partition(":")[0].count(".") * 1_000 - len(reason))
            return (
                deepest
                if len(reasons) == 1 or deepest.partition(":")[0] != path
                else _none_of(parts, value, path, root)
            )
    return ""


def _none_of(parts: Sequence[object], value: object, path: str, root: Schema) -> str:
    kinds = [
        str(resolved(cast("dict[str, Any]", part), root).get("type", "another value"))
        for part in parts
        if isinstance(part, dict)
    ]
    return f"{path}: expected {' or '.join(dict.fromkeys(kinds))}, got {kind_of(value)}"


def kind_of(value: object) -> str:
    """Names the JSON kind of a value."""
    return next((kind for kind in reversed(_KINDS) if _KINDS[kind](value)), type(value).__name__)


def _is_same(value: object, choice: object) -> bool:
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice


def _is_like(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:  # of another dialect
        return True


def _shown(choices: list[object]) -> str:
    text = ", ".join(msgspec.json.encode(choice).decode() for choice in choices)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
