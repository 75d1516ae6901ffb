"""The twin of an app under test: the in-memory server, the two workers on it, and what can be seen of them from outside."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from ..actors.names import RunKey
from ..actors.records import Record, decode_record
from ..actors.registry import Registry
from ..streams.actor_worker import ActorOptions, ActorWorker
from ..streams.inline_steps import InlineSteps
from ..streams.memory import MemoryBroker, MemoryServer
from ..streams.memory_faults import Faults
from ..streams.ports import Stored
from ..streams.step_worker import StepWorker
from ..streams.subjects import App
from .testing_life import Lives, Worker
from .testing_stage import Stage
from .testing_time import VirtualTime

APP: Final = App("test")

_KEY: Final = b"k" * 32
_PARTITIONS: Final = 1
_CONCURRENCY: Final = 1_000


class Twin:
    """Server and workers, made while the loop runs.

    Args:
        start_us: What time it is at the beginning, in microseconds since 1970.
        on_failure: Hears what a worker died of that was not crashed.
    """

    def __init__(
        self,
        clock: VirtualTime,
        registry: Registry,
        stage: Stage,
        *,
        start_us: int,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.on_record: Final[list[Callable[[RunKey, Record], None]]] = []
        """Called with every record that is stored, before the worker that wrote it hears of that."""
        self._clock = clock
        self._registry = registry
        self._stage = stage
        self._start_us = start_us
        self._zero = clock.now
        self._queues = sorted({"default", *registry.queues})
        engine = clock.engine_context()
        self._server = MemoryServer(
            self.now_us,
            faults=Faults(timer_late_s=0.0),
            lease_us=lambda: round(clock.engine_now * 1e6),
            lease_context=engine,
        )
        self._server.provision(APP, self._queues, partitions=_PARTITIONS)
        self._server.on_trace = self._hear
        self._inline: Callable[[], InlineSteps]
        make = partial(Lives, server=self._server, context=engine, on_failure=on_failure)
        self.actors: Final = make("actors", make=self._actor_worker)
        self.steps: Final = make("steps", make=self._step_worker)

    # --- life ----------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Begins the workers' first lives and waits until they serve."""
        for lives in (self.actors, self.steps):
            lives.begin()
        for lives in (self.actors, self.steps):
            await lives.wait_ready()

    def end(self) -> list[asyncio.Task[None]]:
        """Ends the workers at once; returns the tasks in which they may still be cleaning up."""
        for lives in (self.actors, self.steps):
            lives.end()
        return [*self.actors.dead, *self.steps.dead]

    def connect(self) -> MemoryBroker:
        """Opens a connection for a client."""
        return MemoryBroker(self._server)

    # --- what is seen --------------------------------------------------------------------------------
    def now_us(self) -> int:
        """The server's clock, in microseconds since 1970."""
        return self._start_us + round((self._clock.now - self._zero) * 1e6)

    def is_at_rest(self) -> bool:
        """Tells whether no message waits, and all work that is out is with a step that waits itself."""
        inline = self._inline()
        if self._server.stream(APP.mail).state.messages and not self._is_mail_of(inline.runs):
            return False
        fired = (self._left(APP.timers, APP.fired_consumer(number)) for number in range(_PARTITIONS))
        work = (self._left(APP.work, APP.queue_consumer(queue)) for queue in self._queues)
        return sum(work) + inline.running <= self._stage.running and not any(fired)

    def work_in_hand(self) -> set[tuple[RunKey, int]]:
        """Returns the commands whose work is out and not acked, with their runs."""
        work = self._server.stream(APP.work).select(f"wf.{APP.name}.work.>")
        return {(RunKey(workflow, run), int(n)) for *_, workflow, run, n in (one.subject.split(".") for one in work)}

    def records(self) -> list[tuple[RunKey, Record]]:
        """Returns all records of all runs, in the order in which they were stored."""
        return _read(self._server.stream(APP.log).select(f"wf.{APP.name}.log.>"))

    def last_records(self) -> list[tuple[RunKey, Record]]:
        """Returns the last record of each run."""
        return _read(self._server.stream(APP.log).newest(f"wf.{APP.name}.log.>"))

    # --- inside ----------------------------------------------------------------------------------------
    def _actor_worker(
        self, broker: MemoryBroker, life: str
    ) -> tuple[Worker, Callable[[], Coroutine[Any, Any, object]]]:
        options = ActorOptions(has_threads=False)
        worker = ActorWorker(
            broker,
            APP,
            self._registry,
            worker_id=life,
            key=_KEY,
            partitions=_PARTITIONS,
            options=options,
            catalogue=self._stage,
        )
        self._inline = lambda: worker.inline
        return worker, worker.wait_ready

    def _step_worker(self, broker: MemoryBroker, life: str) -> tuple[Worker, Callable[[], Coroutine[Any, Any, object]]]:
        queues = dict.fromkeys(self._queues, _CONCURRENCY)
        worker = StepWorker(broker, APP, self._stage, queues, worker_id=life)
        return worker, worker.ready.wait

    def _is_mail_of(self, runs: Counter[RunKey]) -> bool:
        """Tells whether all mail is for runs that take none until their inline steps have ended."""
        if not runs:
            return False
        mail = self._server.stream(APP.mail).select(f"wf.{APP.name}.mail.>")
        return all(APP.read_mail(stored.subject).key in runs for stored in mail)

    def _left(self, stream: str, consumer: str) -> int:
        """Counts what a consumer has not got, or has not acked."""
        state = self._server.consumer(stream, consumer).state
        return state.pending + state.ack_pending

    def _hear(self, line: str) -> None:
        """Hears what the server does: the way to know of a record before anybody else does."""
        verb, _, rest = line.partition(" ")
        if verb != "stored":
            return
        stream, seq, _ = rest.split(" ", 2)
        if stream != APP.log:
            return
        self._clock.touch()
        stored = self._server.stream(APP.log).get(int(seq))
        for key, record in _read([stored] if stored is not None else []):
            for hear in list(self.on_record):
                hear(key, record)


def _read(log: list[Stored]) -> list[tuple[RunKey, Record]]:
    keyed = ((APP.read_run(stored.subject), stored) for stored in log)
    return [(key, decode_record(stored.payload)) for key, stored in keyed if key is not None]
