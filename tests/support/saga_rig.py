"""A saga to break: its steps, its log, and what was undone in it."""

from __future__ import annotations

from jetrun.actors import saga, step, workflow
from jetrun.actors.commands import RunStep
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.messages import StepResult

from .log_rig import LogRig


@step
async def book(what: str) -> str:
    raise AssertionError


@step(max_retries=0)
async def undo(what: str) -> None:
    raise AssertionError


@workflow
async def trip() -> str:
    async with saga() as s:
        s.compensate(undo, await book("flight"))
        s.compensate(undo, await book("hotel"))
        s.compensate(undo, what=await book("car"))
    return "booked"


def failing(rig: LogRig, n: int, type_: str = "OSError", *, at_s: float | None = None) -> None:
    """Gives a step its final failure."""
    error = ErrorInfo(type=type_, message="no luck")
    body = StepResult(command=n, attempt=1, token="", error=error, is_retryable=False)
    rig.feed(rig.message(body, at_s=at_s))


def undone(rig: LogRig) -> list[str]:
    """Arguments of the compensations that were asked for, in order."""
    commands = [c for record in rig.records for c in record.commands if isinstance(c, RunStep) and c.name == "undo"]
    return [bytes(command.args).decode().strip('["]') or str(command.kwargs) for command in commands]


def settle(rig: LogRig) -> None:
    """Lets every compensation that is out succeed, and what follows from it."""
    while rig.owed.steps and not rig.actor.journal.has_ended:
        for command in rig.owed.steps:
            rig.step(command.n)


def settle_open(rig: LogRig) -> None:
    """As `settle`, from what is open rather than from what the last decision owes."""
    execution = rig.actor._execution
    assert execution is not None
    for _ in range(10):
        for n in [*execution.steps]:
            rig.step(n)
