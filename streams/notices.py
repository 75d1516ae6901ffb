"""Notices: the public bodies that tell how a run has ended, and what became of a message to it."""

from __future__ import annotations

from typing import Final

import msgspec

from ..actors.errors import ErrorInfo
from ..actors.messages import Ref
from ..actors.names import RunKey
from ..actors.records import Answer, Outcome

NOTICE_BYTES_MAX: Final = 64 * 1024
"""A larger result is left out: who wants it reads or asks."""


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a `done` notice, and of the answer to `ask … result`."""

    workflow: str
    run: str
    status: str
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ref: Ref | None = None
    error: ErrorInfo | None = None
    reason: str = ""
    id: str = ""


def done_of(key: RunKey, outcome: Outcome) -> Done:
    """Makes the public form of an outcome."""
    return Done(
        workflow=key.workflow,
        run=key.run,
        status=outcome.status,
        result=outcome.result if outcome.ref is None and _has_result(outcome) else msgspec.UNSET,
        ref=outcome.ref,
        error=outcome.error,
        reason=outcome.reason,
    )


def _has_result(outcome: Outcome) -> bool:
    """Tells whether there is something to say: of a graph run that has not completed, the output that it leaves."""
    return outcome.status == "completed" or bytes(outcome.result) != b"null"


def notice_of(key: RunKey, answer: Answer) -> bytes:
    """Makes the notice of an update's answer; large results stay away from it."""
    error = answer.error
    notice = Done(
        workflow=key.workflow,
        run=key.run,
        status="refused" if answer.is_refused else "answered",
        result=answer.result if error is None and answer.ref is None else msgspec.UNSET,
        ref=answer.ref,
        error=error,
        id=answer.id,
    )
    raw = msgspec.json.encode(notice)
    if len(raw) > NOTICE_BYTES_MAX:
        raw = msgspec.json.encode(msgspec.structs.replace(notice, result=msgspec.UNSET))
    return raw
