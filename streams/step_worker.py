"""The step worker: pulls work, runs steps, and reports what each attempt came to.

The order of safety lives here (R18): publish the result, wait until it is stored, only then ack the work. A crash at
any point repeats the attempt, never loses it; the actor takes the first success and drops the rest. Whether to try
again is the actor's decision. This file knows no log and no workflow code.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from logging import DEBUG, ERROR, WARNING
from typing import Final

import anyio
from anyio.abc import TaskGroup

from ..actors.errors import BadMessage, BrokerError, DefinitionError
from ..actors.limits import (
    BEAT_S,
    DRAIN_S,
    STEP_CANCEL_GRACE_S,
    STEP_CONCURRENCY_MAX,
    STEP_NOTE_AFTER_S,
    STEP_RECOVERIES_MAX,
    STEPS_LEFT_RUNNING_MAX,
    VALUE_INLINE_BYTES_MAX,
    WORK_SETTLED_MAX,
)
from ..actors.messages import Ref, encode_body
from ..actors.names import RunKey, check_token
from ..actors.work import VERSION, Work, decode_work, version_of
from .bodies import with_hosts
from .dead_letter import dead_letter
from .doubts import Doubts
from .heartbeats import Heartbeats, forget_details, read_details
from .held import Held, Identity
from .intake import Intake
from .lease import Lease, LoopLease
from .ports import Broker, Delivery, Outgoing
from .results import Report, Results
from .running_step import Bench, Catalogue, RunningStep
from .step_notices import StepBeat, decode_stop, encode_notice, loads, step_started
from .step_outcome import Failed, StepOutcome, Succeeded, result_body, too_large, unknown_step, worker_lost
from .subjects import App
from .telemetry import log
from .threads import Threads

_LEAVE_S: Final = 2.0


class StepWorker:
    """Runs the steps of an app's queues.

    Args:
        catalogue: The steps it knows.
        queues: Concurrency per queue: tasks of async steps and threads of sync ones together.
        lease: Keeps running steps this worker's; by default from the worker's own loop, which a blocking step stops:
            give a `ThreadLease` in production.
        drain_s: How long running steps may go on after `drain`.

    Raises:
        InvalidName: A queue or the worker id cannot be a token.
        DefinitionError: A concurrency is out of bounds.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        catalogue: Catalogue,
        queues: Mapping[str, int],
        *,
        worker_id: str,
        lease: Lease | None = None,
        drain_s: float = DRAIN_S,
    ) -> None:
        for queue, concurrency in queues.items():
            check_token("queue", queue)
            if not 1 <= concurrency <= STEP_CONCURRENCY_MAX:
                raise DefinitionError(f"concurrency {concurrency} of queue {queue!r}; use 1 to {STEP_CONCURRENCY_MAX}")
        self.worker_id = check_token("worker id", worker_id)
        self.ready = anyio.Event()
        """Set once it pulls from all queues."""
        self._broker = broker
        self._app = app
        self._steps = catalogue.steps
        self._intakes = [Intake(queue, concurrency) for queue, concurrency in queues.items()]
        self._lease = lease if lease is not None else LoopLease(broker)
        self._drain_s = drain_s
        self._doubts = Doubts(broker, app)
        self._started_at_us = broker.now_us()
        self._inline_bytes_max = min(VALUE_INLINE_BYTES_MAX, broker.payload_bytes_max // 2)
        self._held: dict[Identity, Held] = {}
        self._settled: set[Identity] = set()
        self._settled_before: set[Identity] = set()
        self._left: dict[Identity, Held] = {}
        self._draining = anyio.Event()
        self._emptied = anyio.Event()
        self._is_watching = False
        self._bench: Bench
        self._results: Results
        self._tasks: TaskGroup

    @property
    def running(self) -> int:
        """Work in hand: running steps, and results that are not stored yet."""
        return len(self._held)

    def drain(self) -> None:
        """Asks `run` to end: no more work is pulled, running steps may finish. Idempotent."""
        self._draining.set()

    async def run(self) -> None:
        """Works until drained.

        Steps that have not finished by then are cancelled and left unacked: other workers get them. Cancellation does
        the same at once.

        Raises:
            NotProvisioned: A queue that is served here, or that a known step names, has no consumer.
        """
        loop = asyncio.get_running_loop()
        owner = asyncio.current_task()
        assert owner is not None, "runs in a task"
        threads: Threads[StepOutcome] = Threads(loop)
        self._bench = Bench(self._broker, self._app, loop, threads, self.worker_id, owner)
        self._steps = with_hosts(self._steps, self._bench)
        await self._check_queues()
        stops = await self._broker.listen(self._app.stop(RunKey("*", "*")), self._on_stop)
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await self._doubts.begin(tasks.start_soon)
                self._results = Results(self._broker, tasks, self._on_stored, self._shortened)
                tasks.start_soon(self._lease.run, self._held)
                for intake in self._intakes:
                    await intake.open(self._broker, self._app, self._on_deliveries)
                tasks.start_soon(self._beat)
                self.ready.set()
                await self._draining.wait()
                await self._finish_running()
                tasks.cancel_scope.cancel()
        finally:
            self._doubts.end()
            with anyio.CancelScope(shield=True):
                await self._leave()
                with anyio.move_on_after(_LEAVE_S):
                    await stops.close()
                threads.close()

    # --- start and end -----------------------------------------------------------------------
    async def _check_queues(self) -> None:
        """Refuses to start while a known step's queue has no consumer: its work would wait for ever (R17)."""
        served = {intake.queue for intake in self._intakes}
        for queue in sorted(served | {step.queue for step in self._steps.values()}):
            await self._broker.consumer_state(self._app.work, self._app.queue_consumer(queue))

    async def _finish_running(self) -> None:
        log("steps.draining", worker=self.worker_id, running=len(self._held))
        with anyio.move_on_after(self._drain_s):
            for intake in self._intakes:
                await intake.close()
            while self._held:
                self._emptied = anyio.Event()
                await self._emptied.wait()

    async def _leave(self) -> None:
        """Cancels what still runs, gives it a moment to clean up, says goodbye."""
        tasks: list[asyncio.Task[None]] = []
        for held in (*self._held.values(), *self._left.values()):
            running = held.running
            if running is None:
                continue
            if not running.is_left_running:
                work = running.work
                log("step.abandoned", WARNING, step=work.name, run=work.key, command=work.command)
            running.abandon()
            if running.task is not None:
                tasks.append(running.task)
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=STEP_CANCEL_GRACE_S)
            for task in stubborn:
                log("step.stubborn", ERROR, step=task.get_name())
                # A loop that is closed waits for all of its tasks, for this one for ever: it is the loop's no longer.
                asyncio._unregister_task(task)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        with anyio.move_on_after(_LEAVE_S), suppress(BrokerError):  # without a server there is nobody to tell
            for intake in self._intakes:
                await intake.close()
            self._broker.notify(self._app.beat(self.worker_id), self._beat_body(is_leaving=True))
            await self._broker.flush()  # acks are in the socket's buffer until then
        self._held.clear()

    # --- work --------------------------------------------------------------------------------
    def _on_deliveries(self, intake: Intake, deliveries: Sequence[Delivery]) -> None:
        now_us = self._broker.now_us()
        for delivery in deliveries:
            held = Held(delivery, intake, now_us)
            known = self._held.get(held.identity)
            if known is not None:
                known.reply = delivery.reply  # it runs here: only its handle is new (R18)
                intake.free(1)
            elif held.identity in self._settled or held.identity in self._settled_before:
                self._broker.ack(delivery.reply)  # its result is stored, the first ack was lost
                intake.free(1)
            else:
                self._held[held.identity] = held
                self._take(held, delivery)
        intake.ask()
        if self._held and not self._is_watching:
            self._is_watching = True
            self._bench.loop.call_later(STEP_NOTE_AFTER_S, self._watch)

    def _take(self, held: Held, delivery: Delivery) -> None:
        try:
            work = decode_work(delivery.payload)
        except BadMessage as error:
            self._refuse(held, delivery, error)
            return
        held.work = work
        if self._doubts.is_doubtful(held.intake.queue, delivery, work):
            self._tasks.start_soon(self._take_if_open, held, work, delivery.deliveries)
        else:
            self._run(held, work, delivery.deliveries)

    async def _take_if_open(self, held: Held, work: Work, deliveries: int) -> None:
        is_open = await self._doubts.is_open(work)
        is_again = deliveries > 1 or work.attempt > 1
        details = await read_details(self._broker, self._app, work) if is_open and is_again else None
        if self._held.get(held.identity) is not held:
            return  # given up meanwhile
        if is_open:
            self._run(held, work, deliveries, details)
        else:
            log("work.settled", step=work.name, run=work.key, command=work.command, attempt=work.attempt)
            self._on_stored([held])

    def _run(self, held: Held, work: Work, deliveries: int, details: bytes | None = None) -> None:
        handed_out = deliveries + work.losses
        if handed_out > (work.recoveries_max or STEP_RECOVERIES_MAX):
            self._report(held, work, worker_lost(work, handed_out - 1))
            return
        step = self._steps.get(work.name)
        if step is None:
            self._report(held, work, unknown_step(work, self._steps))
            return
        if deliveries > 1:
            log("step.interrupted", WARNING, step=work.name, run=work.key, command=work.command, deliveries=deliveries)
        held.running = RunningStep(
            held.identity,
            work,
            step,
            self._bench,
            started_at_us=held.taken_at_us,
            on_end=self._on_end,
            on_exit=self._on_exit,
            last_heartbeat=details,
        )
        held.running.start()

    def _refuse(self, held: Held, delivery: Delivery, error: BadMessage) -> None:
        """Buries work that cannot be read, or leaves it to a newer worker."""
        if version_of(delivery.payload) > VERSION:
            log("work.newer", WARNING, subject=delivery.subject, seq=delivery.seq, reason=error.reason)
            del self._held[held.identity]
            held.intake.free(1)
            return
        log("work.dead", ERROR, subject=delivery.subject, seq=delivery.seq, code=error.code, reason=error.reason)
        key = self._app.read_work(delivery.subject)
        self._results.add(held, dead_letter(self._app, delivery, key, code=error.code, reason=error.reason))

    # --- outcomes ------------------------------------------------------------------------------
    def _on_end(self, running: RunningStep, outcome: StepOutcome) -> None:
        held = self._held[running.key]
        if running.is_left_running:
            held.is_slot_kept = len(self._left) >= STEPS_LEFT_RUNNING_MAX
            self._left[running.key] = held
        voice = running.voice
        if voice is not None and voice.is_dirty and isinstance(outcome, Failed):
            self._tasks.start_soon(self._report_heard, held, running.work, outcome, voice)
        else:
            self._report(held, running.work, outcome)

    async def _report_heard(self, held: Held, work: Work, outcome: StepOutcome, voice: Heartbeats) -> None:
        """Stores the attempt's last words before its failure: the next attempt reads them."""
        await voice.flush()
        self._report(held, work, outcome)

    def _on_exit(self, running: RunningStep) -> None:
        held = self._left.pop(running.key)
        if held.is_slot_kept and running.key not in self._held:
            held.intake.free(1)
            held.intake.ask()
        held.is_slot_kept = False

    def _report(self, held: Held, work: Work, outcome: StepOutcome) -> None:
        running = held.running
        if running is not None and not (isinstance(outcome, Failed) and outcome.is_retryable):
            is_known = running.voice is not None and running.voice.has_stored
            held.leaves_details = is_known or running.has_heard
        if isinstance(outcome, Succeeded) and len(outcome.result) > self._inline_bytes_max:
            prefix = f"{work.workflow}/{work.run}"
            self._results.add_stored_apart(
                held, self._app.values, prefix, outcome.result, lambda ref: self._message(held, work, outcome, ref)
            )
            return
        self._results.add(held, self._message(held, work, outcome, None))

    def _message(self, held: Held, work: Work, outcome: StepOutcome, ref: Ref | None) -> Outgoing:
        body = result_body(
            work,
            outcome,
            ref=ref,
            worker=self.worker_id,
            started_at_us=held.taken_at_us,
            ended_at_us=self._broker.now_us(),
            deliveries=held.deliveries,
        )
        return Outgoing(self._app.input(work.key, "step"), encode_body(body))

    def _shortened(self, report: Report) -> Outgoing:
        """Makes the message for a result that the server refuses as too large: a failure that says so."""
        held, work = report.held, report.held.work
        if work is None:
            return report.outgoing
        return self._message(
            held, work, too_large(work.name, len(report.outgoing.payload), self._inline_bytes_max), None
        )

    def _on_stored(self, stored: Sequence[Held]) -> None:
        broker = self._broker
        for held in stored:
            broker.ack(held.reply)  # only here, after the result is durable (R18)
            del self._held[held.identity]
            self._settled.add(held.identity)
            if held.leaves_details and held.work is not None:
                self._tasks.start_soon(forget_details, broker, self._app, held.work)
            if not held.is_slot_kept:
                held.intake.free(1)
        if len(self._settled) >= WORK_SETTLED_MAX:  # two generations forget cheaply, and never the last so many
            self._settled_before, self._settled = self._settled, set()
        for intake in self._intakes:
            intake.ask()
        if not self._held:
            self._emptied.set()

    # --- notices -------------------------------------------------------------------------------
    def _on_stop(self, subject: str, payload: bytes, _reply: str) -> None:
        key, stop = self._app.read_run(subject), decode_stop(payload)
        if key is None or stop is None:
            log("stop.unreadable", WARNING, subject=subject)
            return
        # A scan, not an index by run: stops are rare, and an index would cost every step.
        for held in list(self._held.values()):
            work, running = held.work, held.running
            if work is None or running is None or work.run != key.run or work.workflow != key.workflow:
                continue
            if stop.commands is None or work.command in stop.commands:
                running.stop()

    def _watch(self) -> None:
        """Announces steps that run for a while; one timer for all of them, and none while nothing runs."""
        now_us = self._broker.now_us()
        for held in self._held.values():
            work = held.work
            if held.is_noted or held.running is None or work is None:
                continue
            if now_us - held.taken_at_us >= STEP_NOTE_AFTER_S * 1_000_000:
                held.is_noted = True
                started = step_started(work, worker=self.worker_id, at_us=held.taken_at_us)
                self._broker.notify(self._app.note(work.key), encode_notice(started))
        self._is_watching = bool(self._held)
        if self._is_watching:
            self._bench.loop.call_later(STEP_NOTE_AFTER_S, self._watch)

    async def _beat(self) -> None:
        while True:
            try:
                self._broker.notify(self._app.beat(self.worker_id), self._beat_body(is_leaving=False))
            except BrokerError as error:
                log("beat.lost", DEBUG, error=error)
            await anyio.sleep(BEAT_S)

    def _beat_body(self, *, is_leaving: bool) -> bytes:
        beat = StepBeat(
            worker=self.worker_id,
            kind="steps",
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at_us=self._started_at_us,
            queues=loads(self._intakes),
            leaving=is_leaving,
        )
        return encode_notice(beat)
