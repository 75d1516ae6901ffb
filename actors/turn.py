"""The turn: which of the messages at hand the next record takes (R3, R12)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .admission import judge, mark_of
from .execution import Execution
from .journal import Journal, in_order
from .limits import TURN_BYTES_MAX, TURN_MESSAGES_MAX
from .messages import Cancel, Message, Pause, Resume, Start, Terminate, Tick
from .parking import Parking
from .records import StartMark
from .verdict import Verdict
from .workflow import Workflow


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Messages, divided."""

    taken: list[Message]
    """For the record, in order."""
    verdicts: list[Verdict]
    rest: list[Message]
    """For the next turn."""
    is_deciding: bool
    """The record decides; otherwise it keeps the messages for later."""
    start: StartMark | None
    """The run's start, from the log or from these messages."""


def divide(
    messages: Sequence[Message],
    *,
    journal: Journal,
    parking: Parking,
    workflow: Workflow[..., object] | None,
    execution: Execution | None,
) -> Turn:
    """Divides the messages at hand, whatever their order.

    A record either decides or keeps: where a message wakes the run, or pauses it, the record ends before or after it.
    """
    verdicts: list[Verdict] = []
    taken: list[Message] = []
    start = journal.start
    is_resting = journal.continued is not None and journal.rests_until_us > 0
    is_kept = journal.status in ("paused", "parked") or start is None or is_resting
    size = 0
    ids: set[str] = set()
    queue = in_order(messages) if len(messages) > 1 else messages
    for index, message in enumerate(queue):
        body = message.body
        verdict = judge(message, journal=journal, workflow=workflow, start=start, execution=execution)
        if verdict is None and body.id in ids:
            verdict = Verdict(message=message)  # the same intent twice in one turn (R5)
        if verdict is not None:
            verdicts.append(verdict)
            continue
        wakes = is_kept and (isinstance(body, Start) if start is None else parking.is_woken_by(message))
        if is_resting and wakes and not isinstance(body, (Cancel, Terminate)):
            wakes = message.at_us >= journal.rests_until_us and (isinstance(body, Resume) or not journal.has_kept_pause)
        if is_kept and not wakes and isinstance(body, Tick):
            # Whatever wakes the run brings the time as well.
            verdicts.append(Verdict(message=message, early_timer=parking.early_timer(message, body)))
            continue
        size += len(message.raw)
        is_full = len(taken) >= TURN_MESSAGES_MAX or (size > TURN_BYTES_MAX and bool(taken))
        if is_full or (wakes and taken):
            return Turn(taken=taken, verdicts=verdicts, rest=list(queue[index:]), is_deciding=not is_kept, start=start)
        taken.append(message)
        if body.id:
            ids.add(body.id)
        if start is None and isinstance(body, Start):
            start = mark_of(body)
        is_kept = is_kept and not wakes
        if isinstance(body, Pause) and not is_kept:
            return Turn(taken=taken, verdicts=verdicts, rest=list(queue[index + 1 :]), is_deciding=True, start=start)
    return Turn(taken=taken, verdicts=verdicts, rest=[], is_deciding=not is_kept, start=start)
