"""How step workers answer for runs of workflows with `durable=False`, in the shapes of workflows."""

from __future__ import annotations

from jetrun.actors.commands import RunStep
from jetrun.actors.errors import ErrorInfo


def body_fails(command: RunStep, attempt: int) -> object:
    if attempt == 1:
        return ErrorInfo(type="UnknownStep", message="a worker of before the deploy", code="unknown_step")
    return ErrorInfo(type="ValueError", message="no such order", bases=["Exception"])


def body_answers(command: RunStep, attempt: int) -> object:
    return 8
