"""Asking: what queries and updates have in common: a name, types, and calls that carry encoded arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from .names import check_token
from .values import Packed, Signature

R_co = TypeVar("R_co", covariant=True)


class Asked(Generic[R_co]):
    """A query or an update with its arguments, encoded: what a client sends. `R_co` is the result's type."""

    __slots__ = ("args", "kwargs", "name", "result_type")

    def __init__(self, name: str, packed: Packed, result_type: Any) -> None:
        self.name = name
        self.args = packed.args
        self.kwargs = packed.kwargs
        self.result_type: Any = result_type

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Handler:
    """A function that answers in a run.

    Args:
        signature: By which arguments and result are read.
    """

    __slots__ = ("function", "signature")

    def __init__(self, function: Callable[..., Any], signature: Signature) -> None:
        self.function = function
        self.signature = signature


def signature_of(kind: str, name: str, types: Sequence[object], returns: object) -> Signature:
    """Makes the signature that a list of types stands for: taken by position."""
    parameters = [
        inspect.Parameter(f"argument_{number}", inspect.Parameter.POSITIONAL_ONLY, annotation=type_)
        for number, type_ in enumerate(types, 1)
    ]

    def declared() -> None: ...

    declared.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]  # PEP 362
    declared.__annotations__ = {**{p.name: p.annotation for p in parameters}, "return": returns}
    check_token(f"{kind} name", name)
    signature = Signature.of(declared, what=f"{kind} {name}")
    signature.check()
    return signature


def open_signature(kind: str, name: str) -> Signature:
    """Makes the signature of what is known by name alone: any arguments, plain JSON."""

    def anything(*args: Any, **kwargs: Any) -> Any: ...

    check_token(f"{kind} name", name)
    return Signature.of(anything, what=f"{kind} {name}")
