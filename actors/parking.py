"""Parking: a run that cannot decide keeps its messages and waits for other code, a person, or another try (R3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .commands import Close, RunStep, StartChild, due_of
from .errors import BadMessage, InvalidValue, MissingValue, ReplayMismatch
from .failures import error_info
from .journal import Journal
from .limits import PARK_RETRY_FIRST_US, PARK_RETRY_MAX_US
from .messages import Cancel, Message, Resume, Terminate, Tick
from .parts import since_last_link
from .records import Parked, Record
from .signals import Blocked

_DOUBLINGS_MAX: Final = 20
_NEEDS_OTHER_CODE: Final = ("blocked", "deadly")
"""A workflow that held the loop, or killed its worker, would do so again."""


class Parking:
    """What decides whether a run that is paused or parked goes on.

    Args:
        code: Hash of the workflow's code in this worker; empty where it has none.
    """

    def __init__(self, journal: Journal, code: str) -> None:
        self._journal = journal
        self._code = code
        self._parked_code = ""

    def use(self, code: str) -> None:
        """Takes note that the run goes on under another version of its code."""
        self._code = code

    def read(self, record: Record) -> None:
        """Takes note of the next record: whose code could not go on."""
        parked, before = record.parked, self._journal.parked
        # While it is parked, records that only keep messages carry the code of whoever wrote them.
        if parked is not None and (before is None or parked.retry_at_us != before.retry_at_us):
            self._parked_code = record.code

    def is_woken_by(self, message: Message) -> bool:
        """Tells whether a message makes the run decide."""
        body, parked = message.body, self._journal.parked
        if isinstance(body, (Terminate, Resume)):
            return True
        if parked is None and self._journal.rests_until_us and self._journal.status == "running":
            return True
        if parked is None:
            return isinstance(body, Cancel)  # who cancels a paused run wants it to end, not to stay paused
        is_worth_it = parked.code not in _NEEDS_OTHER_CODE or self._code != self._parked_code
        is_called = isinstance(body, Tick) and body.wake == "parked"
        # As with all timers, any message makes up for a tick that was lost (R14).
        return is_worth_it and (is_called or message.at_us >= parked.retry_at_us)

    def early_timer(self, message: Message, tick: Tick) -> str:
        """Names the timer of a tick that came before the time of the next try; empty where that is not so."""
        parked = self._journal.parked
        if parked is not None and message.at_us < tick.due_at_us == parked.retry_at_us:
            return "park"
        return "next" if message.at_us < tick.due_at_us == self._journal.rests_until_us else ""


def reason_of(error: Exception | Blocked) -> tuple[str, str]:
    """Says under which code, and with what text, a run is parked that could not decide."""
    match error:
        case ReplayMismatch():
            return "mismatch", str(error)
        case Blocked():
            return "blocked", str(error) or "the workflow held the loop; change its code, then unpark the run"
        case MissingValue():
            return "missing_value", str(error)
        case InvalidValue() | BadMessage():
            return "invalid_start", str(error)
        case _:
            return "error", error_info(error).traceback  # a defect of ours or a hostile value: the worker lives


def parked_again(code: str, reason: str, before: Parked | None, *, now_us: int) -> Parked:
    """Says until when a run that cannot decide waits; longer each time, up to a bound.

    Args:
        before: How it was parked already, if it was.
    """
    tries = before.tries + 1 if before is not None else 1
    delay_us = min(PARK_RETRY_FIRST_US * 2 ** min(tries - 1, _DOUBLINGS_MAX), PARK_RETRY_MAX_US)
    return Parked(code=code, reason=reason, tries=tries, retry_at_us=now_us + delay_us)


class OpenCommands(NamedTuple):
    """What a log asks for and does not take back."""

    steps: list[RunStep]
    timers: list[int]
    children: list[StartChild]


def open_commands(log: Sequence[Record]) -> OpenCommands:
    """Finds what a log asks for and does not take back: all that may be open, and some that ended."""
    log = since_last_link(log)
    commands = {command.n: command for record in log for command in record.commands}
    for record in log:
        for n in record.fired:
            commands.pop(n, None)
        for command in record.commands:
            if isinstance(command, Close):
                commands.pop(command.target, None)
    return OpenCommands(
        steps=[command for command in commands.values() if isinstance(command, RunStep)],
        timers=[command.n for command in commands.values() if due_of(command)],
        children=[command for command in commands.values() if isinstance(command, StartChild)],
    )
