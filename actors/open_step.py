"""Open steps: those that were asked for and have no result yet, and how they fail."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from .commands import RunStep
from .errors import ErrorInfo, StepFailed, mixed_class
from .step import Step


class OpenStep(msgspec.Struct):
    """A step that was asked for and has no result yet."""

    command: RunStep
    step: Step[..., Any]
    future: asyncio.Future[Any]
    attempt: int = 1


def step_failed(step: str, attempts: int, error: ErrorInfo) -> StepFailed:
    """Makes the exception that workflow code sees, an instance of the step's own class too where that is known."""
    cls = cast("type[StepFailed]", mixed_class(StepFailed, error.type))
    failure = cls.__new__(cls, error.message)
    failure.step, failure.attempts, failure.error = step, attempts, error
    return failure
