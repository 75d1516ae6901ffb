"""Admission: which messages need no record. The table lives here and nowhere else (R4, R15, R18).

A verdict acks or dead-letters a message without an append; the shell first makes sure that the actor stands where the
stream stands (R4).
"""

from __future__ import annotations

from .errors import InvalidValue
from .execution import Execution
from .fold import is_due
from .journal import Journal
from .limits import HOOKS_KEPT_MAX
from .messages import (
    CONTINUED,
    Cancel,
    ChildResult,
    Hook,
    Message,
    Pause,
    Resume,
    Start,
    StepResult,
    Terminate,
    Tick,
    Update,
)
from .records import StartMark, start_hash
from .verdict import Verdict
from .workflow import Workflow

__all__ = ["Verdict", "judge", "mark_of"]


def mark_of(start: Start) -> StartMark:
    """Names a start by its sender's id and the hash of its arguments."""
    return StartMark(id=start.id, hash=start_hash(start.args, start.kwargs, start.ref), parent=start.parent)


def judge(
    message: Message,
    *,
    journal: Journal,
    workflow: Workflow[..., object] | None,
    start: StartMark | None,
    execution: Execution | None,
) -> Verdict | None:
    """Returns the verdict on a message, or None when it has to be folded.

    Args:
        start: The mark of the run's start, from the log or earlier in this turn.
        execution: The run's code; None where it is not at hand (parked, or not yet begun).
    """
    seen = journal.seen
    if seen.has_delivery(message):
        return Verdict(message=message, is_repeat=True)
    body = message.body
    if isinstance(body, Start):
        return _judge_start(message, body, workflow, start)
    if body.id and seen.has_id(message):
        return Verdict(message=message)
    if isinstance(body, (Cancel, Terminate)) and body.parent is not None and (not start or start.parent != body.parent):
        return Verdict(message=message)  # meant for a child that never began: the id is somebody else's
    if journal.has_ended:
        return _judge_ended(message, journal)
    if start is None:
        return _judge_unstarted(message, journal)
    return None if _is_needed(message, journal, execution) else _unneeded(message, journal, execution)


def _judge_start(
    message: Message, body: Start, workflow: Workflow[..., object] | None, start: StartMark | None
) -> Verdict | None:
    if start is not None:
        if body.parent is not None and body.parent != start.parent:
            reason = "the run id is taken by a run that is nobody's child, or another's"
            return Verdict(message=message, code="exists", reason=reason)  # its end would never reach this parent
        if mark_of(body).hash == start.hash:
            return Verdict(message=message)  # the caller gets the run that is there
        return Verdict(message=message, code="exists", reason="the run id is taken by a start with other arguments")
    if workflow is not None and body.ref is None:
        try:
            workflow.signature.unpack(body.args, body.kwargs)
        except InvalidValue as error:
            return Verdict(message=message, code="args", reason=str(error))
    return None


def _judge_ended(message: Message, journal: Journal) -> Verdict:
    if isinstance(message.body, (Hook, Update)):
        reason = f"the run has ended ({journal.status}); it takes no more {message.verb}s"
        return Verdict(message=message, code="ended", reason=reason)
    return Verdict(message=message)


def _judge_unstarted(message: Message, journal: Journal) -> Verdict | None:
    body = message.body
    if isinstance(body, (Hook, Cancel, Update)):
        if len(journal.backlog) < HOOKS_KEPT_MAX:
            return None
        reason = f"{HOOKS_KEPT_MAX} messages wait for the start of {journal.key} already; start it first"
        return Verdict(message=message, code="full", reason=reason)
    if isinstance(body, (Terminate, Pause, Resume)):
        reason = f"no run {journal.key} was started; {message.verb} needs one"
        return Verdict(message=message, code="no_run", reason=reason)
    if isinstance(body, Tick) and journal.k and body.due_at_us > message.at_us:
        return Verdict(message=message, early_timer="early")
    return Verdict(message=message)  # a result, tick or child of a run that is forgotten


def _is_needed(message: Message, journal: Journal, execution: Execution | None) -> bool:
    """Tells whether a message changes a run that goes on."""
    body = message.body
    link = journal.link
    if link is not None and isinstance(body, (StepResult, ChildResult)) and body.command <= link.commands:
        # An earlier link's, which has ended with it; but for a child that this one waits for, too.
        return isinstance(body, ChildResult) and _is_adopted(body.command, execution)
    if isinstance(body, StepResult):
        return execution is None or body.command in execution.steps
    if isinstance(body, ChildResult):
        return execution is None or body.command in execution.children
    if isinstance(body, Tick):
        if journal.rests_until_us:
            return True  # by its time it tells whether the next try may begin
        if journal.continued is not None and journal.link is not None and journal.status == "running":
            return body.wake == CONTINUED and body.n == journal.link.n  # others are an earlier link's
        # Without the code nobody knows which timers are open: the tick is kept by parking the run.
        return journal.is_behind or execution is None or is_due(execution, message.at_us)
    if isinstance(body, Resume):
        return journal.is_behind or journal.status in ("paused", "parked")
    if isinstance(body, Pause):
        return journal.status != "paused"
    return True


def _is_adopted(child: int, execution: Execution | None) -> bool:
    """Tells whether a link may wait for a child that an earlier one has started."""
    return execution is None or child in execution.children


def _unneeded(message: Message, journal: Journal, execution: Execution | None) -> Verdict:
    body = message.body
    if execution is None or not isinstance(body, Tick) or body.due_at_us <= message.at_us:
        return Verdict(message=message)
    if body.n:
        # A timer that is not open any more is none: a tick that says otherwise is stale or forged.
        return Verdict(message=message, early_timer=str(body.n) if execution.awaits_time_of(body.n) else "")
    return Verdict(message=message, early_timer="max" if execution.workflow.max_duration_us else "")
