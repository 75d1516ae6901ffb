"""Attempt: what a running step can ask about itself.

The worker sets it, the step reads it through `attempt()`. It holds no clock: `deadline` was computed by the worker.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar, final

import msgspec

from .errors import InvalidValue, NotInStep
from .limits import HEARTBEAT_BYTES_MAX, PROGRESS_TEXT_CHARS_MAX
from .values import decode, encode

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Voice(Protocol):
    """What an attempt speaks through; a worker's `Heartbeats` is one. Safe from any thread."""

    def heartbeat(self, details: bytes | None) -> None: ...
    def progress(self, fraction: float | None, text: str) -> None: ...


@final
class Attempt:
    """One attempt of a step, while it runs.

    Reading is safe from any thread; the worker alone sets `is_cancelled`.
    """

    __slots__ = (
        "_heard",
        "_token",
        "_voice",
        "asked_at_us",
        "command",
        "deadline_at_us",
        "is_cancelled",
        "is_in_place",
        "number",
        "run",
        "step",
        "task",
        "workflow",
    )

    def __init__(  # noqa: PLR0913  # what a worker knows of an attempt
        self,
        *,
        workflow: str,
        run: str,
        step: str,
        command: int,
        number: int,
        deadline_at_us: int = 0,
        token: str = "",
        heard: bytes | None = None,
        voice: Callable[[], Voice] | None = None,
        asked_at_us: int = 0,
        task: str = "",
    ) -> None:
        self._token = token
        self._heard = heard
        self._voice = voice
        self.workflow = workflow
        self.run = run
        self.step = step
        """Name of the step."""
        self.command = command
        """Number of the command within the run, the same for all attempts; in a workflow with `durable=False`, of the step
        within the body, in the order of the calls.
        """
        self.number = number
        """1 for the first attempt, 2 for the first retry. Redeliveries of one attempt share its number."""
        self.deadline_at_us = deadline_at_us
        """When the attempt times out, by the worker's clock; 0 for never."""
        self.asked_at_us = asked_at_us
        """When the attempt was asked for, by the server's clock: the same when it is handed out again."""
        self.task = task
        """In a graph, the task that asks for it, with the number of the item: `build`, `test[3]`; "" elsewhere."""
        self.is_in_place = False
        """Whether it runs within the body of a workflow with `durable=False`."""
        self.is_cancelled = False
        """True once nobody waits for the result any more. Async steps also get `CancelledError`; sync ones look here."""

    @property
    def idempotency_key(self) -> str:
        """`<workflow>/<run>/<command>`: the same for all attempts, different for all other steps of the app."""
        return f"{self.workflow}/{self.run}/{self.command}"

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out, by the worker's clock; None for never."""
        return _EPOCH + timedelta(microseconds=self.deadline_at_us) if self.deadline_at_us else None

    @property
    def completion_token(self) -> str:
        """What completes this step from outside after `complete_later()`: a secret, for whoever is to give the result."""
        return f"{self.idempotency_key}/{self.number}/{self._token}"

    # --- heartbeats --------------------------------------------------------------------------
    def heartbeat(self, details: object = msgspec.UNSET) -> None:
        """Says that the attempt goes on, and where it is: after a crash or a failure the next attempt reads the details.

        Never waits, so call it as often as you like. Details are stored within a second, and before a failure of this
        attempt is reported; what was said in the last second before a `kill -9` is lost.

        Args:
            details: Anything that can be JSON, of at most `HEARTBEAT_BYTES_MAX` bytes; the last ones stay if left out.

        Raises:
            InvalidValue: The details cannot be stored.
        """
        raw: bytes | None = None
        if details is not msgspec.UNSET:
            where = f"heartbeat of step {self.step!r}"
            raw = encode(details, where=where)
            if len(raw) > HEARTBEAT_BYTES_MAX:
                raise InvalidValue(where, f"{len(raw)} bytes of JSON; at most {HEARTBEAT_BYTES_MAX}: say where you are")
        if self._voice is not None:
            self._voice().heartbeat(raw)

    @property
    def has_heard(self) -> bool:
        """Tells whether an attempt before this one, or a delivery of this one, has left details."""
        return self._heard is not None

    @property
    def last_heartbeat(self) -> Any:
        """The newest details that an attempt before this one, or a lost delivery of this one, has left; else None."""
        return None if self._heard is None else msgspec.json.decode(self._heard)

    def last_heartbeat_as(self, type_: type[T], /) -> T | None:
        """Reads `last_heartbeat` as a type, such as a dataclass or `dict[str, int]`.

        Raises:
            InvalidValue: The details do not fit; another version of the step may have left them.
        """
        where = f"last heartbeat of step {self.step!r}"
        return None if self._heard is None else decode(self._heard, type_, where=where)

    def progress(self, fraction: float | None = None, text: str = "") -> None:
        """Tells whoever watches the run (`wfctl tail`) how far the step is; a heartbeat, too. Nothing is stored.

        Never waits; a few of many are shown.

        Args:
            fraction: From 0 to 1; what lies outside is cut.
            text: Cut after `PROGRESS_TEXT_CHARS_MAX` characters.
        """
        if self._voice is not None:
            shown = None if fraction is None else min(1.0, max(0.0, float(fraction)))
            self._voice().progress(shown, text[:PROGRESS_TEXT_CHARS_MAX])

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name run, command and attempt, in fields that `wfctl worker` shows."""
        fields = {"run": f"{self.workflow}/{self.run}", "command": self.command, "attempt": self.number}
        return logging.LoggerAdapter(logging.getLogger(f"jetrun.step.{self.step}"), {"fields": fields})

    # --- cancellation ------------------------------------------------------------------------
    def check_cancelled(self) -> None:
        """Ends the step where it has been cancelled: for loops of sync steps.

        Raises:
            asyncio.CancelledError: As an async step gets it; `except Exception` does not hold it up.
        """
        if self.is_cancelled:
            raise CancelledError(f"step {self.step!r} of run {self.workflow}/{self.run} was cancelled")

    def __repr__(self) -> str:
        return f"<attempt {self.number} of step {self.step!r}, {self.idempotency_key}>"


CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("jetrun_attempt", default=None)
"""Set by the step worker, in the context of the step's own task or thread."""


def attempt() -> Attempt:
    """Returns the attempt that is running here; threads and tasks that a step starts with its context see it too.

    Raises:
        NotInStep: Called outside a step, or in one that was called as a plain function.
    """
    found = CURRENT.get()
    if found is None:
        raise NotInStep("attempt() asked where no step worker runs a step; as a plain function a step has no attempt")
    return found
