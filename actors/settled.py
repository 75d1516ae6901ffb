"""Settled attempts: what a log says of one attempt of a step, code apart.

A server that was killed may hand out work again that was acked (it forgets acks of its last seconds, and fires again
what it had fired), and so it does when a worker dies between its result and its ack. The log knows better (R8).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from .commands import Close
from .records import Record


class Reported(msgspec.Struct):
    """The attempt that a `step` message reports on."""

    command: int = 0
    attempt: int = 0
    token: str = ""


_REPORTED: Final = msgspec.json.Decoder(Reported)


def reported_by(body: bytes) -> Reported:
    """Reads which attempt a `step` message reports on; command 0 where it cannot be read."""
    try:
        return _REPORTED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Reported()


def is_settled(log: Iterable[Record], n: int, attempt: int) -> bool:
    """Tells whether nobody waits for an attempt of command `n` any more: reported, taken back, or the run has ended.

    A log without records says so too: it was forgotten after the end of its run.
    """
    is_asked = False
    for record in log:
        if record.outcome is not None:
            return True
        if n in record.fired:
            return True  # its time was over
        for folded in record.messages:
            if folded.verb == "step":
                reported = reported_by(bytes(folded.body))
                if reported.command == n and reported.attempt >= attempt:
                    return True
        for command in record.commands:
            if isinstance(command, Close) and command.target == n:
                return True
            is_asked = is_asked or command.n == n
        if record.continued is not None:
            is_asked = False  # what a link has asked for ends with it
    return not is_asked
