"""Sagas: what was done is undone, newest first, when a later part fails or is cancelled.

Rules that live here and nowhere else: when compensations run, in which order, and what is raised afterwards. All of it is
plain workflow code on the run's loop: compensations are ordinary commands, a replay makes the same ones, no record knows
of sagas.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, NamedTuple, ParamSpec, cast

from .errors import CompensationFailure, DefinitionError, NotInWorkflow, SagaError
from .host import refuse_in_body
from .loop import Loop, running_loop
from .primitives import shield
from .signals import Blocked
from .step import Step

P = ParamSpec("P")

COMPENSATIONS_MAX: Final = 10_000
"""Per saga: when all of them run at once, half of the commands that a run may have open are left to the rest of it."""

_STOPS: Final = (GeneratorExit, Blocked)
"""How the engine stops code, which is no failure of the code: what it asked for then would never be recorded."""


class _Compensation(NamedTuple):
    name: str
    start: Callable[[], Awaitable[object]]


def saga(*, parallel: bool = False) -> Saga:
    """Undoes what was done in the block, when the block is left by an exception or by a cancel.

        async with saga() as s:
            payment = await charge(order_id, cents)
            s.compensate(refund, payment)
            await ship(order_id)

    **When.** An exception that leaves the block starts the compensations; so does `CancelledError`, whether the run is
    cancelled, a timeout passes or another task of a `TaskGroup` fails. A block that is left without one (also by `return`
    or `break`) drops them. They do not run when the run is terminated or reaches its `max_duration`: both end it
    without running its code.

    **How.** The newest first, each after the one before it; with `parallel` all are started in that order and awaited
    together. A cancel that comes meanwhile waits until they are through, as `shield()` makes it: a cancel of the run takes
    effect at the next await, any other replaces the exception (which stays its `__context__`).

    **Failures.** A compensation that fails for good does not stop the others. If all succeed, the exception that left
    the block goes on. Otherwise `SagaError` is raised from it, naming those that failed: also where the run was
    cancelled, so that it ends as failed. It is not an instance of the first exception's class, as a `StepFailed` is of
    its step's: `except OutOfStock` promises an order that was undone, and somebody has to look at this one. Nor is it an
    `ExceptionGroup`: what failed first and what could not be undone ask for different reactions.

    **Unknown outcomes.** A step that failed or was cancelled may have had its effect, or, cancelled, may still have it
    after the compensation began. Where that matters, register before the step, with what is known by then, and write the
    compensation so that it undoes what is there and lets nothing come later: `s.compensate(refund, order_id)` and then
    `await charge(order_id, cents)`.

    **Tasks.** Tasks that outlive the block find the saga closed. Use a `TaskGroup` inside the block, not a bare `gather`, where
    tasks register what they did: a failed `gather` lets the others go on. A saga in a task that nobody awaits does not
    compensate when the run ends.

    **Nesting.** An inner saga that fails has compensated before the outer one begins. One that succeeded is done: what
    the outer one shall undo is registered with the outer one.

    Args:
        parallel: Whether the compensations run at the same time; only for those that do not depend on each other.

    Raises:
        NotInWorkflow: No workflow is running.
        SagaError: When the block is left: a compensation failed.
    """
    loop = running_loop()
    if loop is None:
        refuse_in_body("saga()", "undoes what was done whatever happens, which needs the run's log")
        raise NotInWorkflow("saga() works inside a workflow; elsewhere use contextlib.AsyncExitStack")
    return Saga(loop, parallel=parallel)


class Saga:
    """Compensations of one block; made by `saga`."""

    def __init__(self, loop: Loop, *, parallel: bool) -> None:
        self._loop = loop
        self._is_parallel = parallel
        self._state = "not entered"
        self._compensations: list[_Compensation] = []

    async def __aenter__(self) -> Saga:
        if self._state != "not entered":
            raise DefinitionError(
                "this saga was entered before; make a new one for each block: `async with saga() as s`"
            )
        self._state = "open"
        return self

    def compensate(self, undo: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Registers what undoes a part of the block: a step, or a coroutine function of the workflow's code.

        It is called with these arguments when the saga fails. Those of a step are checked at once: a mistake is found
        where it is written, not on the day when the compensation is needed.

        Raises:
            DefinitionError: The block is not entered or has been left, or `undo` cannot be called.
            InvalidValue: An argument of the step is missing, unexpected, or cannot become JSON.
        """
        if inspect.iscoroutine(undo):
            undo.close()
            raise DefinitionError("compensate() takes a step and its arguments: `s.compensate(refund, payment)`")
        name = _name(undo)
        if self._state != "open":
            raise DefinitionError(f"compensation {name!r}: the saga is {self._state}; register within its block")
        if not callable(undo):
            raise DefinitionError(f"compensation {name!r} cannot be called; use a step or an async function")
        if len(self._compensations) >= COMPENSATIONS_MAX:
            raise DefinitionError(f"compensation {name!r} is one too many: a saga has {COMPENSATIONS_MAX} at most")
        if isinstance(undo, Step):
            cast("Step[..., Any]", undo).signature.pack(args, kwargs)
        self._compensations.append(_Compensation(name, functools.partial(undo, *args, **kwargs)))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state = "left"
        compensations, self._compensations = self._compensations, []
        if error is None or isinstance(error, _STOPS) or self._loop.is_stopped or not compensations:
            return
        async with shield():
            # In a task of its own: `shield()` holds back a cancel of the run, not one of this task.
            task = self._loop.create_task(self._undo_all(compensations), name="saga")
            cancelled = await _wait_done(task)
            failures = task.result()
        if failures:
            raise SagaError.of(failures, count=len(compensations), original=error) from error
        if cancelled is not None and not isinstance(error, asyncio.CancelledError):
            raise cancelled

    async def _undo_all(self, compensations: list[_Compensation]) -> list[CompensationFailure]:
        newest_first = list(reversed(compensations))
        if self._is_parallel:
            tasks = [self._loop.create_task(_undo(one), name=f"undo-{one.name}") for one in newest_first]
            tried = [await task for task in tasks]
        else:
            tried = [await _undo(one) for one in newest_first]
        return [failure for failure in tried if failure is not None]


async def _wait_done(task: asyncio.Task[Any]) -> asyncio.CancelledError | None:
    """Waits until the task is done, whoever cancels; returns the first cancel that came."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    return cancelled


async def _undo(compensation: _Compensation) -> CompensationFailure | None:
    try:
        await compensation.start()
    except _STOPS:
        raise
    except BaseException as error:  # noqa: BLE001  whatever it is, the others are still to be undone
        return CompensationFailure(compensation.name, error)
    return None


def _name(undo: object) -> str:
    if isinstance(undo, Step):
        return undo.name
    if isinstance(undo, functools.partial):
        return _name(cast("functools.partial[object]", undo).func)
    return str(getattr(undo, "__name__", None) or type(undo).__name__)
