"""Admission: which messages need no record. The table lives here and nowhere else (R4, R15, R18).

A verdict acks or dead-letters a message without an append; the shell first makes sure that the actor stands where the
stream stands (R4).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from .errors import InvalidValue
from .journal import Journal
from .messages import Cancel, ChildResult, Hook, Message, Pause, Resume, Start, StepResult, Terminate, Tick, Update
from .records import StartMark, start_hash
from .workflow import Workflow


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a message that gets no record: dead letter under `code`, or ack where that is empty."""

    message: Message
    code: str = ""
    reason: str = ""
    is_repeat: bool = False
    """This very delivery is in the log already; what its decision owed may still be owed."""
    is_early: bool = False
    """A tick that came before its time by the clock that stamped it: schedule the timer again (R14)."""


def mark_of(start: Start) -> StartMark:
    """Names a start by its sender's id and the hash of its arguments."""
    return StartMark(id=start.id, hash=start_hash(start.args, start.kwargs, start.ref))


def judge(
    message: Message,
    *,
    journal: Journal,
    workflow: Workflow[..., object] | None,
    start: StartMark | None,
    open_steps: Collection[int] | None,
    is_due: bool,
) -> Verdict | None:
    """Returns the verdict on a message, or None when it has to be folded.

    Args:
        start: The mark of the run's start, from the log or earlier in this turn.
        open_steps: Numbers of the steps without result; None where that is not known (parked, not yet begun).
        is_due: A message of this time would fire a timer.
    """
    if journal.has_folded(message):
        return Verdict(message=message, is_repeat=True)
    if journal.has_id(message) and not isinstance(message.body, Start):
        return Verdict(message=message)
    match message.body:
        case Start() as body:
            return _judge_start(message, body, workflow, start)
        case Update():
            return Verdict(message=message, code="verb", reason="updates are not taken by this version")
        case ChildResult():
            return Verdict(message=message)
        case _ if journal.has_ended:
            return _judge_ended(message, journal)
        case Hook() | Cancel():
            return None
        case _ if start is None:
            return _judge_unknown(message, journal)
        case StepResult() as body:
            is_late = open_steps is not None and body.command not in open_steps
            return Verdict(message=message) if is_late else None
        case Tick() as body:
            if is_due:
                return None
            return Verdict(message=message, is_early=body.due_at_us > message.at_us)
        case Resume():
            return None if journal.status in ("paused", "parked") else Verdict(message=message)
        case Pause():
            return None if journal.status != "paused" else Verdict(message=message)
        case Terminate():
            return None


def _judge_start(
    message: Message, body: Start, workflow: Workflow[..., object] | None, start: StartMark | None
) -> Verdict | None:
    mark = mark_of(body)
    if start is not None:
        if mark.hash == start.hash:
            return Verdict(message=message)  # the caller gets the run that is there
        return Verdict(message=message, code="exists", reason="the run id is taken by a start with other arguments")
    if workflow is not None and body.ref is None:
        try:
            workflow.signature.unpack(body.args, body.kwargs)
        except InvalidValue as error:
            return Verdict(message=message, code="args", reason=str(error))
    return None


def _judge_ended(message: Message, journal: Journal) -> Verdict:
    if isinstance(message.body, Hook):
        return Verdict(
            message=message, code="ended", reason=f"the run has ended ({journal.status}); it takes no more hooks"
        )
    return Verdict(message=message)


def _judge_unknown(message: Message, journal: Journal) -> Verdict:
    if isinstance(message.body, (Terminate, Pause, Resume)):
        return Verdict(
            message=message, code="no_run", reason=f"no run {journal.key} was started; {message.verb} needs one"
        )
    return Verdict(message=message)  # a result, tick or child of a run that is forgotten
