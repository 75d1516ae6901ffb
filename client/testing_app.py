"""The app under test: a real actor worker, a real step worker and a real client over the in-memory twin, on one loop.

No server, no thread, no waiting: `testing_time` skips time. Nothing here decides anything about runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from ..actors.durations import Duration, duration_us
from ..actors.errors import JetrunError, RunEnded
from ..actors.hook import TypedHook
from ..actors.names import RunKey
from ..actors.records import Record
from ..actors.registry import Registry
from ..actors.step import Step
from ..streams.heartbeats import Heartbeats
from ..streams.running_step import RunningStep
from .client import Client
from .definitions import Definition, collect
from .handle import RunHandle
from .testing_stage import Stage, StepCall, Unstubbed
from .testing_story import tell
from .testing_stubs import Stub, Stubs, read_stubs
from .testing_time import Stuck, VirtualTime
from .testing_twin import APP, Twin
from .waits import Waits

START: Final = datetime(2027, 1, 1, tzinfo=UTC)
LIMIT: Final = "1000d"

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
        self.twin: Twin
        self.on_close: list[Callable[[], None]] = []
        """Called at the end of the block, before anything ends."""
        self._registry = registry
        self.stage = Stage(registry.steps, stubs, unstubbed)
        self._start_us = round((start - _EPOCH) / timedelta(microseconds=1))
        self._limit_s = duration_us(limit, what="limit of an app under test") / 1e6
        self._clock = VirtualTime(engine_owners=(Waits,), user_owners=(RunningStep, Heartbeats))
        self._owner: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._is_closing = False

    async def __aenter__(self) -> Self:
        self._clock.install(asyncio.get_running_loop())
        try:
            await self._open()
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        for hear in self.on_close:
            hear()
        await self._end(error)

    # --- time ------------------------------------------------------------------------------------
    def now(self) -> datetime:
        """Returns the app's time; it begins at `start` and is what `now()` tells workflows."""
        return _EPOCH + timedelta(microseconds=self.twin.now_us())

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
        self, run: RunHandle[Any], name: str | TypedHook[Any], payload: object = None, *, after: Duration | None = None
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

    async def until_waiting(self, run: RunHandle[Any], hook: str | TypedHook[Any], *, beyond: int = 0) -> int:
        """Waits until the run waits for the hook; time passes meanwhile, as far as that takes.

        Args:
            beyond: Waits that were asked for by this command or earlier ones do not count: for the next of a name.

        Returns:
            The number of the command that waits.

        Raises:
            RunEnded: It has ended instead.
            RunNotFound: There is no such run.
        """
        hook = hook.name if isinstance(hook, TypedHook) else hook
        while True:
            with self._listening(RunKey(run.workflow, run.run_id)) as recorded:
                status = await run.status()
                for wait in status.hooks_open:
                    if wait.name == hook and wait.n > beyond:
                        return wait.n
                if status.is_ended:
                    name = f"{run.workflow}/{run.run_id}"
                    text = f"run {name} has ended as {status.status} and does not wait for hook {hook!r}"
                    raise RunEnded(run.workflow, run.run_id, text)
                await recorded

    # --- steps -----------------------------------------------------------------------------------
    def calls(self, *steps: Step[..., Any]) -> list[StepCall]:
        """Returns the attempts of these steps, or of all, that have begun so far, in order."""
        return self.stage.calls_of([step.name for step in steps] or self.stage.steps)

    def story(self) -> str:
        """Tells what has happened to all runs, a line for each event: what a failing test wants to show."""
        return tell(self.twin.records(), start_us=self._start_us)

    # --- crashes ---------------------------------------------------------------------------------
    def crash_actor_worker(self) -> None:
        """Ends the actor worker as `kill -9` does; a fresh one takes over and replays what it needs."""
        self.twin.actors.crash()

    def crash_step_worker(self) -> None:
        """Ends the step worker as `kill -9` does; what it had in hand comes again when its lease has ended.

        Unlike a killed process, an async step that runs gets `CancelledError`: its `finally` blocks do run.
        """
        self.twin.steps.crash()

    # --- for the kit's other parts ----------------------------------------------------------------
    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine beside the test; its error ends the test, the test's end ends it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    # --- inside ----------------------------------------------------------------------------------
    async def _open(self) -> None:
        clock = self._clock
        self._owner = asyncio.current_task()
        self.twin = Twin(clock, self._registry, self.stage, start_us=self._start_us, on_failure=self._fail)
        self.twin.on_record.append(self._hear)
        clock.ends_at = clock.now + self._limit_s
        clock.is_at_rest, clock.on_stuck = self.twin.is_at_rest, self._on_stuck
        self.client = Client(self.twin.connect(), APP.name)
        await self.twin.open()

    async def _end(self, error: BaseException | None) -> None:
        """Ends all that lives here, and gives the clock back.

        Raises:
            BaseException: What has ended the test, unless the test has an error of its own.
        """
        self._is_closing = True
        self._clock.release()
        self._clock.is_at_rest = lambda: True  # what is left lying stays there
        is_own = error is not None and not isinstance(error, asyncio.CancelledError)
        try:
            if self._failure is not None and self._owner is not None:
                if error is None or is_own:
                    with suppress(asyncio.CancelledError):  # ours: it is on its way still
                        await asyncio.sleep(0)
                self._owner.uncancel()
            await self._close()
        finally:
            self._clock.uninstall()
        if self._failure is not None and not is_own:
            raise self._failure

    def _hear(self, key: RunKey, record: Record) -> None:
        if record.parked is not None and record.parked.tries >= self.parked_tries_max:
            self._fail(RunParked(f"run {key} is parked ({record.parked.code}): {record.parked.reason}"))

    @contextmanager
    def _listening(self, key: RunKey) -> Generator[asyncio.Future[None]]:
        """Gives a future of the run's next record."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hear(found: RunKey, _: Record) -> None:
            if found == key:
                _wake(future)

        self.twin.on_record.append(hear)
        try:
            yield future
        finally:
            self.twin.on_record.remove(hear)

    async def _hook_later(
        self, run: RunHandle[Any], name: str | TypedHook[Any], payload: object, delay_s: float
    ) -> None:
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
        for key, record in self.twin.last_records():
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
        dead = [*self._tasks, *(self.twin.end() if hasattr(self, "twin") else ())]
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
