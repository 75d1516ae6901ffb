"""The deterministic loop: plain asyncio for workflow code, with the same order of events on every replay (R13).

Rules that live here and nowhere else:
- ready callbacks run first in, first out, until none is left (quiescence); there is no idle, no select, no thread;
- time is the run's time, which only messages move; timers are commands and fire by (due, number);
- tasks and futures are numbered and hashed by number, because asyncio keeps them in sets (`wait`, `TaskGroup`) whose
  order would otherwise follow memory addresses;
- `asyncio.as_completed` is replaced while such a loop runs: the standard one numbers its tasks by address (seen on 3.11).

The loop knows nothing of logs; its host hears of timers started and cancelled.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import contextvars
import math
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, Unpack, cast
from weakref import WeakValueDictionary

from .errors import NotDeterministic
from .limits import TURN_CALLBACKS_MAX
from .signals import Blocked, Halt

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TimerHost(Protocol):
    """What the loop tells its owner."""

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        """A timer was asked for; the host fires it with `Loop.fire` when it is due."""
        ...

    def timer_cancelled(self, handle: LoopTimer) -> None:
        """A timer that had not fired was cancelled."""
        ...


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
    """A future numbered within its run."""

    def __init__(self, loop: Loop, number: int) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


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
        self.tasks: WeakValueDictionary[int, RunTask[Any]] = WeakValueDictionary()
        self.host = host
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
        outer = asyncio._get_running_loop()
        outer_task = asyncio.current_task(outer) if outer is not None else None
        if outer is not None and outer_task is not None:
            asyncio.tasks._leave_task(outer, outer_task)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(_ignore_generator, _ignore_generator)
        asyncio._set_running_loop(self)
        try:
            budget = TURN_CALLBACKS_MAX
            while ready and not self.is_stopped:
                handle = ready.popleft()
                if handle._cancelled:  # the method cancelled() would be one more call per callback
                    continue
                budget -= 1
                if budget < 0:
                    raise Blocked(f"more than {TURN_CALLBACKS_MAX} callbacks without waiting for anything")
                try:
                    handle._run()
                except (SystemExit, KeyboardInterrupt):
                    pass  # raised by workflow code: its task has kept it as its exception
        finally:
            asyncio._set_running_loop(outer)
            sys.set_asyncgen_hooks(*hooks)
            if outer is not None and outer_task is not None:
                asyncio.tasks._enter_task(outer, outer_task)

    def fire(self, handle: LoopTimer) -> None:
        """Makes a timer that is due ready to run."""
        self._ready.append(handle)

    def kill(self) -> None:
        """Ends the loop: nothing runs any more. Clean-up code of workflows is closed, its commands are ignored."""
        self.is_stopped = True
        self._ready.clear()
        for task in list(self.tasks.values()):
            if not task.done():
                coro = task.get_coro()
                try:
                    if coro is not None:
                        cast(Generator[Any, Any, Any], coro).close()
                except (Exception, Halt, asyncio.CancelledError):
                    pass  # `finally` blocks of a dead run: whatever they raise concerns nobody

    # --- asyncio's contract -------------------------------------------------------------------
    def time(self) -> float:
        return (self.now_us - self._started_at_us) / 1e6

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: Unpack[Ts], context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: Unpack[Ts],
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if not math.isfinite(delay):
            raise NotDeterministic(f"a timer of {delay} s; leave the timeout away to wait for ever")
        return self.start_timer(self.now_us + round(delay * 1e6), callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: Unpack[Ts],
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
        """Starts a durable timer, or makes the callback ready when it is due already."""
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
        self._numbers += 1
        return RunFuture(self, self.number_base + self._numbers)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None, **_options: Any
    ) -> RunTask[Any]:
        if _is_called_by_standard_as_completed():
            coro.close()
            raise NotDeterministic(
                "this as_completed was imported before jetrun was; call it as `asyncio.as_completed(...)`"
            )
        self._numbers += 1
        number = self.number_base + self._numbers
        task: RunTask[Any] = RunTask(coro, self, number, name, context)
        self.tasks[number] = task
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

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: generators belong to their run and end with it."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to do: there is no executor."""


def _ignore_generator(_generator: object) -> None:
    """Keeps the outer loop's hooks away from generators of workflow code, whose finalizers garbage collection calls."""


def _refusal(name: str, instead: str) -> Callable[..., Any]:
    def refuse(self: Loop, *_args: object, **_kwargs: object) -> Any:
        raise NotDeterministic(f"{name} has no meaning inside a workflow; {instead}")

    refuse.__name__ = name
    return refuse


_IN_A_STEP: Final = "do it in a step: `@step` functions may use threads, sockets and files"
_ON_NATS: Final = "let a message wake the workflow instead: await a hook"
_REFUSED: Final = {
    **dict.fromkeys(
        (
            "run_in_executor", "set_default_executor", "getaddrinfo", "getnameinfo", "create_connection", "create_server",
            "create_datagram_endpoint", "create_unix_connection", "create_unix_server", "connect_accepted_socket",
            "start_tls", "sendfile", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall",
            "sock_sendto", "sock_connect", "sock_accept", "sock_sendfile", "connect_read_pipe", "connect_write_pipe",
            "subprocess_shell", "subprocess_exec",
        ),
        _IN_A_STEP,
    ),
    **dict.fromkeys(("call_soon_threadsafe", "add_reader", "remove_reader", "add_writer", "remove_writer", "add_signal_handler", "remove_signal_handler"), _ON_NATS),
    **dict.fromkeys(("run_forever", "run_until_complete", "stop", "close"), "the engine runs the loop: await instead"),
}  # fmt: skip
for _name, _instead in _REFUSED.items():
    setattr(Loop, _name, _refusal(_name, _instead))


# --- as_completed ----------------------------------------------------------------------------------

_standard_as_completed = asyncio.tasks.as_completed
_ENSURE_FUTURE: Final = getattr(asyncio.tasks, "_ensure_future", asyncio.ensure_future).__code__
_STANDARD_CODES: Final = frozenset(
    # Up to 3.11 a set comprehension is a code object of its own, later it is part of the function.
    [_standard_as_completed.__code__]
    + [c for c in _standard_as_completed.__code__.co_consts if getattr(c, "co_name", "") == "<setcomp>"]
)


def _is_called_by_standard_as_completed() -> bool:
    frame = sys._getframe(2)
    if frame.f_code is not _ENSURE_FUTURE:
        return False
    for _ in range(2):
        if frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code in _STANDARD_CODES:
                return True
    return False


def adopt_globals(namespace: dict[str, Any]) -> None:
    """Replaces a standard `as_completed` that a module of workflows has imported by name."""
    for name, value in list(namespace.items()):
        if value is _standard_as_completed:
            namespace[name] = as_completed


class _AsCompleted:
    """Yields awaitables in the order in which the given ones complete; starts them in the order given."""

    def __init__(self, awaitables: Iterable[Awaitable[Any]], timeout: float | None, loop: Loop) -> None:
        self._done: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue()
        self._todo: dict[asyncio.Future[Any], None] = {}
        for awaitable in awaitables:
            self._todo.setdefault(asyncio.ensure_future(awaitable, loop=loop))
        self._left = len(self._todo)
        for future in self._todo:
            future.add_done_callback(self._on_done)
        self._timer = loop.call_later(timeout, self._on_timeout) if timeout is not None and self._todo else None

    def _on_done(self, future: asyncio.Future[Any]) -> None:
        if self._todo.pop(future, self) is self:
            return
        self._done.put_nowait(future)
        if not self._todo and self._timer is not None:
            self._timer.cancel()

    def _on_timeout(self) -> None:
        for future in self._todo:
            future.remove_done_callback(self._on_done)
            self._done.put_nowait(None)
        self._todo.clear()

    async def _next(self) -> Any:
        future = await self._done.get()
        if future is None:
            raise TimeoutError
        return future.result()

    def __iter__(self) -> Iterator[Coroutine[Any, Any, Any]]:
        return self

    def __next__(self) -> Coroutine[Any, Any, Any]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next()

    def __aiter__(self) -> AsyncIterator[asyncio.Future[Any]]:
        return self

    async def __anext__(self) -> asyncio.Future[Any]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        future = await self._done.get()
        if future is None:
            raise TimeoutError
        return future


def as_completed(fs: Iterable[Awaitable[Any]], *, timeout: float | None = None) -> Any:
    """Is `asyncio.as_completed`: inside a workflow in the order given, elsewhere the standard one."""
    loop = asyncio._get_running_loop()
    if isinstance(loop, Loop):
        return _AsCompleted(fs, timeout, loop)
    return _standard_as_completed(fs, timeout=timeout)


asyncio.as_completed = as_completed  # type: ignore[assignment]
asyncio.tasks.as_completed = as_completed  # type: ignore[assignment]
