"""Work: the message that asks a step worker for one attempt of a step, and the token that its result must return.

Written by actor workers alone and read strictly. The token binds a result to the attempt it was asked for (R18): a
step worker that may publish results cannot invent them for steps that it was never given.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

import msgspec

from .errors import BadMessage
from .limits import STEP_RECOVERIES_MAX
from .messages import NO_ARGS, OptionalRaw, Ref
from .names import RunKey, is_token

VERSION: Final = 1
"""Of the message; a worker leaves newer ones to newer workers."""

CHILD_ATTEMPT: Final = 0
"""Stands for the attempt in the token of a child: it has none, and steps count from 1."""

TOKEN_DIGITS: Final = 32
"""Hex digits of a token: 128 bits, beyond any guessing through a public door."""


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One attempt of a step."""

    v: int = VERSION
    workflow: str
    run: str
    command: int
    """Number of the run's command, the same for all attempts."""
    attempt: int
    """From 1."""
    name: str
    """The step's name."""
    args: msgspec.Raw = NO_ARGS
    """JSON array of the positional arguments, or `[]` where `ref` names `{"args", "kwargs"}` in the object store."""
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    timeout_us: int = 0
    """Bound of this attempt; 0 for none."""
    recoveries_max: int = STEP_RECOVERIES_MAX
    """Deliveries of this attempt that may end without a word before the step counts as deadly."""
    heartbeat_us: int = 0
    """An attempt that says nothing for so long is given up; 0 for never."""
    task: str = ""
    """In a graph, the task that asks for it, with the number of the item: `build`, `test[3]`."""
    losses: int = 0
    """Deliveries of which nothing is known any more: the server lost the message, and it was queued anew."""
    token: str
    sent_at_us: int = 0

    @property
    def key(self) -> RunKey:
        """The run that waits for the result."""
        return RunKey(self.workflow, self.run)


class PackedArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a `ref` to arguments names, of a start or of a step: arguments too large for the message."""

    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None


def packed_object(args: bytes, kwargs: bytes | None) -> bytes:
    """Joins arguments into the object that a `ref` names; `PackedArguments` reads it."""
    return b'{"args":' + args + b',"kwargs":' + (kwargs or b"null") + b"}"


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Work)
_PACKED_DECODER: Final = msgspec.json.Decoder(PackedArguments)


def encode_work(work: Work) -> bytes:
    """Writes a work message as it is published."""
    return _ENCODER.encode(work)


def decode_work(raw: bytes) -> Work:
    """Reads a work message strictly.

    Raises:
        BadMessage: It is not JSON, does not fit, names no run, or is of a newer version (see `version_of`).
    """
    try:
        work = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        raise BadMessage("schema", f"work: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage("json", f"work: {error if raw else 'empty body'}") from error
    if work.v != VERSION:
        raise BadMessage("schema", f"work of version {work.v}, this worker reads {VERSION}; update the worker")
    if not is_token(work.workflow) or not is_token(work.run):
        raise BadMessage("schema", f"work for {ascii(work.workflow)[:80]}/{ascii(work.run)[:80]}, which names no run")
    return work


def decode_packed(raw: bytes) -> PackedArguments:
    """Reads arguments that were stored apart.

    Raises:
        BadMessage: The object holds something else.
    """
    try:
        return _PACKED_DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage("schema", f"stored arguments: {error}") from error


class _Versioned(msgspec.Struct):
    v: int = 0


_VERSION_DECODER: Final = msgspec.json.Decoder(_Versioned)


def version_of(raw: bytes) -> int:
    """Reads the version alone, of messages that `decode_work` refused; 0 where there is none."""
    try:
        return _VERSION_DECODER.decode(raw).v
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def token(key: bytes, run: RunKey, command: int, attempt: int) -> str:
    """Makes the token of one attempt.

    Args:
        key: The secret of the app's actor workers, at most 64 bytes.
    """
    # Keyed BLAKE2b is a MAC by design, and four times cheaper than HMAC: one is made and one checked per attempt.
    mac = _keyed(key).copy()
    # Names hold no slash, so that different attempts never share a text.
    mac.update(f"{run.workflow}/{run.run}/{command}/{attempt}".encode())
    return mac.hexdigest()


def is_token_valid(key: bytes, run: RunKey, command: int, attempt: int, given: str) -> bool:
    """Tells whether a result's token is that attempt's, in a time that says nothing about where they differ."""
    expected = token(key, run, command, attempt)
    return compare_digest(expected.encode(), given.encode(errors="replace"))


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> blake2b:
    """Begins a MAC; whoever goes on with it takes a copy."""
    return blake2b(key=key, digest_size=TOKEN_DIGITS // 2)
