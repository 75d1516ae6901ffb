"""Moves: what a graph run's interpreter has found out and done, as its log keeps it.

A state is the fold of its moves (`graph_fold`), and nothing else: what expressions came to stands in them, so that a replay
evaluates none. Where tokens went, which joins were met and which activations began follows from them and is not repeated.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from .errors import ErrorInfo

TaskStatus = Literal["succeeded", "failed", "timeout", "skipped", "cancelled"]
"""How an activation has ended."""

FinalStatus = Literal["succeeded", "failed", "cancelled"]

Why = Literal["failure", "fail", "broken", "cancel", "limit"]
"""Why nothing new starts."""

FAILURES: Final = frozenset({"failed", "timeout", "cancelled"})
"""Ends that an edge has to handle."""


class _Move(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="move"):
    """One of them."""


class Began(_Move, frozen=True, kw_only=True, tag="began"):
    """The run has begun: tokens go to these tasks."""

    variables: dict[str, object]
    tasks: list[str]


class Skipped(_Move, frozen=True, kw_only=True, tag="skipped"):
    """An activation's `run_if` is false: it does not run."""

    id: int
    task: str = ""


class Delayed(_Move, frozen=True, kw_only=True, tag="delayed"):
    """An activation waits for a time before its next attempt."""

    id: int
    task: str = ""
    attempt: int = 1
    due_at_us: int


class Started(_Move, frozen=True, kw_only=True, tag="started"):
    """An attempt has begun."""

    id: int
    task: str = ""
    attempt: int = 1
    retries: int = 0
    """Attempts that the engine makes of the step by itself, after this one; -1 for without end."""
    delay_us: int = 0
    """Before the first of those."""
    due_at_us: int = 0
    """Of a timer, or of a hook's timeout."""
    items: list[object] | None = None
    concurrency: int = 0
    """Items under way at once; 0 for all."""


class ItemsStarted(_Move, frozen=True, kw_only=True, tag="items"):
    """So many of an attempt's items were begun, from `first` on."""

    id: int
    task: str = ""
    first: int = 0
    count: int


class ItemEnded(_Move, frozen=True, kw_only=True, tag="item"):
    """One item has ended."""

    id: int
    task: str = ""
    index: int
    status: TaskStatus


class Ended(_Move, frozen=True, kw_only=True, tag="ended"):
    """An activation has ended, after its last attempt."""

    id: int
    task: str = ""
    status: TaskStatus
    error: ErrorInfo | None = None
    is_unhandled: bool = False
    """It has failed, and no edge that is taken handles that."""
    fails: bool = False
    """An edge that is taken fails the run (`fail`)."""


class Took(_Move, frozen=True, kw_only=True, tag="took"):
    """An edge of an activation that has just ended was taken: its targets get a token each."""

    id: int
    edge: int = 0
    published: dict[str, object] = {}


class Broken(_Move, frozen=True, kw_only=True, tag="broken"):
    """The definition could not be followed: an expression had no value, or a bound was passed. The run fails."""

    id: int = 0
    """The activation concerned; 0 for none."""
    task: str = ""
    kind: str
    """`expression_error`, `value_limit`, `iteration_limit`, `activation_limit`, `duration_limit`, `items_limit`, `input`."""
    message: str


class Stopped(_Move, frozen=True, kw_only=True, tag="stopped"):
    """Nothing new starts any more; what runs may end."""

    why: Why


class Finished(_Move, frozen=True, kw_only=True, tag="finished"):
    """The run has come to its end."""

    status: FinalStatus
    output: dict[str, object] | None = None
    error: ErrorInfo | None = None


Move: TypeAlias = (
    Began | Skipped | Delayed | Started | ItemsStarted | ItemEnded | Ended | Took | Broken | Stopped | Finished
)

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(list[Move])


def encode_moves(moves: list[Move]) -> bytes:
    """Writes moves as a log keeps them."""
    return _ENCODER.encode(moves)


def decode_moves(raw: bytes | msgspec.Raw) -> list[Move]:
    """Reads moves. Raises msgspec.DecodeError for what is none."""
    return _DECODER.decode(raw)
