"""Faults: the one border where the server's error codes become jetrun's errors, each with its way out."""

from __future__ import annotations

from typing import Final

from ..actors.errors import (
    BrokerError,
    JetStreamOff,
    NotProvisioned,
    OutcomeUnknown,
    PayloadTooLarge,
    PermissionDenied,
    ServerTooOld,
    StreamFull,
)
from .ports import UNKNOWN, PubAck

REQUIRED_VERSION: Final = (2, 14, 4)
"""Older servers purge foreign subjects by header and do not always sync where they promise it (ADR-51, #8135, #8376)."""

NO_RESPONDERS: Final = 503
"""Status of a request that nobody listens for: no stream holds the subject, or JetStream is off."""

STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
NOT_FOUND: Final = frozenset({STREAM_NOT_FOUND, CONSUMER_NOT_FOUND})
NO_MESSAGE: Final = 10037
GONE: Final = frozenset({NO_MESSAGE, 10043, 10057})
"""The message that was to be deleted is not there (any more)."""

_FULL: Final = frozenset({10002, 10077})
NO_STORAGE: Final = frozenset({10023, 10028, 10047})
"""The server or account has no room for more, whatever the stream's own limits."""
_TOO_LARGE: Final = frozenset({10054, 10097})
_OFF: Final = frozenset({10039, 10076})
_UNCLEAR: Final = frozenset({UNKNOWN, 408, 10008, 10009, 10164})


def fault_of(code: int, description: str, what: str) -> BrokerError:
    """Makes the error that a refusal stands for.

    Args:
        code: The server's `err_code`, an HTTP-like status, or `UNKNOWN`.
        description: The server's words.
        what: What was tried, as the message shall begin: "start of run order/o-1".
    """
    if code in _UNCLEAR:
        return OutcomeUnknown(f"{what}: no answer in time, it may or may not be stored; repeat it with the same id")
    if code in _FULL:
        return StreamFull(
            f"{what}: {description or 'limit reached'} ({code}); let workers catch up, or raise the limit"
        )
    if code in NO_STORAGE:
        return StreamFull(
            f"{what}: {description or 'no storage'} ({code}); free storage, or raise the server's or account's limit"
        )
    if code in _TOO_LARGE:
        return PayloadTooLarge(
            f"{what}: {description or 'message too large'} ({code}); large values go to the object store"
        )
    if code in _OFF:
        return JetStreamOff(
            f"{what}: JetStream is off ({code}); start nats-server with -js, or enable it for the account"
        )
    if code == NO_RESPONDERS:
        return NotProvisioned(
            f"{what}: no stream takes it; run `wfctl provision` for this app, or check the app's name"
        )
    if code in NOT_FOUND:
        return NotProvisioned(f"{what}: {description or 'not found'} ({code}); run `wfctl provision` for this app")
    return BrokerError(f"{what}: {description or 'refused'} ({code})")


def raise_for(ack: PubAck, what: str) -> None:
    """Raises what a publish's answer stands for; returns when it was stored.

    Raises:
        BrokerError: One of its classes, by reaction: `StreamFull`, `PayloadTooLarge`, `NotProvisioned`,
            `OutcomeUnknown`, `JetStreamOff`.
    """
    if ack.code:
        raise fault_of(ack.code, ack.description, what)


def denied(kind: str, subject: str) -> PermissionDenied:
    """Makes the error for a subject that the account may not use; `kind` is "publish" or "subscription"."""
    verb = "publish to" if kind == "publish" else "subscribe to"
    return PermissionDenied(
        f"this user may not {verb} {subject!r}; give its role the right (deploy/ holds the permissions)"
    )


def check_version(version: str, address: str) -> None:
    """Refuses a server that lacks what jetrun leans on.

    Raises:
        ServerTooOld: With both versions.
    """
    numbers = tuple(int(part) for part in version.split("-", 1)[0].split(".") if part.isdigit())
    if numbers < REQUIRED_VERSION:
        needed = ".".join(map(str, REQUIRED_VERSION))
        raise ServerTooOld(
            f"nats-server {version or '(unknown)'} at {address} is too old: jetrun needs {needed} or newer"
        )
