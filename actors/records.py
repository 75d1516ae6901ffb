"""Records: the entries of a run's log, one JSON message each, and the chain that makes a log checkable.

A decision is one record; one larger than `RECORD_BYTES_MAX` spans consecutive records, all but the last marked
`more` (R10). `k` counts 1, 2, 3 … within the run and `prev` is the hash of the record before: stream sequences are
for fencing only (a damaged stream reuses them). Readers must ignore fields that they do not know and refuse a `v`
above their own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .commands import Command, Retry
from .errors import BadLog, ErrorInfo
from .messages import NO_ARGS, NULL, OptionalRaw, Parent, Ref

VERSION: Final = 1
LOOP_VERSION: Final = 1
"""Of the deterministic loop's scheduling rules: replay under another version compares, and parks where it differs."""

Status: TypeAlias = Literal[
    "running", "paused", "parked", "completed", "failed", "cancelled", "terminated", "continued"
]
ENDED: Final = frozenset({"completed", "failed", "cancelled", "terminated", "continued"})


class Folded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as the log keeps it."""

    source: str
    seq: int
    at_us: int
    verb: str
    name: str = ""
    body: msgspec.Raw


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was looked at and not applied; its delivery is among `messages` or an earlier record's."""

    source: str
    seq: int
    code: str
    reason: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an update came to; its delivery is among `messages` or an earlier record's."""

    source: str
    seq: int
    id: str = ""
    name: str
    result: msgspec.Raw = NULL
    ref: Ref | None = None
    error: ErrorInfo | None = None
    is_refused: bool = False
    """It was not taken: no handler has seen it."""


class StartMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names the start that this run belongs to (R15)."""

    id: str
    hash: str
    parent: Parent | None = None
    """The run that has started this one as its child."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a run ended. `completed` has a result (or `ref`), `failed` an error, the others perhaps a reason.

    A graph run that has not completed leaves its output as the result all the same.
    """

    status: Status
    result: msgspec.Raw = NULL
    ref: Ref | None = None
    error: ErrorInfo | None = None
    reason: str = ""


class Renewal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The arguments under which a run goes on as a new link of its chain."""

    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    """As for `Start`."""
    hash: str
    """Of the arguments, as `start_hash` makes it."""
    attempt: int = 1
    """Which try of the workflow's own retries begins: from 2 where the old link failed."""
    due_at_us: int = 0
    """When that try begins; 0 for at once."""
    error: ErrorInfo | None = None
    """Why the old link failed."""


class Continued(Renewal, frozen=True, kw_only=True, omit_defaults=True):
    """Ends a link: with this record, in one append, the next one has begun."""

    link: int
    """Number of the new link, from 2."""
    seen: str = ""
    """What earlier links have applied, as `Seen.pack` writes it."""


class LinkMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which link of its chain a record belongs to; the first link's records have none."""

    n: int
    k: int
    """Number of the record that has begun the link."""
    seq: int
    """Where that record (the first of its parts) stands in the stream: where reading begins. `k` says whether it is it."""
    at_us: int
    """When the link begins: the run's time then, later where a try waits."""
    commands: int
    """Number of the last command that earlier links have asked for."""
    attempt: int = 1
    """As in `Renewal`."""


class Parked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a run cannot decide, and when it is tried again."""

    code: str
    """`mismatch`, `unknown_workflow`, `newer_record`, `blocked`, `deadly`, `error`, `missing_value`, `invalid_start`."""
    reason: str
    tries: int
    retry_at_us: int


class OpenWait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hook that the run waits for, as lists show it."""

    n: int
    name: str
    type: str = ""


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The run in short: the last record alone answers `status` and `list`."""

    status: Status | Literal["early"]
    started_at_us: int = 0
    ended_at_us: int = 0
    commands: int = 0
    """Number of the last command."""
    steps_open: int = 0
    timers_open: int = 0
    children_open: int = 0
    hooks_open: list[OpenWait] = []
    """The first `HOOKS_SHOWN_MAX` of them."""
    hooks_more: int = 0
    """Open hooks besides those."""
    failures: int = 0
    """Failed attempts of steps so far."""
    updates_open: int = 0
    """Updates whose handlers are at work."""
    values: dict[str, Any] = {}
    """What the workflow says of itself (`set_status`), as plain JSON."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a run's log."""

    v: int
    k: int
    prev: str
    nonce: str
    by: str
    """Worker and incarnation that decided."""
    code: str = ""
    """Hash of the workflow's definition."""
    version: int = 1
    """Of the workflow, as its decorator says; of decisions alone."""
    loop: int = LOOP_VERSION
    python: str = ""
    at_us: int
    """The run's time after this record: what `now()` returned last."""
    start: StartMark | None = None
    link: LinkMark | None = None
    messages: list[Folded] = []
    """In the order in which they were applied (R12)."""
    fired: list[int] = []
    """Timer commands that came due, in order."""
    commands: list[Command] = []
    retries: list[Retry] = []
    refused: list[Refused] = []
    answers: list[Answer] = []
    """Of updates, in the order in which they were given."""
    values: dict[str, Any] = {}
    """Status values that this decision has set; None takes one away."""
    kept: int = 0
    """So many of the last messages, of those that waited and these, wait still: the run is on pause."""
    unparked: bool = False
    """The run was parked before this decision."""
    undecided: bool = False
    """The messages are kept for later: the run is paused, parked or not yet started."""
    parked: Parked | None = None
    expired: bool = False
    """Nobody has started the run in time: the messages kept for it are dead, and this log is about to be purged (R4)."""
    outcome: Outcome | None = None
    continued: Continued | None = None
    """The run goes on as a new link: what it decides from here on depends on this record and its successors alone."""
    carried: list[Folded] = []
    """Messages that the old link has not applied, or kept for hooks that nobody waited for: the new one takes them first."""
    more: bool = False
    summary: Summary


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Record)
_BLAKE2B_16: Final = blake2b(digest_size=16)


def encode_record(record: Record) -> bytes:
    """Writes a record as it is stored."""
    return _ENCODER.encode(record)


def decode_record(raw: bytes) -> Record:
    """Reads a record.

    Raises:
        BadLog: It is no record, or one of a newer version.
    """
    try:
        record = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        version = _version(raw)
        if version > VERSION:
            raise _newer(version) from error
        raise BadLog(f"not a record: {error}") from error
    if record.v > VERSION:
        raise _newer(record.v)
    return record


def _newer(version: int) -> BadLog:
    text = f"record of version {version}, this worker reads up to {VERSION}; update the worker"
    return BadLog(text, is_newer=True)


class _Versioned(msgspec.Struct):
    v: int = 0


def _version(raw: bytes) -> int:
    try:
        return msgspec.json.decode(raw, type=_Versioned).v
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def record_hash(raw: bytes) -> str:
    """Hashes a stored record to the 32 hex digits that its successor names as `prev`."""
    digest = _BLAKE2B_16.copy()  # a fifth cheaper than making one with its arguments
    digest.update(raw)
    return digest.hexdigest()


class _Arguments(msgspec.Struct, frozen=True, array_like=True):
    args: object
    kwargs: object
    ref: str


def start_hash(args: msgspec.Raw | bytes, kwargs: msgspec.Raw | bytes | None, ref: Ref | None = None) -> str:
    """Hashes a start's arguments: equal hash, same start (R15).

    White space and the order of keys do not matter, nor whether `kwargs` is absent, null or empty.
    """
    plain = _Arguments(
        args=msgspec.json.decode(args),
        kwargs=msgspec.json.decode(kwargs) or None if kwargs is not None else None,
        ref=ref.sha256 if ref else "",
    )
    return blake2b(msgspec.json.encode(plain, order="deterministic"), digest_size=8).hexdigest()
