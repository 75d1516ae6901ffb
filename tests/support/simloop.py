"""SimLoop: asyncio in one thread with virtual time; the same seed gives the same run, to the last callback.

When nothing is ready, time jumps to the next timer. Timers that are due at the same instant run in an order drawn from
the seed; ready callbacks stay first in, first out, as asyncio promises. There are no sockets, signals, subprocesses and
threads: asking for one raises `NotImplementedError`; what goes to an executor runs in place.

A `Process` is a set of tasks that can crash (nothing of it runs again, not even a `finally`) or freeze (as by SIGSTOP:
time goes on without it). Its callbacks are known by a context variable, which whatever they start inherits.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import sys
import threading
import warnings
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Self, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH_US = 1_800_000_000_000_000
"""What `SimLoop.now_us` says at the start: a wall clock in 2027."""

CALLBACKS_MAX = 20_000_000
"""A run of more is one that never ends."""

CANCELLED_MAX = 1_000
"""Cancelled timers that may lie about: a publish has a timeout that hardly ever comes."""

_process: ContextVar[Process | None] = ContextVar("process", default=None)


class Stuck(RuntimeError):
    """Nothing is ready and no timer runs: the simulation waits for something that cannot happen."""


class Process:
    """A simulated operating system process: what `spawn` starts, and all that comes of it."""

    def __init__(self, loop: SimLoop, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_frozen = False
        self.held: list[_Handle | _Timer] = []
        """What came due while it was frozen."""
        self.tasks: list[asyncio.Task[Any]] = []
        """All of them, done or not: tasks that a crash abandons must not be collected, for that would run their code."""
        self._loop = loop
        self._context = copy_context()
        self._context.run(_process.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task of this process."""
        assert self.is_alive
        return self._loop.create_task(coroutine, name=self.name, context=self._context.copy())

    def run(self, function: Callable[[], T]) -> T:
        """Calls a function so that all callbacks and tasks that it makes belong to this process."""
        return self._context.copy().run(function)

    def crash(self) -> None:
        """Ends it: no callback of it runs from now on. Whoever awaits one of its tasks waits for ever."""
        self.is_alive = False
        self.held.clear()

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        """Goes on; everything that came due meanwhile runs now, in order."""
        self.is_frozen = False
        held, self.held = self.held, []
        self._loop.resume(held)


class SimLoop(asyncio.AbstractEventLoop):
    """The loop; `run` makes one and sees to its end."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.callbacks_run = 0
        self._now = 0.0
        self._ready: deque[_Handle | _Timer] = deque()
        self._timers: list[_Timer] = []
        self._cancelled = 0
        self._processes: list[Process] = []
        self._errors: list[BaseException] = []
        self._is_running = False
        self._is_stopping = False
        self._is_closed = False
        self._thread = threading.get_ident()

    @classmethod
    def make(cls, seed: int) -> Self:
        # By way of `cls`: for the type checkers a class without sockets is abstract.
        return cls(seed)

    # --- for simulations -------------------------------------------------------------------------
    def now_us(self) -> int:
        """A wall clock: microseconds since 1970, whole, never backwards."""
        return EPOCH_US + round(self._now * 1e6)

    def process(self, name: str) -> Process:
        process = Process(self, name)
        self._processes.append(process)
        return process

    def resume(self, handles: list[_Handle | _Timer]) -> None:
        self._ready.extend(handles)

    def check_errors(self) -> None:
        """Raises the first error that a callback or a forgotten task left behind."""
        if self._errors:
            raise self._errors[0]

    # --- running ---------------------------------------------------------------------------------
    def run_forever(self) -> None:
        assert not self._is_closed
        assert not self._is_running
        self._is_running = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=lambda _: None, finalizer=self._end_generator)
        events._set_running_loop(self)
        try:
            while not self._is_stopping:
                self._run_once()
        finally:
            self._is_stopping = False
            self._is_running = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def run_until_complete(self, future: Any) -> Any:
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(self._stop_after)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(self._stop_after)
        return task.result()

    def _run_once(self) -> None:
        while self._timers and self._timers[0].cancelled():
            heapq.heappop(self._timers)
            self._cancelled -= 1
        if not self._ready:
            if not self._timers:
                raise Stuck(f"nothing can happen any more at {self._now:.6f} s")
            self._now = max(self._now, self._timers[0].when())
        while self._timers and self._timers[0].when() <= self._now:
            self._ready.append(heapq.heappop(self._timers))
        for _ in range(len(self._ready)):
            self._run_handle(self._ready.popleft())
        if self.callbacks_run > CALLBACKS_MAX:
            raise Stuck(f"{self.callbacks_run} callbacks and no end at {self._now:.6f} s")

    def _run_handle(self, handle: _Handle | _Timer) -> None:
        process = handle.process
        if isinstance(handle, _Timer):
            handle.is_waiting = False
        if handle.cancelled() or (process is not None and not process.is_alive):
            return
        if process is not None and process.is_frozen:
            process.held.append(handle)
            return
        self.callbacks_run += 1
        handle._run()

    def stop(self) -> None:
        self._is_stopping = True

    def _stop_after(self, _: asyncio.Future[Any]) -> None:
        self._is_stopping = True

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Ends the loop. Abandoned coroutines are closed one by one: what their `finally` blocks still do, nobody sees."""
        if self._is_closed:
            return
        self._is_closed = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of coroutines that a crash kept from being awaited
            for process in self._processes:
                for task in process.tasks:
                    if not task.done():
                        _close(task.get_coro())
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        pass

    async def shutdown_default_executor(self) -> None:
        pass

    def _end_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._is_closed:
            self.create_task(generator.aclose())

    # --- callbacks -------------------------------------------------------------------------------
    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        if not self._is_closed:
            self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a simulation has one thread")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context, tie=self.random.random())
        heapq.heappush(self._timers, timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        assert isinstance(handle, _Timer)
        self._cancelled += handle.is_waiting
        if self._cancelled > CANCELLED_MAX and self._cancelled > len(self._timers) // 2:
            self._timers = [timer for timer in self._timers if not timer.cancelled()]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_run_into, future, func, args)
        return future

    # --- futures and tasks -----------------------------------------------------------------------
    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        process = context.get(_process) if context is not None else _process.get()
        if process is not None:
            process.tasks.append(task)
            # A crashed process leaves its tasks pending; that is no mistake.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # read by the task's finalizer
        return task

    def set_task_factory(self, factory: object) -> None:
        assert factory is None

    def get_task_factory(self) -> None:
        return None

    # --- errors ----------------------------------------------------------------------------------
    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        pass

    def set_exception_handler(self, handler: object) -> None:
        pass

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._errors.append(error if isinstance(error, BaseException) else RuntimeError(str(context.get("message"))))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)


class _Handle(asyncio.Handle):
    """A callback, and the process that it belongs to."""

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: SimLoop, context: Context | None
    ) -> None:
        super().__init__(callback, args, loop, context)
        self.process = context.get(_process) if context is not None else _process.get()


class _Timer(asyncio.TimerHandle):
    """A callback with a time; equal times are ordered by the seed."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: SimLoop,
        context: Context | None,
        *,
        tie: float,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.process = context.get(_process) if context is not None else _process.get()
        self.is_waiting = True
        self._order = (when, tie)

    def __lt__(self, other: asyncio.TimerHandle) -> bool:
        assert isinstance(other, _Timer)
        return self._order < other._order


def run(main: Callable[[SimLoop], Coroutine[Any, Any, T]], seed: int, *, limit_s: float | None = 86_400.0) -> T:
    """Runs a coroutine to its end on a loop of its own, in virtual time; what it has started and left is dropped.

    Args:
        main: Gets the loop.
        seed: Decides everything that may vary.
        limit_s: Virtual seconds after which a run that has not ended is an error; None for no such limit.

    Raises:
        Stuck: Nothing can happen any more.
        TimeoutError: `limit_s` has passed.
        Exception: The first error of a callback or of a task that nobody awaits.
    """
    loop = SimLoop.make(seed)
    was_collecting = gc.isenabled()
    # A collection runs finalizers, at points that depend on what else the interpreter holds.
    gc.disable()
    root = loop.process("main")
    try:
        result: T = loop.run_until_complete(root.spawn(_limited(main(loop), limit_s)))
        loop.check_errors()
    finally:
        loop.close()
        if was_collecting:
            gc.enable()
    return result


async def _limited(main: Coroutine[Any, Any, T], limit_s: float | None) -> T:
    async with asyncio.timeout(limit_s):
        return await main


def _run_into(future: asyncio.Future[T], function: Callable[..., T], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(function(*args))
    except Exception as error:
        future.set_exception(error)


def _close(coroutine: Any) -> None:
    # A `finally` that awaits makes close() complain and leaves the coroutine one step further: go on until it is through.
    for _ in range(1000):
        try:
            coroutine.close()
        except Exception:
            continue
        return
