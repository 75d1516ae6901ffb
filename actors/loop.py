"""The deterministic loop: plain asyncio for workflow code, with the same order of events on every replay (R13).

Rules that live here and nowhere else:
- ready callbacks run first in, first out, until none is left (quiescence); there is no idle, no select, no thread;
- time is the run's time, which only messages move; timers are commands and fire by (due, number);
- tasks and futures are numbered and hashed by number, because asyncio keeps them in sets (`wait`, `TaskGroup`) whose
  order would otherwise follow memory addresses;
- tasks are kept until they are done: one that only its own cycle refers to would end when garbage is collected;
- a dead loop answers nothing: what its code still awaits (in `finally` blocks, on eviction) never comes, and while that
  code is closed the loop is the running one, so that a step called there is still a command and never a plain function.

(What of asyncio itself follows addresses is replaced in `stand_ins.py`.)

The loop knows nothing of logs; its host hears of timers started and cancelled.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextlib
import contextvars
import math
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Protocol, TypeAlias, TypeVar, TypeVarTuple

from .errors import InvalidDuration, NotDeterministic
from .limits import CLOSES_MAX, DELAY_US_MAX, TURN_CALLBACKS_MAX
from .refusals import REFUSED
from .signals import Blocked

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TASKS_KEPT: Final = 16
"""Tasks that are kept before those that are done are looked for."""


class TimerHost(Protocol):
    """What the loop tells its owner."""

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        """A timer was asked for; the host fires it with `Loop.fire` when it is due."""
        ...

    def timer_cancelled(self, handle: LoopTimer) -> None:
        """A timer that had not fired was cancelled."""
        ...


class _Nobody:
    """The host of a loop in which nothing can run any more; a timer that outlived it may still be cancelled."""

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        pass

    def timer_cancelled(self, handle: LoopTimer) -> None:
        pass


_NOBODY: Final = _Nobody()


class LoopTimer(asyncio.TimerHandle):
    """A timer of workflow code; `n` is its command's number, 0 where it was due at once."""

    __slots__ = ("n",)
    n: int


class RunTask(asyncio.Task[T]):
    """A task numbered within its run."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, T],
        loop: Loop,
        number: int,
        name: str | None,
        context: contextvars.Context | None,
    ) -> None:
        self._number = number  # before super(): registration hashes the task
        super().__init__(coro, loop=loop, name=name or f"task-{number - loop.number_base}", context=context)

    def __hash__(self) -> int:
        return self._number


class RunFuture(asyncio.Future[T]):
    """A future numbered within its run, by `Loop.create_future`."""

    number: int

    def __hash__(self) -> int:
        return self.number


_Outer: TypeAlias = tuple[asyncio.AbstractEventLoop | None, "asyncio.Task[Any] | None", Any]
"""What ran before this loop did, and does again after it: loop, task, hooks of generators."""


class Loop(asyncio.AbstractEventLoop):
    """One run's loop.

    Args:
        host: Hears of timers.
        started_at_us: The run's first moment: `time()` counts from it.
        number_base: Added to the numbers that tasks hash by. Derived from the run's name, so equal on replay and
            different between runs: asyncio keeps the tasks of all loops of a process in one set.
    """

    def __init__(self, host: TimerHost, *, started_at_us: int, number_base: int) -> None:
        self.now_us = started_at_us
        self.number_base = number_base
        self.is_stopped = False
        self.host = host
        self._tasks: dict[int, RunTask[Any]] = {}
        self._tasks_max = _TASKS_KEPT
        self._started_at_us = started_at_us
        self._ready: deque[asyncio.Handle] = deque()
        self._numbers = 0

    @classmethod
    def create(cls, host: TimerHost, *, started_at_us: int, number_base: int) -> Loop:
        """Makes a loop; the methods that asyncio declares abstract are refusals, set below."""
        return cls(host, started_at_us=started_at_us, number_base=number_base)

    # --- running -----------------------------------------------------------------------------
    def run_until_quiet(self) -> None:
        """Runs ready callbacks until none is left or the loop is stopped.

        Raises:
            Blocked: More than `TURN_CALLBACKS_MAX` callbacks ran, or the watchdog interrupted.
        """
        ready = self._ready
        if not ready:
            return
        outer = self._enter()
        try:
            budget = TURN_CALLBACKS_MAX
            while ready and not self.is_stopped:
                handle = ready.popleft()
                if handle._cancelled:  # the method cancelled() would be one more call per callback
                    continue
                budget -= 1
                if budget < 0:
                    raise Blocked(f"more than {TURN_CALLBACKS_MAX} callbacks without waiting for anything")
                try:  # noqa: SIM105  contextlib.suppress would be three more calls per callback
                    handle._run()
                except (SystemExit, KeyboardInterrupt):
                    pass  # raised by workflow code: its task has kept it as its exception
        finally:
            self._leave(outer)

    def fire(self, handle: LoopTimer) -> None:
        """Makes a timer that is due ready to run."""
        self._ready.append(handle)

    def kill(self) -> None:
        """Ends the loop: nothing runs any more. Clean-up code of workflows is closed, its commands are ignored."""
        self.is_stopped = True
        if any(map(_is_open, self._tasks.values())):
            outer = self._enter()
            try:
                self._close_all()
            finally:
                self._leave(outer)
        else:  # the run has ended: nothing is left that could ask for anything
            self.host = _NOBODY  # or host and loop would keep each other until garbage is collected
        self._ready.clear()
        self._tasks.clear()

    def _close_all(self) -> None:
        for _ in range(CLOSES_MAX):  # a `finally` that awaits takes one more, and may have made new tasks
            self._ready.clear()
            left = [task for task in self._tasks.values() if _is_open(task)]
            if not left:
                return
            for task in left:
                _close(task)
        _NEVER_COLLECTED.extend(filter(_is_open, self._tasks.values()))

    def _enter(self) -> _Outer:
        """Becomes the running loop; the one that ran, and its current task, step back."""
        loop = asyncio._get_running_loop()
        task = asyncio.current_task(loop) if loop is not None else None
        if loop is not None and task is not None:
            asyncio.tasks._leave_task(loop, task)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(_ignore_generator, _ignore_generator)
        asyncio._set_running_loop(self)
        return loop, task, hooks

    def _leave(self, outer: _Outer) -> None:
        loop, task, hooks = outer
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)
        if loop is not None and task is not None:
            asyncio.tasks._enter_task(loop, task)

    @contextlib.contextmanager
    def entered(self) -> Generator[None]:
        """Makes this the running loop for the block, in which nothing of the run's goes on."""
        outer = self._enter()
        try:
            yield
        finally:
            self._leave(outer)

    # --- asyncio's contract -------------------------------------------------------------------
    def time(self) -> float:
        return (self.now_us - self._started_at_us) / 1e6

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if not math.isfinite(delay):
            raise NotDeterministic(f"a timer of {delay} s; leave the timeout away to wait for ever")
        return self.start_timer(self.now_us + round(delay * 1e6), callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if not math.isfinite(when):
            raise NotDeterministic(f"a timer at {when} s; leave the timeout away to wait for ever")
        return self.start_timer(self._started_at_us + round(when * 1e6), callback, args, context)

    def start_timer(
        self,
        due_at_us: int,
        callback: Callable[..., object],
        args: tuple[Any, ...] = (),
        context: contextvars.Context | None = None,
    ) -> LoopTimer:
        """Starts a durable timer, or makes the callback ready when it is due already.

        Raises:
            InvalidDuration: It is more than `DELAY_US_MAX` away.
        """
        if due_at_us - self.now_us > DELAY_US_MAX:
            raise InvalidDuration(f"a timer of {(due_at_us - self.now_us) / 1e6:.0f} s; 100 years are the most")
        handle = LoopTimer((due_at_us - self._started_at_us) / 1e6, callback, args, self, context)
        handle.n = 0
        if due_at_us <= self.now_us:
            self._ready.append(handle)
        else:
            self.host.timer_started(handle, due_at_us)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, LoopTimer) and handle.n:
            self.host.timer_cancelled(handle)

    def create_future(self) -> asyncio.Future[Any]:
        future: RunFuture[Any] = RunFuture(loop=self)
        future.number = self.next_number()  # no constructor of its own: that would be two more calls per command
        return future

    def next_number(self) -> int:
        """Numbers what asyncio may keep in a set."""
        self._numbers += 1
        return self.number_base + self._numbers

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None, **_options: Any
    ) -> RunTask[Any]:
        if _is_called_by_standard_as_completed():
            coro.close()
            raise NotDeterministic(
                "this as_completed was imported before jetrun was; call it as `asyncio.as_completed(...)`"
            )
        number = self.next_number()
        task: RunTask[Any] = RunTask(coro, self, number, name, context)
        self._tasks[number] = task
        if len(self._tasks) > self._tasks_max:
            self._tasks = {n: kept for n, kept in self._tasks.items() if not kept.done()}
            self._tasks_max = 2 * len(self._tasks) + _TASKS_KEPT
        return task

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.is_stopped

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Hears of tasks that were dropped or whose exception nobody looked at; garbage collection decides when, so
        nothing may follow from it.
        """

    def get_task_factory(self) -> None:
        return None

    def get_exception_handler(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """As `call_exception_handler`."""

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: generators belong to their run and end with it."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to do: there is no executor."""


_NEVER_COLLECTED: Final[list[RunTask[Any]]] = []
"""Tasks of dead loops whose code cannot be closed (it catches everything and goes on): collecting them would run it."""


def _is_open(task: RunTask[Any]) -> bool:
    """Tells whether a task's code has frames left in which something could run."""
    return not task.done() and getattr(task.get_coro(), "cr_frame", None) is not None


def _close(task: RunTask[Any]) -> None:
    coro: Any = task.get_coro()
    with contextlib.suppress(BaseException):  # `finally` blocks of a dead run: whatever they raise concerns nobody
        coro.close()


def running_loop() -> Loop | None:
    """Returns the loop of the run whose code is running here, or None outside of workflows."""
    loop = asyncio._get_running_loop()
    return loop if isinstance(loop, Loop) else None


def _ignore_generator(_generator: object) -> None:
    """Keeps the outer loop's hooks away from generators of workflow code, whose finalizers garbage collection calls."""


def _refusal(name: str, instead: str) -> Callable[..., Any]:
    def refuse(self: Loop, *_args: object, **_kwargs: object) -> Any:
        raise NotDeterministic(f"{name} has no meaning inside a workflow; {instead}")

    refuse.__name__ = name
    return refuse


for _name, _instead in REFUSED.items():
    setattr(Loop, _name, _refusal(_name, _instead))


STANDARD_AS_COMPLETED: Final = asyncio.tasks.as_completed
"""Taken before `stand_ins.py` replaces it."""

_ENSURE_FUTURE: Final = getattr(asyncio.tasks, "_ensure_future", asyncio.ensure_future).__code__
_STANDARD_CODES: Final = frozenset(
    # Up to 3.11 a set comprehension is a code object of its own, later it is part of the function; from 3.13 on it is
    # in the constructor of an iterator.
    [STANDARD_AS_COMPLETED.__code__]
    + [c for c in STANDARD_AS_COMPLETED.__code__.co_consts if getattr(c, "co_name", "") == "<setcomp>"]
    + [c.__init__.__code__ for c in [getattr(asyncio.tasks, "_AsCompletedIterator", None)] if c is not None]
)


def _is_called_by_standard_as_completed() -> bool:
    # Two calls away; inspect.currentframe() and its way back would be three more calls per task.
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    if frame.f_code is not _ENSURE_FUTURE:
        return False
    for _ in range(2):
        if frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code in _STANDARD_CODES:
                return True
    return False
