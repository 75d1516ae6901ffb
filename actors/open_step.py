"""Open steps: calls of steps that have no result yet, from the command to the value or the `StepFailed`.

A call may have a time by which it is over (`schedule_to_close`). That is a timer under the step's own number: it
stands in the step's command, so that replay goes by what was decided, and fires as all timers do (R14).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import msgspec

from .commands import Command, Retry, RunStep, input_hash
from .errors import ErrorInfo, InvalidValue, StepFailed, mixed_class
from .limits import INLINE_PER_DECISION_MAX
from .loop import Loop
from .messages import OptionalRaw, Ref, StepResult
from .records import Record
from .recovery import recovery_of
from .step import Step
from .workflow import Workflow

R = TypeVar("R")


class OpenStep(msgspec.Struct):
    """A step that was asked for and has no result yet."""

    command: RunStep
    step: Step[..., Any]
    future: asyncio.Future[Any]
    asked_at_us: int
    attempt: int = 1
    error: ErrorInfo | None = None
    """Of the attempt before."""
    due_at_us: int = 0
    """When the attempt may begin, 0 for the first."""


class Asking(Protocol):
    """What a step needs of the run that asks for it; `execution.Execution` is one."""

    workflow: Workflow[..., Any]
    loop: Loop
    steps: dict[int, OpenStep]
    closed: dict[int, RunStep | None]
    limits_over: list[int]

    @property
    def last_command(self) -> int: ...
    def check_room(self) -> None: ...
    def claim(self, args: bytes, kwargs: bytes | None, /) -> tuple[Ref | None, msgspec.Raw, OptionalRaw]: ...
    def decide(self, command: RunStep, /) -> RunStep | None: ...
    def take_back(self, target: int, /) -> None: ...
    def await_time(self, due_at_us: int, n: int, /) -> None: ...


async def run_step(execution: Asking, step: Step[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Decides to run a step and waits for its result."""
    return await wait_step(execution, step, step_command(execution, step, args, kwargs))


def step_command(
    execution: Asking, step: Step[..., Any], args: Sequence[object], kwargs: Mapping[str, object], *, task: str = ""
) -> RunStep:
    """Makes the command that asks for a step. Raises InvalidValue where the arguments do not fit, or cannot become JSON."""
    packed = step.signature.pack(args, kwargs)
    execution.check_room()
    ref, raw_args, raw_kwargs = execution.claim(packed.args, packed.kwargs)
    now_us = execution.loop.now_us
    return RunStep(
        n=execution.last_command + 1,
        name=step.name,
        queue=step.queue,
        args=raw_args,
        kwargs=raw_kwargs,
        ref=ref,
        hash=input_hash(step.name.encode(), packed.hash_input),
        timeout_us=step.timeout_us,
        recoveries_max=recovery_of(step.recovery, execution.workflow.recovery).deliveries_max,
        close_at_us=now_us + step.schedule_to_close_us if step.schedule_to_close_us else 0,
        heartbeat_us=step.heartbeat_us,
        inline=step.is_inline,
        task=task,
    )


async def wait_step(execution: Asking, step: Step[..., Any], command: RunStep) -> Any:
    """Decides on a step's command and waits for its result."""
    now_us = execution.loop.now_us
    recorded = execution.decide(command)
    future = execution.loop.create_future()
    if recorded is not None:
        # As the log has it: its queue and limits are those under which the step is out, whatever the code says now.
        execution.steps[command.n] = OpenStep(command=recorded, step=step, future=future, asked_at_us=now_us)
        if recorded.close_at_us:
            execution.await_time(recorded.close_at_us, recorded.n)
    try:
        return await future
    finally:
        if command.n in execution.steps:
            execution.take_back(command.n)


async def run_with_fallback(
    execution: Asking, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Runs a step; where it fails for good, its `on_failure` says what the call comes to."""
    try:
        return await run_step(execution, step, args, kwargs)
    except StepFailed as failed:
        fallback = step.fallback
        if fallback is None:
            return value_instead(step, failed)
    return await fallback(*args, **kwargs)


def value_instead(step: Step[..., Any], failed: StepFailed) -> object:
    """Returns what `on_failure` puts in the place of a failure where it names no step."""
    value = step.on_failure
    return cast("Callable[[StepFailed], object]", value)(failed) if callable(value) else value


def resolve(execution: Asking, n: int, raw: bytes | msgspec.Raw) -> None:
    """Gives an open step its result."""
    entry = _end(execution, n)
    if entry.future.done():
        return
    try:
        value = entry.step.signature.unpack_result(raw)
    except InvalidValue as error:
        info = ErrorInfo(type="InvalidValue", message=str(error), code="invalid_result")
        entry.future.set_exception(step_failed(entry.command.name, entry.attempt, info))
    else:
        entry.future.set_result(value)


def fail(execution: Asking, n: int, error: ErrorInfo) -> None:
    """Gives an open step its final failure."""
    entry = _end(execution, n)
    if not entry.future.done():
        entry.future.set_exception(step_failed(entry.command.name, entry.attempt, error))


def try_again(execution: Asking, entry: OpenStep, retry: Retry, error: ErrorInfo) -> None:
    """Goes on to the next attempt, or fails the step where that would come after `schedule_to_close`."""
    entry.error = error
    if is_too_late(entry.command, retry):
        fail(execution, retry.n, _closed(entry))
    else:
        entry.attempt, entry.due_at_us = retry.attempt, retry.due_at_us


def expire(execution: Asking, n: int) -> None:
    """Fails a step whose `schedule_to_close` has come: its work and retry are taken back, a running attempt is told."""
    entry = execution.steps[n]
    execution.closed[n] = entry.command
    fail(execution, n, _closed(entry))


def is_too_late(command: RunStep, retry: Retry) -> bool:
    """Tells whether a retry was decided that can only come after the call is over: it is recorded, and never made."""
    return 0 < command.close_at_us <= retry.due_at_us


def split_inline(asked: list[RunStep]) -> tuple[list[RunStep], list[RunStep]]:
    """Divides steps into those that are queued and those that the actor worker runs itself."""
    inline = [command for command in asked if command.inline][:INLINE_PER_DECISION_MAX]
    return [command for command in asked if command not in inline] if inline else asked, inline


def limits_left(execution: Asking) -> list[int]:
    """Lists the steps whose `schedule_to_close` may still wait at the end of a run."""
    steps = [*(entry.command for entry in execution.steps.values()), *execution.closed.values()]
    return [*(step.n for step in steps if step is not None and step.close_at_us), *execution.limits_over]


def limits_ended(log: Sequence[Record], results: Iterable[StepResult], asked: Mapping[int, Command]) -> list[int]:
    """Finds in a log the steps with a `schedule_to_close` that these results have ended.

    Args:
        results: Of the last decision.
        asked: The log's commands by number.
    """
    ended: list[int] = []
    for body in results:
        command = asked.get(body.command)
        if not isinstance(command, RunStep) or not command.close_at_us:
            continue
        later = [r for record in log for r in record.retries if r.n == command.n and r.attempt > body.attempt]
        if body.error is None or all(is_too_late(command, retry) for retry in later):
            ended.append(command.n)
    return ended


def _end(execution: Asking, n: int) -> OpenStep:
    entry = execution.steps.pop(n)
    if entry.command.close_at_us:
        execution.limits_over.append(n)
    return entry


def _closed(entry: OpenStep) -> ErrorInfo:
    limit_s = (entry.command.close_at_us - entry.asked_at_us) / 1e6
    text = f"step {entry.command.name!r} was not done within its schedule_to_close of {limit_s:g} s"
    if entry.error is not None:
        text += f"; attempt {entry.attempt} of it failed last: {entry.error.type}: {entry.error.message}"
    return ErrorInfo(type="TimeoutError", message=text, code="schedule_to_close")


def step_failed(step: str, attempts: int, error: ErrorInfo) -> StepFailed:
    """Makes the exception that workflow code sees, an instance of the step's own class too where that is known."""
    cls = cast("type[StepFailed]", mixed_class(StepFailed, error.type))
    failure = cls.__new__(cls, error.message)
    failure.step, failure.attempts, failure.error = step, attempts, error
    return failure
