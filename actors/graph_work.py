"""Work: one thing that a task asks for, from the command to how it has ended. A piece of `graph_run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, assert_never, cast

from .child import ChildHandle, restart_child, start_child
from .commands import OpenHook, RunStep, StartChild
from .durations import format_us
from .errors import ChildFailed, ErrorInfo, FatalError, HookExpired, JetrunError, StepFailed, qualified_name
from .execution import Execution
from .graph_asking import Ask
from .graph_evaluation import ENDLESS, Misfit, backoff_us
from .graph_events import ActionEnded
from .graph_model import ChildAction, HookAction, StepAction, Task, TimerAction
from .graph_moves import TaskStatus
from .graph_state import Activation
from .hook import hook
from .limits import RETRIES_MAX
from .open_step import step_command, wait_step
from .retry import RetryPolicy
from .step import Step
from .workflow import call

_TIMEOUTS: Final = frozenset({"step_timeout", "heartbeat_timeout", "schedule_to_close"})
_FINAL_CODES: Final = frozenset({"worker_died", "worker_lost", "unknown_step", "args"})
_FATAL: Final = qualified_name(FatalError)


class Work:
    """What an activation asks for, to be done in a task of its own.

    Args:
        filled: On replay: evaluates name and arguments where the log was cut off before it had them.
    """

    __slots__ = ("activation", "ask", "command", "doing", "execution", "filled", "is_last", "task")

    def __init__(
        self,
        execution: Execution,
        ask: Ask,
        activation: Activation,
        task: Task,
        *,
        filled: Callable[[Ask], Ask] | None,
    ) -> None:
        self.execution = execution
        self.ask = ask
        self.activation = activation
        self.task = task
        self.filled = filled
        self.doing: asyncio.Task[None] | None = None
        self.command = 0
        """Of a step, its number."""
        self.is_last = False
        """Its attempt is the last one, whatever comes of it."""

    @property
    def is_a_wait(self) -> bool:
        """Tells whether a new link of the run can go on waiting for it."""
        return self.ask.index is None and isinstance(self.ask.action, (TimerAction, HookAction))

    @property
    def is_backing_off(self) -> bool:
        """Tells whether a step waits for its next attempt."""
        entry = self.execution.steps.get(self.command)
        return entry is not None and entry.due_at_us > self.execution.loop.now_us

    def retry_no_more(self) -> None:
        """Has the attempt of a step that is under way be its last."""
        self.is_last = True
        entry = self.execution.steps.get(self.command)
        if entry is not None and self.activation.retries:
            entry.step = entry.step.options(max_retries=0)

    def cancel(self) -> None:
        """Gives it up."""
        if self.doing is not None:
            self.doing.cancel()


async def end_of(work: Work) -> ActionEnded:
    """Does it, and tells how it has ended."""
    try:
        match work.ask.action:
            case StepAction():
                return _ended(work, "succeeded", await _run_step(work, work.ask.action))
            case ChildAction():
                return await _run_child(work, work.ask.action)
            case TimerAction():
                await _sleep(work.execution, work.activation.due_at_us)
                return _ended(work, "succeeded", None)
            case HookAction():
                return _ended(work, "succeeded", await _wait_hook(work))
            case _:
                assert_never(work.ask.action)
    except StepFailed as failed:
        status: TaskStatus = "timeout" if failed.error.code in _TIMEOUTS else "failed"
        is_final = _FATAL in (failed.error.type, *failed.error.bases) or failed.error.code in _FINAL_CODES
        return _ended(work, status, None, failed.error, is_final=is_final)
    except HookExpired as expired:
        return _ended(work, "timeout", None, ErrorInfo(type="TimeoutError", message=str(expired), code="hook_timeout"))
    except JetrunError as error:  # arguments that are no JSON, a name that is none, too many commands
        info = ErrorInfo(type=type(error).__name__, message=str(error), code="invalid_ask")
        return _ended(work, "failed", None, info, is_final=True)
    except Misfit as misfit:
        info = ErrorInfo(type="GraphError", message=str(misfit), code=misfit.kind)
        return _ended(work, "failed", None, info, is_final=True)


def _ended(
    work: Work, status: TaskStatus, result: object, error: ErrorInfo | None = None, *, is_final: bool = False
) -> ActionEnded:
    return ActionEnded(
        id=work.ask.activation, index=work.ask.index, status=status, result=result, error=error, is_final=is_final
    )


# --- steps ------------------------------------------------------------------------------------------------
async def _run_step(work: Work, action: StepAction) -> object:
    execution, recorded = work.execution, work.execution.recorded_next()
    if work.filled is not None and isinstance(recorded, RunStep) and recorded.task == work.ask.label:
        step, command = _step_of(work, action, recorded.name), recorded
    else:
        ask = work.ask if work.filled is None else work.filled(work.ask)
        step = _step_of(work, action, ask.name)
        command = step_command(execution, step, ask.args, ask.kwargs, task=ask.label)
    work.command = command.n
    return await wait_step(execution, step, command)


def _step_of(work: Work, action: StepAction, name: str) -> Step[..., Any]:
    step = _named_step(name, action.queue, action.timeout_us, action.heartbeat_us, action.recovery_attempts)
    if not work.activation.retries or work.is_last:
        return step
    made = step.options()
    made.retry = _retry_policy(work)
    return made


@lru_cache(maxsize=1024)
def _named_step(
    name: str, queue: str, timeout_us: int, heartbeat_us: int, recovery_attempts: int | None
) -> Step[..., Any]:
    """Makes a step of which nothing is known but its name; it takes and returns any JSON."""

    async def anything(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    return Step(
        anything,
        name=name,
        given={
            "queue": queue,
            "max_retries": 0,
            "timeout": timeout_us / 1e6 if timeout_us else None,
            "heartbeat_timeout": heartbeat_us / 1e6 if heartbeat_us else None,
            "max_recovery_attempts": recovery_attempts,
        },
    )


def _retry_policy(work: Work) -> RetryPolicy:
    """Makes the engine's policy of a task's."""
    attempts, activation = work.task.attempts, work.activation
    assert attempts is not None, "it has retries"
    delay_us, retries = activation.delay_us, activation.retries
    return RetryPolicy(
        max_retries=RETRIES_MAX if retries == ENDLESS else retries,
        delays_us=(),
        compute=lambda attempt: backoff_us(attempts, delay_us, attempt) / 1e6,
        cap_us=backoff_us(attempts, delay_us, RETRIES_MAX),
        is_jittered=attempts.is_jittered,
        non_retryable=frozenset(),
    )


# --- children ---------------------------------------------------------------------------------------------
async def _run_child(work: Work, action: ChildAction) -> ActionEnded:
    recorded = work.execution.recorded_next()
    if work.filled is not None and isinstance(recorded, StartChild):
        handle: ChildHandle[object] = restart_child(recorded)
    else:
        ask = work.ask if work.filled is None else work.filled(work.ask)
        handle = start_child(call(ask.name, *ask.args, **ask.kwargs), app=action.app)
    try:
        if action.timeout_us:
            async with asyncio.timeout(action.timeout_us / 1e6):
                return _ended(work, "succeeded", await handle.result())
        return _ended(work, "succeeded", await handle.result())
    except TimeoutError:
        reason = f"task {work.ask.label} has a timeout of {format_us(action.timeout_us)}"
        handle.cancel(reason)
        return _ended(work, "timeout", None, ErrorInfo(type="TimeoutError", message=reason, code="child_timeout"))
    except ChildFailed as failed:
        status: TaskStatus = "cancelled" if failed.status == "cancelled" else "failed"
        return _ended(work, status, None, failed.error, is_final=failed.status != "failed")
    except asyncio.CancelledError:
        handle.cancel(f"task {work.ask.label} was given up")
        raise


# --- waits ------------------------------------------------------------------------------------------------
async def _sleep(execution: Execution, due_at_us: int) -> None:
    future: asyncio.Future[None] = execution.loop.create_future()
    timer = execution.start_timer("sleep", due_at_us, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        timer.cancel()


async def _wait_hook(work: Work) -> object:
    execution, recorded = work.execution, work.execution.recorded_next()
    if work.filled is not None and isinstance(recorded, OpenHook):
        name = recorded.name
    else:
        name = (work.ask if work.filled is None else work.filled(work.ask)).name
    due_at_us = work.activation.due_at_us
    timeout_s = max(0, due_at_us - execution.loop.now_us) / 1e6 if due_at_us else None
    return cast(object, await hook(name, timeout=timeout_s))
