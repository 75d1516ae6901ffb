"""Early messages: what is kept for a run that nobody has started yet, and what ends the wait for its start (R4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .durations import format_us
from .journal import Journal, message_of
from .messages import Cancel, Hook, Message, Start, Tick, Update
from .names import RunKey
from .records import Folded
from .verdict import Verdict


def early_timer(at_us: int, keep_us: int) -> list[tuple[str, int]]:
    """Names the timer that ends the wait: each message that is kept prolongs it."""
    return [("early", at_us + keep_us)]


def end_of_wait(journal: Journal, messages: Sequence[Message], keep_us: int) -> Message | None:
    """Finds the tick that says that nobody starts the run any more; None while anything at hand is still to be kept."""
    if journal.status != "early" or not journal.k or journal.is_expired:
        return None
    if any(isinstance(m.body, (Start, Hook, Cancel, Update)) and not journal.has_folded(m) for m in messages):
        return None
    over_at_us = journal.now_us + keep_us
    return next((m for m in messages if isinstance(m.body, Tick) and m.at_us >= over_at_us), None)


def unclaimed(key: RunKey, kept: Iterable[Folded], keep_us: int) -> list[Verdict]:
    """Gives the verdicts on kept messages when the wait is over."""
    reason = f"nobody has started {key} within {format_us(keep_us)}"
    return [Verdict(message=message_of(folded), code="no_run", reason=reason) for folded in kept]
