"""Bodies: the code of workflows with `durable=False` on a step worker, each one piece of work with its steps in place.

The steps are run as the worker runs all others (`RunningStep`: timeouts, threads, cancellation), with the retries that
their policies decide, waited for on the loop. Arguments and results become JSON and back, as on the way through a log:
whether a workflow is durable changes nothing of what its code sees. Nothing in here is recorded.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from contextvars import copy_context
from random import Random
from typing import Any

import msgspec

from ..actors.attempt import CURRENT, attempt
from ..actors.errors import ErrorInfo, InvalidValue, NotDurable, StepFailed
from ..actors.host import HOST
from ..actors.limits import BODY_THREADS_MAX, STEP_CANCEL_GRACE_S
from ..actors.names import RunKey
from ..actors.open_step import step_failed, value_instead
from ..actors.recovery import DEFAULT, Recovery
from ..actors.step import Step
from ..actors.values import Signature
from ..actors.work import Work
from .running_step import Bench, Runnable, RunningStep
from .step_outcome import Deferred, StepOutcome, Succeeded


def with_hosts(steps: Mapping[str, Runnable], bench: Bench) -> Mapping[str, Runnable]:
    """Returns the steps, with the bodies among them able to run."""
    if not any(step.is_body for step in steps.values()):
        return steps
    return {name: _Hosted(step, steps, bench) if step.is_body else step for name, step in steps.items()}


class _Hosted:
    """A body that has a host while it runs (`running_step.Runnable`)."""

    is_async = True
    is_body = True

    def __init__(self, body: Runnable, steps: Mapping[str, Runnable], bench: Bench) -> None:
        self._body = body
        self._steps = steps
        self._bench = bench

    @property
    def name(self) -> str:
        return self._body.name

    @property
    def queue(self) -> str:
        return self._body.queue

    @property
    def recovery(self) -> Recovery | None:
        return self._body.recovery

    @property
    def signature(self) -> Signature:
        return self._body.signature

    @property
    def function(self) -> Callable[..., Any]:
        return self._run

    async def _run(self, /, *args: object, **kwargs: object) -> object:
        now = attempt()
        may_repeat = (self._body.recovery or DEFAULT).attempts > 0
        host = Host(RunKey(now.workflow, now.run), now.asked_at_us, self._steps, self._bench, may_repeat=may_repeat)
        HOST.set(host)
        CURRENT.set(None)  # a workflow's code is no step, here as there
        try:
            return await self._body.function(*args, **kwargs)
        finally:
            await host.end()


class Host:
    """One run of a body (`actors.host.BodyHost`)."""

    def __init__(
        self, key: RunKey, started_at_us: int, steps: Mapping[str, Runnable], bench: Bench, *, may_repeat: bool
    ) -> None:
        self.app = bench.app.name
        self.key = key
        self.started_at_us = started_at_us
        self.steps_begun = 0
        # The same when the body begins again: what it sends twice can be told by an id that it made.
        seed = f"{self.app}/{key}/{started_at_us}"
        self.random = Random(f"random/{seed}")  # noqa: S311  # not for secrets, as in durable workflows
        self.uuids = Random(f"uuid/{seed}")  # noqa: S311  # as above
        self._steps = steps
        self._bench = bench
        self._running: set[RunningStep] = set()
        self._threads = asyncio.Semaphore(BODY_THREADS_MAX)
        self._may_repeat = may_repeat
        self._is_over = False

    def now_us(self) -> int:
        return self._bench.broker.now_us()

    async def sleep(self, delay_us: int) -> None:
        self._check_open()
        await asyncio.sleep(delay_us / 1_000_000)

    async def run_step(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs a step until it succeeds or fails for good; comes to what it comes to in a durable workflow."""
        self._check_open()
        self._check_recovery(step)
        limit_s = step.schedule_to_close_us / 1_000_000 or None
        limit, tries = asyncio.timeout(limit_s), _Tries()
        try:
            async with limit:
                return await self._try(step, args, kwargs, tries)
        except StepFailed as failed:
            failure = failed
        except TimeoutError:
            if not limit.expired():
                raise
            text = f"step {step.name!r} was not done within its schedule_to_close of {limit_s:g} s"
            info = ErrorInfo(type="TimeoutError", message=text, code="schedule_to_close")
            failure = step_failed(step.name, tries.number, info)
        if not step.has_fallback:
            raise failure
        return value_instead(step, failure) if step.fallback is None else await step.fallback(*args, **kwargs)

    async def _try(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], tries: _Tries) -> Any:
        packed = step.signature.pack(args, kwargs)
        self.steps_begun += 1
        command, number, asked_at_us = self.steps_begun, 1, self.now_us()
        while True:
            work = Work(
                workflow=self.key.workflow,
                run=self.key.run,
                command=command,
                attempt=number,
                name=step.name,
                args=msgspec.Raw(packed.args),
                kwargs=None if packed.kwargs is None else msgspec.Raw(packed.kwargs),
                timeout_us=step.timeout_us,
                heartbeat_us=step.heartbeat_us,
                token="",
            )
            outcome = await self._run_once(step, work)
            if isinstance(outcome, Succeeded):
                return _result(step, number, outcome.result)
            if isinstance(outcome, Deferred):
                raise NotDurable(
                    f"step {step.name!r} is to be completed later, but workflow {self.key.workflow!r} has durable=False: "
                    "nobody would wait for that; make it @workflow(durable=True)"
                )
            delay_us = step.retry.decide(
                attempt=number,
                error=outcome.error,
                is_retryable=outcome.is_retryable,
                retry_after_us=outcome.retry_after_us,
                seed=f"{self.key}/{command}",
                elapsed_us=self.now_us() - asked_at_us,
            )
            if delay_us is None:
                raise step_failed(step.name, number, outcome.error)
            await asyncio.sleep(delay_us / 1_000_000)
            number += 1
            tries.number = number

    async def end(self) -> None:
        """Cancels the steps that nobody waits for any more, and gives them the time to clean up that a stop gives."""
        self._is_over = True
        for running in self._running:
            running.stop()
        tasks = [running.task for running in self._running if running.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STEP_CANCEL_GRACE_S)

    # --- inside ------------------------------------------------------------------------------------
    async def _run_once(self, step: Step[..., Any], work: Work) -> StepOutcome:
        # As the catalogue has it: a test puts something else in a step's place.
        runnable = self._steps.get(step.name, step)
        async with nullcontext() if runnable.is_async else self._threads:
            ended: asyncio.Future[StepOutcome] = self._bench.loop.create_future()

            def on_end(running: RunningStep, outcome: StepOutcome) -> None:
                self._running.discard(running)
                if not ended.done():
                    ended.set_result(outcome)

            running = RunningStep(
                (work.command, self.now_us()),
                work,
                runnable,
                self._bench,
                started_at_us=self.now_us(),
                on_end=on_end,
                on_exit=_forget,
            )
            running.attempt.is_in_place = True
            self._running.add(running)
            context = copy_context()
            context.run(HOST.set, None)  # a step that calls another calls the function, as everywhere
            context.run(running.start)
            try:
                return await ended
            except CancelledError:
                running.stop()
                raise

    def _check_open(self) -> None:
        if self._is_over:
            raise CancelledError(f"the body of run {self.key} has ended; a task that it left behind asks for more")

    def _check_recovery(self, step: Step[..., Any]) -> None:
        """Refuses a step that may run once where the code around it may begin again."""
        if self._may_repeat and step.recovery is not None and not step.recovery.attempts:
            raise NotDurable(
                f"step {step.name!r} is not to run again when its worker is lost, but workflow {self.key.workflow!r} has "
                "durable=False and begins again then, with all of its steps; "
                "give the workflow recover_on_worker_loss=False too, or durable=True"
            )


class _Tries:
    """Counts the attempts of one call."""

    number = 1


def _result(step: Step[..., Any], attempts: int, raw: bytes) -> Any:
    try:
        return step.signature.unpack_result(raw)
    except InvalidValue as error:
        info = ErrorInfo(type="InvalidValue", message=str(error), code="invalid_result")
        raise step_failed(step.name, attempts, info) from error


def _forget(_: RunningStep) -> None:
    """Nobody counts what runs on after its timeout."""
