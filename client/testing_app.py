"""The app under test: a real actor worker, a real step worker and a real client over the in-memory twin, on one loop.

No server, no thread, no waiting: `testing_time` skips time. Nothing here decides anything about runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Self

from ..actors.durations import Duration, duration_us
from ..actors.errors import JetrunError, RunEnded
from ..actors.names import RunKey
from ..actors.records import Record, decode_record
from ..actors.registry import Registry
from ..actors.step import Step
from ..streams.actor_worker import ActorOptions, ActorWorker
from ..streams.memory import MemoryBroker, MemoryServer
from ..streams.memory_faults import Faults
from ..streams.running_step import RunningStep
from ..streams.step_worker import StepWorker
from ..streams.subjects import App
from .client import Client
from .definitions import Definition, collect
from .handle import RunHandle
from .testing_life import Lives, Worker
from .testing_stage import Stage, StepCall, Unstubbed
from .testing_story import tell
from .testing_stubs import Stub, Stubs, read_stubs
from .testing_time import Stuck, VirtualTime
from .waits import Waits

APP: Final = App("test")
START: Final = datetime(2027, 1, 1, tzinfo=UTC)
LIMIT: Final = "1000d"

_KEY: Final = b"k" * 32
_PARTITIONS: Final = 1
_CONCURRENCY: Final = 1_000
_PARKED_TRIES_MAX: Final = 3
_END_S: Final = 30.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RunParked(JetrunError):
    """A run under test is parked: its code and its log do not fit, or its workflow is unknown; the text says why."""


class AppUnderTest:
    """An app for a test, made by `app`; lives in an `async with` block of the test itself.

    In the block the loop's time is virtual, for the test's own code too: `asyncio.sleep`, timeouts and `loop.time()`
    see it, and it passes only while everybody waits. Not possible there: real sockets and subprocesses. While a test
    waits for one of them alone, time runs past all timeouts. `asyncio.to_thread` is waited for; other threads are not.
    """

    def __init__(
        self,
        registry: Registry,
        stubs: dict[str, Stub[..., Any]],
        *,
        unstubbed: Unstubbed,
        start: datetime,
        limit: Duration,
    ) -> None:
        self.client: Client
        """The real client, connected to the twin."""
        self.parked_tries_max = _PARKED_TRIES_MAX
        """A run that is parked for the so-manieth time ends the test with `RunParked`."""
        self.on_record: list[Callable[[RunKey, Record], None]] = []
        """Called with every record that is stored, before the worker that wrote it hears of that."""
        self.on_close: list[Callable[[], None]] = []
        """Called at the end of the block, before anything ends."""
        self._registry = registry
        self._stage = Stage(registry.steps, stubs, unstubbed)
        self._start_us = round((start - _EPOCH) / timedelta(microseconds=1))
        self._limit_s = duration_us(limit, what="limit of an app under test") / 1e6
        self._clock = VirtualTime(engine_owners=(Waits,), user_owners=(RunningStep,))
        self._zero = 0.0
        self._server: MemoryServer
        self._actors: Lives
        self._steps: Lives
        self._owner: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._is_closing = False

    async def __aenter__(self) -> Self:
        loop, clock = asyncio.get_running_loop(), self._clock
        self._owner = asyncio.current_task()
        clock.install(loop)
        self._zero = clock.now
        clock.ends_at = clock.now + self._limit_s
        clock.is_at_rest, clock.on_stuck = self._is_at_rest, self._on_stuck
        engine = clock.engine_context()
        self._server = MemoryServer(
            self._now_us,
            faults=Faults(timer_late_s=0.0),
            lease_us=lambda: round(clock.engine_now * 1e6),
            lease_context=engine,
        )
        queues = {"default", *self._registry.queues}
        self._server.provision(APP, queues, partitions=_PARTITIONS)
        self._server.on_trace = self._heard
        make = partial(Lives, server=self._server, context=engine, on_failure=self._fail)
        self._actors = make("actors", make=self._actor_worker)
        self._steps = make("steps", make=partial(self._step_worker, queues=dict.fromkeys(sorted(queues), _CONCURRENCY)))
        self.client = Client(MemoryBroker(self._server), APP.name)
        for lives in (self._actors, self._steps):
            lives.begin()
        for lives in (self._actors, self._steps):
            await lives.wait_ready()
        return self

    async def __aexit__(self, *exception: object) -> None:
        for hear in self.on_close:
            hear()
        self._is_closing = True
        self._clock.release()
        self._clock.is_at_rest = lambda: True  # what is left lying stays there
        try:
            await self._close()
        finally:
            self._clock.uninstall()
        if self._failure is not None:
            if self._owner is not None and isinstance(exception[1], asyncio.CancelledError):
                self._owner.uncancel()
            raise self._failure

    # --- time ------------------------------------------------------------------------------------
    def now(self) -> datetime:
        """Returns the app's time; it begins at `start` and is what `now()` tells workflows."""
        return _EPOCH + timedelta(microseconds=self._now_us())

    async def skip(self, duration: Duration) -> None:
        """Lets so much time pass, however short that takes; on return all that came due has been done.

        Raises:
            InvalidDuration: As `jetrun.actors.sleep` does.
        """
        until = self._clock.now + duration_us(duration, what="skip") / 1e6
        if self._clock.is_held:
            self._clock.hold(until)
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = asyncio.get_running_loop().call_at(until, _wake, passed)
        try:
            await passed
        finally:
            timer.cancel()
        await self._clock.wait_rest()

    @contextmanager
    def held(self) -> Generator[None]:
        """Lets time stand still in the block, except for `skip`: what is due later does not happen.

        Who waits in it for something that needs time gets `Stuck`.
        """
        self._clock.hold(self._clock.now)
        try:
            yield
        finally:
            self._clock.release()

    async def until_settled(self) -> None:
        """Waits until all that can happen without the passing of time has happened."""
        await self._clock.wait_rest()

    # --- hooks -----------------------------------------------------------------------------------
    async def hook(
        self, run: RunHandle[Any], name: str, payload: object = None, *, after: Duration | None = None
    ) -> None:
        """Gives a payload to a run's hook: now, durable on return; or later, while the test goes on.

        Args:
            after: How much later. An error that sending comes to then ends the test.

        Raises:
            RunNotFound, RunEnded, InvalidName, InvalidValue: As `RunHandle.hook`.
        """
        if after is None:
            await run.hook(name, payload)
        else:
            delay_s = duration_us(after, what="after") / 1e6
            self.spawn(self._hook_later(run, name, payload, delay_s))

    async def until_waiting(self, run: RunHandle[Any], hook: str, *, beyond: int = 0) -> int:
        """Waits until the run waits for the hook; time passes meanwhile, as far as that takes.

        Args:
            beyond: Waits that were asked for by this command or earlier ones do not count: for the next of a name.

        Returns:
            The number of the command that waits.

        Raises:
            RunEnded: It has ended instead.
            RunNotFound: There is no such run.
        """
        while True:
            recorded = self._next_record(RunKey(run.workflow, run.run_id))
            status = await run.status()
            for wait in status.hooks_open:
                if wait.name == hook and wait.n > beyond:
                    return wait.n
            if status.is_ended:
                text = (
                    f"run {run.workflow}/{run.run_id} has ended as {status.status} and does not wait for hook {hook!r}"
                )
                raise RunEnded(run.workflow, run.run_id, text)
            await recorded

    # --- steps -----------------------------------------------------------------------------------
    def calls(self, *steps: Step[..., Any]) -> list[StepCall]:
        """Returns the attempts of these steps, or of all, that have begun so far, in order."""
        return self._stage.calls_of([step.name for step in steps] or self._stage.steps)

    def story(self) -> str:
        """Tells what has happened to all runs, a line for each event: what a failing test wants to show."""
        log = self._server.stream(APP.log).select(f"wf.{APP.name}.log.>")
        keyed = ((APP.read_run(stored.subject), decode_record(stored.payload)) for stored in log)
        return tell([(key, record) for key, record in keyed if key is not None], start_us=self._start_us)

    # --- crashes ---------------------------------------------------------------------------------
    def crash_actor_worker(self) -> None:
        """Ends the actor worker as `kill -9` does; a fresh one takes over and replays what it needs."""
        self._actors.crash()

    def crash_step_worker(self) -> None:
        """Ends the step worker as `kill -9` does; what it had in hand comes again when its lease has ended.

        Unlike a killed process, an async step that runs gets `CancelledError`: its `finally` blocks do run.
        """
        self._steps.crash()

    # --- for the kit's other parts ----------------------------------------------------------------
    @property
    def stage(self) -> Stage:
        return self._stage

    @property
    def actors(self) -> Lives:
        return self._actors

    def work_in_hand(self) -> set[int]:
        """Returns the commands whose work is out and not acked."""
        work = self._server.stream(APP.work).select(f"wf.{APP.name}.work.>")
        return {int(stored.subject.rpartition(".")[2]) for stored in work}

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine beside the test; its error ends the test, the test's end ends it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    # --- inside ----------------------------------------------------------------------------------
    def _now_us(self) -> int:
        return self._start_us + round((self._clock.now - self._zero) * 1e6)

    def _actor_worker(
        self, broker: MemoryBroker, life: str
    ) -> tuple[Worker, Callable[[], Coroutine[Any, Any, object]]]:
        options = ActorOptions(has_threads=False)
        worker = ActorWorker(
            broker, APP, self._registry, worker_id=life, key=_KEY, partitions=_PARTITIONS, options=options
        )
        return worker, worker.wait_ready

    def _step_worker(
        self, broker: MemoryBroker, life: str, *, queues: dict[str, int]
    ) -> tuple[Worker, Callable[[], Coroutine[Any, Any, object]]]:
        worker = StepWorker(broker, APP, self._stage, queues, worker_id=life)
        return worker, worker.ready.wait

    def _is_at_rest(self) -> bool:
        """Tells whether no message waits, and all work that is out is with a step that waits itself."""
        server = self._server
        if server.stream(APP.mail).state.messages:
            return False
        work, fired = server.stream(APP.work), server.stream(APP.timers)
        return len(work.select(f"wf.{APP.name}.work.>")) <= self._stage.running and not fired.select(
            f"wf.{APP.name}.fired.>"
        )

    def _heard(self, line: str) -> None:
        """Hears what the twin does: the way to know of a record before anybody else does."""
        verb, _, rest = line.partition(" ")
        if verb != "stored":
            return
        stream, seq, subject = rest.split(" ", 2)
        if stream != APP.log:
            return
        self._clock.touch()
        stored, key = self._server.stream(APP.log).get(int(seq)), APP.read_run(subject)
        if stored is None or key is None:
            return
        record = decode_record(stored.payload)
        for hear in list(self.on_record):
            hear(key, record)
        if record.parked is not None and record.parked.tries >= self.parked_tries_max:
            self._fail(RunParked(f"run {key} is parked ({record.parked.code}): {record.parked.reason}"))

    def _next_record(self, key: RunKey) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hear(found: RunKey, _: Record) -> None:
            if found == key:
                self.on_record.remove(hear)
                _wake(future)

        self.on_record.append(hear)
        return future

    async def _hook_later(self, run: RunHandle[Any], name: str, payload: object, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await run.hook(name, payload)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _on_stuck(self, reason: str) -> None:
        self._fail(Stuck(f"{reason}; {self._story()}"))

    def _story(self) -> str:
        """Says how the open runs stand."""
        told: list[str] = []
        for stored in self._server.stream(APP.log).newest(f"wf.{APP.name}.log.>"):
            record, key = decode_record(stored.payload), APP.read_run(stored.subject)
            if record.outcome is None:
                summary = record.summary
                waits = [f"hook {wait.name!r}" for wait in summary.hooks_open]
                waits += [f"{summary.steps_open} step(s)"] if summary.steps_open else []
                waits += [f"{summary.timers_open} timer(s)"] if summary.timers_open else []
                told.append(f"run {key} is {summary.status} and waits for {' and '.join(waits) or 'nothing'}")
        return "; ".join(told) or "no run is open"

    def _fail(self, error: BaseException) -> None:
        """Ends the test with an error, wherever it waits."""
        if self._failure is None and not self._is_closing:
            self._failure = error
            if self._owner is not None:
                self._owner.cancel(str(error))

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if hasattr(self, "client"):
            await self.client.close()
        dead = [*self._tasks]
        for lives in (self._actors, self._steps):
            lives.end()
            dead += lives.dead
        if dead:
            await asyncio.wait(dead, timeout=_END_S)


def app(
    *definitions: Definition,
    steps: Stubs = (),
    unstubbed: Unstubbed = "run",
    start: datetime = START,
    limit: Duration = LIMIT,
) -> AppUnderTest:
    """Makes an app for a test: `async with testing.app(order, steps=[returns(charge, receipt)]) as app: ...`.

    Args:
        definitions: Workflows, steps, and modules or their names. Steps that a workflow sees in its module are found.
        steps: What stands in for steps: stubs, or a mapping from steps to functions, fixed values, lists of outcomes.
        unstubbed: `refuse` fails runs that call another step, `run` runs it.
        start: What time it is at the beginning.
        limit: Time does not pass beyond that: a run without an end would never let a test end.

    Raises:
        RegistrationError: The definitions are in conflict, or there is none.
        StubMisfit: A stub does not fit its step.
    """
    stubs = read_stubs(steps)
    registry = collect([*definitions, *_unnamed_steps(definitions, stubs)])
    return AppUnderTest(registry, stubs, unstubbed=unstubbed, start=start, limit=limit)


def _unnamed_steps(definitions: tuple[Definition, ...], stubs: dict[str, Stub[..., Any]]) -> list[Step[..., Any]]:
    named = {definition.name for definition in definitions if isinstance(definition, Step)}
    return [stub.step for name, stub in stubs.items() if name not in named]


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
