"""A running step: one attempt, from its work message to its outcome, on the loop or in a thread.

Ends exactly once with an outcome, whatever the step does: returns, raises anything, ignores its cancellation, hangs.
It knows nothing of acks and results; its owner does.

Async steps are plain tasks that this object owns, not children of a task group: a group waits for all of its tasks, so
that one step that ignores cancellation would hold the worker for ever. Their end is the outcome or the worker's.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from logging import WARNING
from typing import Any, NamedTuple, Protocol, cast

from ..actors.attempt import CURRENT, Attempt
from ..actors.errors import BadMessage, BrokerError, InvalidValue
from ..actors.limits import STEP_CANCEL_GRACE_S
from ..actors.recovery import Recovery
from ..actors.values import Signature
from ..actors.work import PackedArguments, Work, decode_packed
from .heartbeats import Heartbeats
from .ports import Broker
from .step_outcome import (
    Failed,
    StepOutcome,
    cancelled,
    invalid_arguments,
    missing_value,
    packed,
    raised,
    silent,
    timed_out,
)
from .subjects import App
from .telemetry import log
from .threads import Threads


class Runnable(Protocol):
    """What a worker needs to know of a step; `actors.step.Step` is one."""

    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def is_async(self) -> bool: ...
    @property
    def is_body(self) -> bool: ...  # the code of a workflow with durable=False, which needs a host
    @property
    def recovery(self) -> Recovery | None: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def function(self) -> Callable[..., Any]: ...  # user code: whatever it returns is looked at when it is encoded


class Catalogue(Protocol):
    """The steps that a worker knows; `actors.registry.Registry` is one."""

    @property
    def steps(self) -> Mapping[str, Runnable]: ...


class Bench(NamedTuple):
    """What all running steps of a worker share."""

    broker: Broker
    app: App
    loop: asyncio.AbstractEventLoop
    threads: Threads[StepOutcome]
    worker: str
    """Its id."""
    owner: asyncio.Task[object]
    """The worker's own task: where it is being cancelled, a step's cancellation is the worker's end, not a failure."""


OnEnd = Callable[["RunningStep", StepOutcome], None]
OnExit = Callable[["RunningStep"], None]


class RunningStep:
    """One attempt that runs.

    Args:
        key: The owner's own name for it: a number, and when the work was asked for, in microseconds.
        on_end: Called on the loop once, with the outcome. Not called after `abandon`.
        on_exit: Called on the loop when code that `is_left_running` has come to its end after all.
        last_heartbeat: Details that an attempt or delivery before this one has left.
    """

    __slots__ = (
        "_bench",
        "_failure",
        "_has_begun",
        "_is_abandoned",
        "_is_ended",
        "_is_stopped",
        "_on_end",
        "_on_exit",
        "_step",
        "_timer",
        "attempt",
        "has_heard",
        "is_left_running",
        "key",
        "task",
        "voice",
        "work",
    )

    def __init__(
        self,
        key: tuple[int, int],
        work: Work,
        step: Runnable,
        bench: Bench,
        *,
        started_at_us: int,
        on_end: OnEnd,
        on_exit: OnExit,
        last_heartbeat: bytes | None = None,
    ) -> None:
        self.key = key
        self.work = work
        self.voice: Heartbeats | None = None
        """Heartbeats and progress: from the first one on, or from the start where silence ends the attempt."""
        self.attempt = Attempt(
            workflow=work.workflow,
            run=work.run,
            step=work.name,
            command=work.command,
            number=work.attempt,
            deadline_at_us=started_at_us + work.timeout_us if work.timeout_us else 0,
            token=work.token,
            heard=last_heartbeat,
            voice=self._speak,
            asked_at_us=key[1],
            task=work.task,
        )
        """Gone when it has ended."""
        self.has_heard = last_heartbeat is not None
        """Details were left, which nobody needs after a success."""
        self.task: asyncio.Task[None] | None = None
        self.is_left_running = False
        """The outcome is known (a timeout), the code runs on: a thread, or a task that ignores its cancellation."""
        self._step = step
        self._bench = bench
        self._on_end = on_end
        self._on_exit = on_exit
        self._failure: Failed | None = None
        """Why it was cancelled: what it reports in place of its `CancelledError`."""
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._is_stopped = False
        self._is_abandoned = False
        self._is_ended = False

    # --- what its owner does -----------------------------------------------------------------
    def start(self) -> None:
        """Runs the step: async functions as a task, sync ones in a thread."""
        work = self.work
        if work.heartbeat_us:
            self._speak()
        if work.timeout_us:
            self._timer = self._bench.loop.call_later(work.timeout_us / 1_000_000, self._expire)
        if self._step.is_async:
            self.task = self._bench.loop.create_task(self._run(), name=work.name)
        elif work.ref is None:
            self._submit(PackedArguments(args=work.args, kwargs=work.kwargs))
        else:
            self.task = self._bench.loop.create_task(self._fetch_and_submit(), name=work.name)

    def stop(self) -> None:
        """Cancels the step because nobody waits for it. An async one has a grace to clean up; a sync one sees a flag."""
        if self._is_ended or self._failure is not None:
            return
        self._is_stopped = True
        self._cancel(cancelled(self.work))

    def abandon(self) -> None:
        """Cancels the step because the worker leaves: no outcome, the work will be delivered to another worker."""
        if self._is_ended and not self.is_left_running:
            return
        self._is_abandoned = True
        self.attempt.is_cancelled = True
        self._stop_timer()
        if self.voice is not None:
            self.voice.end()
        if self.task is not None:
            self.task.cancel()

    # --- heartbeats ----------------------------------------------------------------------------
    def _speak(self) -> Heartbeats:
        """Makes the attempt's voice when it first has something to say; from the step's own thread, too."""
        if self.voice is None:
            bench = self._bench
            self.voice = Heartbeats(
                bench.broker, bench.app, bench.loop, self.work, worker=bench.worker, on_silence=self._on_silence
            )
        return self.voice

    def _on_silence(self) -> None:
        if self._failure is None and not self._is_ended:
            self._give_up(silent(self.work))

    # --- on the loop ---------------------------------------------------------------------------
    async def _run(self) -> None:
        self._has_begun = True
        work = self.work
        step = self._step
        outcome: StepOutcome
        try:
            if self._failure is not None:  # cancelled before it began; a task cannot be, without losing its end
                outcome = self._failure
            else:
                CURRENT.set(self.attempt)
                arguments = work if work.ref is None else await self._fetch()
                if isinstance(arguments, Failed):
                    outcome = arguments
                else:
                    try:
                        args, kwargs = step.signature.unpack(arguments.args, arguments.kwargs)
                    except InvalidValue as error:
                        outcome = invalid_arguments(error)
                    else:
                        value = await cast("Awaitable[object]", step.function(*args, **kwargs))
                        outcome = packed(step.signature, value, work.name)
        except BaseException as error:  # noqa: BLE001  # whatever a step raises is its outcome; the worker lives on
            if self._is_abandoned or (isinstance(error, CancelledError) and self._bench.owner.cancelling()):
                return
            outcome = self._failure or raised(error, now_us=self._bench.broker.now_us())
        self._end(outcome)

    async def _fetch(self) -> PackedArguments | Failed:
        """Reads arguments that were too large for the message; waits for the server as long as it takes."""
        work = self.work
        assert work.ref is not None, "called for stored arguments alone"
        name = f"{work.workflow}/{work.run}/{work.ref.sha256}"
        try:
            data = await self._bench.broker.get_object(self._bench.app.values, name)
            return missing_value(work, work.ref) if data is None else decode_packed(data)
        except BadMessage as error:
            return invalid_arguments(error)
        except BrokerError as error:
            log("step.arguments_not_read", WARNING, run=work.key, command=work.command, error=error)
            return missing_value(work, work.ref)

    # --- in a thread -----------------------------------------------------------------------------
    async def _fetch_and_submit(self) -> None:
        self._has_begun = True
        arguments: PackedArguments | Failed
        try:
            arguments = self._failure if self._failure is not None else await self._fetch()
        except CancelledError:
            if self._failure is None:
                return
            arguments = self._failure
        self.task = None
        if isinstance(arguments, Failed):
            self._end(arguments)
        elif not self._is_abandoned:
            self._submit(arguments)

    def _submit(self, arguments: PackedArguments) -> None:
        context = copy_context()
        self._bench.threads.submit(lambda: context.run(self._call, arguments), self._end)

    def _call(self, arguments: PackedArguments) -> StepOutcome:
        CURRENT.set(self.attempt)
        try:
            try:
                args, kwargs = self._step.signature.unpack(arguments.args, arguments.kwargs)
            except InvalidValue as error:
                return invalid_arguments(error)
            return packed(self._step.signature, self._step.function(*args, **kwargs), self.work.name)
        except BaseException as error:  # noqa: BLE001  # as in _run
            return self._failure or raised(error, now_us=self._bench.broker.now_us())

    # --- its end ------------------------------------------------------------------------------------
    def _expire(self) -> None:
        self._timer = None
        self._give_up(timed_out(self.work))

    def _give_up(self, failure: Failed) -> None:
        if self._failure is None:
            self._cancel(failure)
        if self.task is None:
            self._leave_running()  # a thread cannot be interrupted: nobody waits for it any longer

    def _cancel(self, failure: Failed) -> None:
        self._failure = failure
        self.attempt.is_cancelled = True
        if self.task is None:
            return
        self._stop_timer()
        self._timer = self._bench.loop.call_later(STEP_CANCEL_GRACE_S, self._leave_running)
        if self._has_begun:
            self.task.cancel()

    def _leave_running(self) -> None:
        assert self._failure is not None, "only what was cancelled is given up"
        work = self.work
        log("step.left_running", WARNING, step=work.name, run=work.key, command=work.command)
        self.is_left_running = True
        self._is_ended = True
        self._stop_timer()
        if self.voice is not None:
            self.voice.end()
        self._on_end(self, self._failure)

    def _end(self, outcome: StepOutcome) -> None:
        if self._is_abandoned:
            return
        if self._is_ended:
            self._on_exit(self)
            return
        self._is_ended = True
        self._stop_timer()
        if self.voice is not None:
            self.voice.end()
        # A value that came in spite of a timeout's cancellation is a success; for a stopped step nobody asks.
        self._on_end(self, self._failure if self._is_stopped and self._failure is not None else outcome)
        # The attempt's voice leads back here, and the task's context to the attempt: uncut, the ten objects of every step
        # waited for the garbage collector, which took a sixth of a busy step worker's CPU.
        self.task = None
        del self.attempt

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
