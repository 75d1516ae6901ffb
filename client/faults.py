"""Faults: the errors that callers of a run get, made from what its log and the dead letters say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import msgspec

from ..actors.errors import (
    ErrorInfo,
    MessageRefused,
    RunCancelled,
    RunConflict,
    RunEnded,
    RunError,
    RunFailed,
    RunNotFound,
    RunTerminated,
    mixed_class,
)
from ..actors.names import RunKey, chain_of
from ..actors.records import Outcome, Record
from ..streams.dead_letter import DeadLetter


def not_found(key: RunKey, app: str, record: Record | None) -> RunNotFound:
    """Makes the error for a run without log, or (`record`) with messages that wait for its start."""
    kept = "only messages that wait for its start" if record is not None else "its log is empty"
    return RunNotFound(*key, f"no run {key} in app {app!r}, {kept}; start it, or check workflow, id and app")


def taken(key: RunKey, how: str) -> RunConflict:
    """Makes the error for a run id that is taken."""
    return RunConflict(*key, f"run {key} was started before, {how}; use another run id, or get that run")


def refused(key: RunKey, letter: DeadLetter) -> MessageRefused:
    """Makes the error for a start that is among the dead letters."""
    return MessageRefused(*key, f"start of run {key} was refused ({letter.code}): {letter.reason}", code=letter.code)


def ended(key: RunKey, record: Record) -> RunEnded:
    """Makes the error for a message that comes after the end."""
    at = datetime.fromtimestamp(record.summary.ended_at_us // 1_000_000, UTC)
    return RunEnded(
        *key, f"run {key} is {record.summary.status} since {at:%Y-%m-%d %H:%M:%S} UTC; it takes no more messages"
    )


def failure(key: RunKey, outcome: Outcome, output: bytes = b"null") -> RunError:
    """Makes the exception for a run that has not completed.

    Args:
        output: JSON of what it leaves all the same.
    """
    made = _failure(key, outcome)
    made.output = msgspec.json.decode(output)
    return made


def _failure(key: RunKey, outcome: Outcome) -> RunError:
    because = f": {outcome.reason}" if outcome.reason else ""
    match outcome.status:
        case "failed":
            return _failed(key, outcome.error or ErrorInfo(type="Exception", message=outcome.reason))
        case "cancelled":
            return RunCancelled(*key, f"run {key} was cancelled{because}")
        case "terminated":
            return RunTerminated(*key, f"run {key} was terminated{because}")
        case status:
            run = chain_of(key.run)[0]
            return RunEnded(*key, f"link {key} is {status}{because}; run {key.workflow}/{run} has the result")


def _failed(key: RunKey, error: ErrorInfo) -> RunFailed:
    message = f"{error.type}: {error.message}"
    cls = cast("type[RunFailed]", mixed_class(RunFailed, error.type))
    try:
        # Not by `cls(...)`: the other class's constructor may want arguments that nobody has.
        made = cls.__new__(cls, message)
        made.args = (message,)
        made.workflow, made.run, made.error = key.workflow, key.run, error
    except (TypeError, AttributeError):
        made = RunFailed(*key, message)
        made.error = error
    return made
