"""Attempt: what a running step can ask about itself.

The worker sets it, the step reads it through `attempt()`. It holds no clock: `deadline` was computed by the worker.
"""

from __future__ import annotations

from asyncio import CancelledError
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final, final

from .errors import NotInStep

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@final
class Attempt:
    """One attempt of a step, while it runs.

    Reading is safe from any thread; the worker alone sets `is_cancelled`.
    """

    __slots__ = (
        "asked_at_us",
        "command",
        "deadline_at_us",
        "is_cancelled",
        "is_in_place",
        "number",
        "run",
        "step",
        "workflow",
    )

    def __init__(
        self,
        *,
        workflow: str,
        run: str,
        step: str,
        command: int,
        number: int,
        deadline_at_us: int = 0,
        asked_at_us: int = 0,
    ) -> None:
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

    def raise_if_cancelled(self) -> None:
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
