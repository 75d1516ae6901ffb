"""What a run knows of its children, and what it says of them: pieces of `execution` and `decision` (R21)."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import Any, Literal, cast

import msgspec

from .commands import StartChild
from .errors import ChildFailed, ErrorInfo, mixed_class
from .limits import TOKEN_BYTES_MAX
from .names import RunKey, chain_of


class OpenChild(msgspec.Struct):
    """A child that was started and has not ended yet."""

    command: StartChild
    result_type: Any
    future: asyncio.Future[Any]


class ChildEnd(msgspec.Struct, frozen=True):
    """What a decision asks of a child that is to end."""

    command: StartChild
    verb: Literal["cancel", "terminate"]
    reason: str


def child_failed(child: StartChild, status: str, error: ErrorInfo, reason: str = "") -> ChildFailed:
    """Makes the exception that workflow code sees, an instance of the child's own class too where that is known."""
    cls = cast("type[ChildFailed]", mixed_class(ChildFailed, error.type) if status == "failed" else ChildFailed)
    failure = cls.__new__(cls, error.message)
    failure.workflow, failure.run, failure.status = child.workflow, child.run, status
    failure.error, failure.reason = error, reason
    return failure


def let_go_reason(parent: RunKey) -> str:
    """Says to a child why it is to end before its parent does."""
    return f"{parent} does not wait for it any more"


def child_id(parent: RunKey, command: int, *, app: str = "") -> str:
    """Names the run that a command starts (R21); hashed where names are long.

    Args:
        app: The parent's, where the child runs in another one.
    """
    text = f"{parent.workflow}-{parent.run}-{command}"
    text = f"{app}-{text}" if app else text
    if len(text) <= TOKEN_BYTES_MAX and not chain_of(text)[1]:  # an id that ends with a dash
        return text
    named = f"{app}:{parent}" if app else str(parent)
    return f"{blake2b(named.encode(), digest_size=16).hexdigest()}-{command}"


def take_note(future: asyncio.Future[Any]) -> None:
    """Marks an exception as seen: nobody has to wait for a child."""
    if not future.cancelled():
        future.exception()
