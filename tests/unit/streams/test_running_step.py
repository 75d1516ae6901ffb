"""One attempt, whatever the step does, and sync steps in threads. Real time where threads are, signals instead of sleeps."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import anyio
import pytest
from typing_extensions import override

from jetrun.actors.attempt import Attempt, attempt
from jetrun.actors.errors import FatalError, NotInStep, RetryableError
from jetrun.actors.step import Step, step
from jetrun.actors.work import Work
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.running_step import Bench, RunningStep
from jetrun.streams.step_outcome import Failed, StepOutcome, Succeeded
from jetrun.streams.threads import Threads
from support.step_rig import APP

NOW_US = 1_800_000_000_000_000
TENANT: ContextVar[str] = ContextVar("tenant", default="none")


class Hostile(Exception):
    """An error that cannot even be printed."""

    @override
    def __str__(self) -> str:
        raise SystemExit


class Run:
    """A step that was started, and what it came to."""

    def __init__(self) -> None:
        self.outcomes: list[StepOutcome] = []
        self.exits = 0
        self.ended = anyio.Event()
        self.exited = anyio.Event()
        self.running: RunningStep

    def on_end(self, _: RunningStep, outcome: StepOutcome) -> None:
        self.outcomes.append(outcome)
        self.ended.set()

    def on_exit(self, _: RunningStep) -> None:
        self.exits += 1
        self.exited.set()

    async def outcome(self) -> StepOutcome:
        await self.ended.wait()
        return self.outcomes[0]

    async def failure(self) -> Failed:
        outcome = await self.outcome()
        assert isinstance(outcome, Failed)
        return outcome


@asynccontextmanager
async def bench() -> AsyncGenerator[Bench]:
    """What running steps share, without a worker."""
    loop = asyncio.get_running_loop()
    threads: Threads[StepOutcome] = Threads(loop)
    owner = asyncio.current_task()
    assert owner is not None
    yield Bench(MemoryBroker(MemoryServer(lambda: NOW_US)), APP, loop, threads, "w1", owner)
    threads.close()


def start(on: Bench, one: Step[..., Any], *, timeout_us: int = 0) -> Run:
    run = Run()
    work = Work(workflow="order", run="o-1", command=3, attempt=2, name=one.name, token="t", timeout_us=timeout_us)
    run.running = RunningStep((1, 1), work, one, on, started_at_us=NOW_US, on_end=run.on_end, on_exit=run.on_exit)
    run.running.start()
    return run


def raising(make: Callable[[], BaseException], *, is_async: bool) -> Step[..., Any]:
    def sync_step() -> NoReturn:
        raise make()

    async def async_step() -> NoReturn:
        raise make()

    return step(name="raising")(async_step if is_async else sync_step)


# --- whatever a step raises ------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ValueError("no"), "ValueError"),
        (lambda: SystemExit(3), "SystemExit"),
        (lambda: KeyboardInterrupt(), "KeyboardInterrupt"),
        (lambda: GeneratorExit(), "GeneratorExit"),
        (lambda: asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (lambda: BaseExceptionGroup("many", [SystemExit(), ValueError()]), "BaseExceptionGroup"),
        (lambda: RecursionError("deep"), "RecursionError"),
        (lambda: MemoryError(), "MemoryError"),
        (lambda: Hostile(), "test_running_step.Hostile"),
    ],
)
async def test_whatever_a_step_raises_is_its_failure(
    make: Callable[[], BaseException], name: str, is_async: bool
) -> None:
    """The worker lives on, and the step may be tried again (B97)."""
    async with bench() as on:
        failed = await start(on, raising(make, is_async=is_async)).failure()

    assert failed.error.type.endswith(name)
    assert failed.is_retryable
    assert failed.retry_after_us is None


async def test_an_endless_message_is_cut() -> None:
    """A failure always fits into a message (B97)."""
    async with bench() as on:
        failed = await start(on, raising(lambda: ValueError("x" * 10_000_000), is_async=True)).failure()

    assert len(failed.error.message) < 5_000
    assert len(failed.error.traceback) < 20_000


async def test_a_fatal_error_is_final() -> None:
    async with bench() as on:
        failed = await start(on, raising(lambda: FatalError("card is stolen"), is_async=True)).failure()

    assert not failed.is_retryable
    assert failed.error.message == "card is stolen"


@pytest.mark.parametrize(("after", "delay_us"), [(None, None), (2, 2_000_000), ("1m", 60_000_000)])
async def test_a_retryable_error_says_when(after: float | str | None, delay_us: int | None) -> None:
    """The step's own delay goes to the actor, which decides."""
    async with bench() as on:
        failed = await start(on, raising(lambda: RetryableError("busy", retry_after=after), is_async=True)).failure()

    assert failed.is_retryable
    assert failed.retry_after_us == delay_us


async def test_a_retry_after_that_means_nothing_is_a_failure_all_the_same() -> None:
    """A typing error in a delay does not break the worker."""
    async with bench() as on:
        failed = await start(on, raising(lambda: RetryableError("busy", retry_after="soon"), is_async=True)).failure()

    assert failed.is_retryable
    assert "soon" in failed.error.message


# --- what a step returns ---------------------------------------------------------------------------


async def test_a_result_that_is_no_json_is_final_and_names_the_place() -> None:
    """Trying again returns the same (B98)."""

    @step(name="bad")
    async def bad() -> Any:
        return {"items": [1, object()]}

    async with bench() as on:
        failed = await start(on, bad).failure()

    assert (failed.error.code, failed.is_retryable) == ("invalid_result", False)
    assert "$.items[1]" in failed.error.message


async def test_a_result_that_is_nested_too_deep_is_final() -> None:
    """Its message would be refused at the run's door, and the run would wait for ever."""

    @step(name="deep")
    async def deep() -> Any:
        value: list[Any] = []
        for _ in range(63):
            value = [value]
        return value

    async with bench() as on:
        failed = await start(on, deep).failure()

    assert (failed.error.code, failed.is_retryable) == ("invalid_result", False)


async def test_a_sync_step_that_returns_a_coroutine_is_told_so() -> None:
    """A forgotten `async` is found at the first call, without a warning from elsewhere."""

    @step(name="forgotten")
    def forgotten() -> Any:
        return asyncio.sleep(1)

    async with bench() as on:
        failed = await start(on, forgotten).failure()

    assert failed.error.code == "invalid_result"


# --- sync steps ------------------------------------------------------------------------------------


async def test_a_sync_step_runs_in_a_thread_and_knows_its_attempt() -> None:
    """The loop is free, the context is there, `attempt()` answers."""
    seen: list[tuple[str, Attempt, str]] = []

    @step(name="where")
    def where() -> str:
        seen.append((threading.current_thread().name, attempt(), TENANT.get()))
        return "here"

    async with bench() as on:
        TENANT.set("blue")
        outcome = await start(on, where).outcome()

    assert outcome == Succeeded(b'"here"')
    name, one, tenant = seen[0]
    assert name != threading.main_thread().name
    assert (one.run, one.command, one.number, one.idempotency_key) == ("o-1", 3, 2, "order/o-1/3")
    assert tenant == "blue"
    with pytest.raises(NotInStep):
        attempt()


async def test_a_stopped_sync_step_sees_the_flag() -> None:
    """Threads cannot be cancelled; a loop that looks ends early."""
    begun = threading.Event()

    @step(name="loop")
    def loop() -> None:
        begun.set()
        while True:
            attempt().check_cancelled()
            threading.Event().wait(0.001)

    async with bench() as on:
        run = start(on, loop)
        await anyio.to_thread.run_sync(begun.wait, 10)
        run.running.stop()
        failed = await run.failure()

    assert (failed.error.code, failed.is_retryable) == ("cancelled", False)


async def test_a_sync_step_that_times_out_is_left_running() -> None:
    """Its run goes on at once; the owner hears when the thread ends after all, and nothing is reported twice."""
    release = threading.Event()

    @step(name="stuck")
    def stuck() -> str:
        release.wait(10)
        return "too late"

    async with bench() as on:
        run = start(on, stuck, timeout_us=10_000)
        failed = await run.failure()
        was_left = run.running.is_left_running
        is_told = run.running.attempt.is_cancelled
        release.set()
        await run.exited.wait()

    assert failed.error.code == "step_timeout"
    assert was_left
    assert is_told
    assert len(run.outcomes) == 1
    assert run.exits == 1


async def test_a_deadline_is_there_for_steps_with_a_timeout() -> None:
    seen: list[Attempt] = []

    @step(name="look")
    async def look() -> None:
        seen.append(attempt())

    async with bench() as on:
        await start(on, look).outcome()
        await start(on, look, timeout_us=5_000_000).outcome()

    assert [one.deadline_at_us for one in seen] == [0, NOW_US + 5_000_000]


# --- cancellation at odd moments -------------------------------------------------------------------


async def test_a_step_stopped_before_it_began_is_not_run() -> None:
    """A task that is cancelled before its first step would end without a word."""
    calls: list[int] = []

    @step(name="never")
    async def never() -> None:
        calls.append(1)

    async with bench() as on:
        run = start(on, never)
        run.running.stop()
        failed = await run.failure()

    assert failed.error.code == "cancelled"
    assert calls == []


async def test_an_error_of_the_cleanup_does_not_hide_the_timeout() -> None:
    """The workflow sees why the step was ended."""

    @step(name="messy")
    async def messy() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async with bench() as on:
        failed = await start(on, messy, timeout_us=1_000).failure()

    assert failed.error.code == "step_timeout"


async def test_a_step_that_has_ended_leaves_nothing_to_the_garbage_collector() -> None:
    """What is left to it keeps its memory until then, and costs its worker more than counting references does."""

    @step(name="light")
    async def light() -> int:
        return attempt().number

    gc.disable()
    try:
        async with bench() as on:
            run = start(on, light)
            await run.ended.wait()
            del run.running
        left = [one for one in gc.get_objects() if isinstance(one, RunningStep) and one.work.name == "light"]
    finally:
        gc.enable()

    assert run.outcomes == [Succeeded(b"2")]
    assert left == []


async def test_an_abandoned_step_reports_nothing() -> None:
    """Its work is left to another worker; a failure would use up an attempt."""

    @step(name="long")
    async def long() -> None:
        await anyio.sleep_forever()

    async with bench() as on:
        run = start(on, long)
        await anyio.lowlevel.checkpoint()
        run.running.abandon()
        task = run.running.task
        assert task is not None
        await asyncio.wait({task})

    assert run.outcomes == []


async def test_a_stopped_step_that_returns_is_cancelled_all_the_same() -> None:
    """Nobody asks for its value."""

    @step(name="polite")
    async def polite() -> str:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return "a last word"
        return "never"

    async with bench() as on:
        run = start(on, polite)
        await anyio.lowlevel.checkpoint()
        run.running.stop()
        failed = await run.failure()

    assert failed.error.code == "cancelled"
