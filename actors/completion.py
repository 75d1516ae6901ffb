"""Completion from outside: a step that ends without a result, and the token with which somebody else gives it one.

The token names the attempt and holds what only an actor worker can make for it (R18), so the result goes the way of
every result: by a `step` message, which counts once.
"""

from __future__ import annotations

from typing import Final, NoReturn

import msgspec

from .attempt import attempt
from .errors import InvalidValue
from .names import RunKey, is_token
from .signals import CompleteLater
from .work import TOKEN_DIGITS

_PARTS: Final = 5
_NUMBER_DIGITS_MAX: Final = 12


class Completion(msgspec.Struct, frozen=True):
    """The attempt that a token stands for: `<workflow>/<run>/<command>/<attempt>/<secret>`."""

    key: RunKey
    command: int
    attempt: int
    secret: str

    @classmethod
    def parse(cls, token: str) -> Completion:
        """Reads a token. Raises InvalidValue where it can be none; whether it is a true one the run finds out."""
        parts = token.split("/")
        if len(parts) == _PARTS:
            workflow, run, command, number, secret = parts
            is_named = is_token(workflow) and is_token(run)
            if is_named and _is_number(command) and _is_number(number) and len(secret) == TOKEN_DIGITS:
                return cls(RunKey(workflow, run), int(command), int(number), secret)
        raise InvalidValue("completion token", f"{token[:80]!r} is none; pass on what attempt().completion_token gave")


def complete_later() -> NoReturn:
    """Ends the attempt without a result; whoever has `attempt().completion_token` completes the step.

    Pass the token on before. No process waits meanwhile, and no timeout of the attempt counts any more:
    `schedule_to_close` does. A failure that is told by the token is retried as every failure is, with a new token; the
    old one's result counts still. Where the worker dies before this is recorded, the attempt runs again, with the same token.

    Raises:
        NotInStep: Called outside a step, or in one that was called as a plain function.
    """
    now = attempt()
    raise CompleteLater(f"step {now.step!r} of run {now.workflow}/{now.run} is completed later")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX
