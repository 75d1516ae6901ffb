"""Inline steps: first attempts that an actor worker runs itself, as the effect of the decision that asks for them.

The promise is that of every step. The command is durable before its function is called (R7); the decision's messages
are acked when the result is in the run's mailbox, so whoever comes after a crash finds the step owed, looks for its
result, and calls it again where there is none: at least once. Nothing is queued. The price: the run takes no messages
meanwhile, a cancel included, which is why such an attempt has a timeout of at most `INLINE_US_MAX`. Retries are
ordinary work on the step's queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from logging import WARNING
from typing import Final

import anyio

from ..actors.errors import BrokerError
from ..actors.limits import (
    INLINE_AT_ONCE_MAX,
    MAIL_ACK_WAIT_S,
    RESULT_PAUSE_FIRST_S,
    RESULT_PAUSE_MAX_S,
    STEP_RECOVERIES_MAX,
    VALUE_INLINE_BYTES_MAX,
)
from ..actors.messages import Ref, encode_body
from ..actors.names import RunKey
from ..actors.work import Work
from .letters import Letter
from .ports import Broker, Outgoing
from .running_step import Bench, Runnable, RunningStep
from .step_outcome import StepOutcome, Succeeded, result_body, unknown_step, worker_lost
from .subjects import App
from .telemetry import log
from .threads import Threads

_RENEW_S: Final = MAIL_ACK_WAIT_S / 3


class InlineSteps:
    """The inline steps of one actor worker, at most `INLINE_AT_ONCE_MAX` at once.

    Args:
        steps: Those it knows, by name.
        worker: Its id, which results name.
    """

    def __init__(self, broker: Broker, app: App, steps: Mapping[str, Runnable], *, worker: str) -> None:
        self.running = 0
        """Steps in hand whose results are not durable yet."""
        self.runs: Counter[RunKey] = Counter()
        """Runs that wait for inline steps of theirs."""
        self._broker = broker
        self._app = app
        self._steps = steps
        self._worker = worker
        self._inline_bytes_max = min(VALUE_INLINE_BYTES_MAX, broker.payload_bytes_max // 2)
        self._limiter = anyio.CapacityLimiter(INLINE_AT_ONCE_MAX)
        self._threads: Threads[StepOutcome] | None = None

    def close(self) -> None:
        """Lets threads end that wait for a step. Idempotent."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.close()

    async def run(
        self,
        key: RunKey,
        works: Sequence[Work],
        letters: Sequence[Letter],
        publish: Callable[[Outgoing], Awaitable[None]],
    ) -> None:
        """Runs attempts of one run side by side; on return all results are durable. Safe to repeat.

        Args:
            letters: The messages that led to them: kept this worker's meanwhile. How often they were delivered tells
                how often these steps may have taken their worker with them.
            publish: Stores a message, however long that takes.
        """
        deaths = max([letter.delivery.deliveries for letter in letters], default=1) - 1
        self.runs[key] += 1
        try:
            async with anyio.create_task_group() as keeping:
                keeping.start_soon(self._keep, [letter.delivery.reply for letter in letters])
                async with anyio.create_task_group() as tasks:
                    for work in works:
                        tasks.start_soon(self._run, work, deaths, publish)
                keeping.cancel_scope.cancel()
        finally:
            self.runs[key] -= 1
            if not self.runs[key]:
                del self.runs[key]

    # --- inside ----------------------------------------------------------------------------------
    async def _keep(self, handles: Sequence[str]) -> None:
        while True:
            await anyio.sleep(_RENEW_S)
            for handle in handles:
                self._broker.in_progress(handle)

    async def _run(self, work: Work, deaths: int, publish: Callable[[Outgoing], Awaitable[None]]) -> None:
        self.running += 1
        try:
            async with self._limiter:
                await self._run_one(work, deaths, publish)
        finally:
            self.running -= 1

    async def _run_one(self, work: Work, deaths: int, publish: Callable[[Outgoing], Awaitable[None]]) -> None:
        started_at_us = self._broker.now_us()
        step = self._steps.get(work.name)
        outcome: StepOutcome
        if step is None:
            outcome = unknown_step(work, self._steps)
        elif deaths >= (work.recoveries_max or STEP_RECOVERIES_MAX):
            outcome = worker_lost(work, deaths)
        else:
            outcome = await self._outcome(work, step, started_at_us)
        ref: Ref | None = None
        if isinstance(outcome, Succeeded) and len(outcome.result) > self._inline_bytes_max:
            ref = await self._store(work, outcome.result)
        body = result_body(
            work,
            outcome,
            ref=ref,
            worker=self._worker,
            started_at_us=started_at_us,
            ended_at_us=self._broker.now_us(),
        )
        await publish(Outgoing(self._app.input(work.key, "step"), encode_body(body)))

    async def _outcome(self, work: Work, step: Runnable, started_at_us: int) -> StepOutcome:
        loop = asyncio.get_running_loop()
        owner = asyncio.current_task()
        assert owner is not None, "runs in a task"
        if self._threads is None:
            self._threads = Threads(loop)
        ended: asyncio.Future[StepOutcome] = loop.create_future()

        def on_end(_: RunningStep, outcome: StepOutcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        running = RunningStep(
            (work.command, started_at_us),
            work,
            step,
            Bench(self._broker, self._app, loop, self._threads, self._worker, owner),
            started_at_us=started_at_us,
            on_end=on_end,
            on_exit=_ignore,
        )
        running.start()
        try:
            return await ended
        finally:
            if not ended.done() or ended.cancelled():
                running.abandon()  # the worker ends: its successor calls the step again

    async def _store(self, work: Work, data: bytes) -> Ref:
        ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
        pause_s = RESULT_PAUSE_FIRST_S
        while True:
            try:
                await self._broker.put_object(self._app.values, f"{work.workflow}/{work.run}/{ref.sha256}", data)
            except BrokerError as error:
                log("result.not_stored", WARNING, run=work.key, command=work.command, error=error)
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, RESULT_PAUSE_MAX_S)
            else:
                return ref


def _ignore(_: RunningStep) -> None:
    """Code that was left running after its timeout holds nothing here."""
