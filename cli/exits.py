"""Exit codes: the whole list, and which error ends a command with which code and line.

0 done, 1 failure, 2 usage, 70 server lost, 130 interrupted. Stable: scripts and supervisors depend on them.
"""

from __future__ import annotations

import os
import sys
from typing import Final, cast

from ..actors.errors import BadConfiguration, InvalidDuration, InvalidName, JetrunError, ServerLost

DONE: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
SERVER_LOST: Final = 70
INTERRUPTED: Final = 130


class UsageProblem(JetrunError):
    """What was typed cannot be meant: exit code 2."""


class Stopped(JetrunError):
    """Ends a command with a code, after it has printed all there is to say."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def code_of(error: JetrunError) -> int:
    """Says with which code an error ends the command."""
    match error:
        case Stopped():
            return error.code
        case UsageProblem() | BadConfiguration() | InvalidName() | InvalidDuration():
            return USAGE
        case ServerLost():
            return SERVER_LOST
        case _:
            return FAILURE


def unwrap(error: BaseException) -> BaseException:
    """Finds what to tell about a group of errors from concurrent tasks.

    An interrupt comes first, then our own errors in their order, then whatever is first.
    """
    found = _leaves(error)
    for wanted in (KeyboardInterrupt, SystemExit, JetrunError, BrokenPipeError):
        for leaf in found:
            if isinstance(leaf, wanted):
                return leaf
    return found[0]


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for one in group.exceptions for leaf in _leaves(one)]


def first_line(error: JetrunError) -> str:
    """Returns what an error says, without the remote traceback that some carry: `wfctl runs show` prints that."""
    return str(error).split("\n--- remote traceback ---", 1)[0]


def silence_stdout() -> None:
    """Points standard output nowhere, so that the flush at exit cannot complain about a reader that has left."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # no real file behind it, as under a test runner
        return
