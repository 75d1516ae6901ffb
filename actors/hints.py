"""Hints: a function's annotations as types, each on its own terms.

One annotation that cannot be resolved (a class that only exists for the type checker, or inside a function) costs only
its own parameter the type: that parameter is plain JSON, as without annotation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import NoneType, SimpleNamespace
from typing import (
    Any,
    Final,
    LiteralString,
    Never,
    NoReturn,
    ParamSpecArgs,
    ParamSpecKwargs,
    Unpack,
    cast,
    get_origin,
    get_type_hints,
)

# Annotations are code of the user's: these are the ways in which evaluating a name, an index or a call goes wrong.
_UNRESOLVABLE: Final = (NameError, AttributeError, TypeError, ValueError, SyntaxError, LookupError, ImportError)
_PLAIN: Final = ((Never, Any), (NoReturn, Any), (LiteralString, str), (None, NoneType), (object, Any))


def resolve(function: Callable[..., object]) -> dict[str, object]:
    """Returns the types of a function's annotated parameters and, as `return`, of its result."""
    target = inspect.unwrap(function)
    try:
        return {name: _readable(hint) for name, hint in get_type_hints(target, include_extras=True).items()}
    except _UNRESOLVABLE:
        annotations = cast("dict[str, object]", getattr(target, "__annotations__", {}))
        scope = cast("dict[str, Any]", getattr(target, "__globals__", {}))
        return {name: _resolve_alone(annotation, scope) for name, annotation in annotations.items()}


def _resolve_alone(annotation: object, scope: dict[str, Any]) -> object:
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return _readable(get_type_hints(holder, globalns=scope, include_extras=True)["it"])
    except _UNRESOLVABLE:
        return Any


def _readable(hint: object) -> object:
    """Turns what only a type checker understands into what JSON can be read as."""
    if isinstance(hint, (ParamSpecArgs, ParamSpecKwargs)) or get_origin(hint) is Unpack:
        return Any
    return next((plain for known, plain in _PLAIN if hint is known), hint)
