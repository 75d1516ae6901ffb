"""Verdicts: what becomes of a message that is not applied."""

from __future__ import annotations

import msgspec

from .messages import Message
from .records import Refused


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is done with: a dead letter under `code`, or acked where that is empty."""

    message: Message
    code: str = ""
    reason: str = ""
    is_repeat: bool = False
    """This very delivery is in the log already; what its decision owed may still be owed."""
    early_timer: str = ""
    """Name of the timer whose tick came before its time by the clock that stamped it: schedule it again (R14)."""

    @property
    def refusal(self) -> Refused:
        """What a record says of a message that it refuses."""
        return Refused(source=self.message.source, seq=self.message.seq, code=self.code, reason=self.reason)
