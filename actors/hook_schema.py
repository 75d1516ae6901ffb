"""Hook schemas: what a payload has to look like, as JSON Schema, for senders that do not have the type.

A schema is help for senders and never the judge: that is the type, when the payload is folded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from .limits import HOOK_SCHEMA_BYTES_MAX
from .models import has_model, is_model_class, schema_of_any
from .tree import USER_ERRORS

ANYTHING: Final = b"{}"
"""The schema that everything fits: of `Any`, of a type that has none, of one that is too large to be published."""

_KEPT_MAX: Final = 1024


def schema_of(type_: object) -> bytes:
    """Writes the JSON Schema of a hook's type, `ANYTHING` where there is none of at most `HOOK_SCHEMA_BYTES_MAX` bytes."""
    if type_ is Any:
        return ANYTHING
    try:
        hash(type_)
    except TypeError:  # such as Annotated with a list
        return _write(type_)
    return _kept(type_)


def _write(type_: object) -> bytes:
    try:
        raw = msgspec.json.encode(_build(type_))
    except (*USER_ERRORS, NameError, AttributeError):  # a model's own schema code may do anything
        return ANYTHING
    return raw if len(raw) <= HOOK_SCHEMA_BYTES_MAX else ANYTHING


_kept: Final = lru_cache(maxsize=_KEPT_MAX)(_write)


def _build(type_: object) -> object:
    if is_model_class(type_):
        return schema_of_any(type_)
    try:
        return msgspec.json.schema(cast("type[object]", type_), schema_hook=_of_part)
    except (TypeError, NameError, AttributeError):
        if has_model(type_):
            return schema_of_any(type_)
        raise


def _of_part(type_: type) -> dict[str, Any]:
    """Describes a part that msgspec does not know: a model, unless its definitions would be out of place; else anything."""
    if is_model_class(type_):
        schema = schema_of_any(type_)
        if "$defs" not in schema:
            return schema
    return {"title": getattr(type_, "__name__", "anything")}  # msgspec takes an empty schema for none
