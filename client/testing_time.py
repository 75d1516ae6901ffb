"""Virtual time: skips what nobody has to wait for, on asyncio's own running loop.

Two clocks. *Time* is what tests, steps, schedules and records see. The *engine's* clock drives what workers do between
messages: beats, pins, pulls, leases. Which clock a timer belongs to says the context that it is set in; the engine's
tasks run in `engine_context`.

While somebody is at work neither moves. While all wait, the engine's clock goes on alone until the engine is at rest:
a takeover or an expired lease takes no time, so that a run sees the same instants whether workers crash or not. Then
time leaps to its next timer, and passes the engine by: nobody is taken for dead after thirty days.

This file knows no worker, no broker and no run.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from selectors import BaseSelector, SelectorKey
from typing import Any, Final

from ..actors.errors import JetrunError

REST_S: Final = 1.6
"""So long after the last record the engine's clock goes on before time leaps: open runs get their index entry."""

SHORT_S: Final = 1.0
"""A leap up to this takes the engine's clock along, and does not wait for it: workers serve such timers themselves."""

_ROUNDING_S: Final = 1e-6
"""Timers that are due at the same instant may differ by so much, by rounding: none of them is left for later."""

STUCK_S: Final = 120.0
"""So long, by the engine's clock, nothing happens before a test is told: longer than every lease and second look."""

_PRUNE_MIN: Final = 1_000

_IS_ENGINE: ContextVar[bool] = ContextVar("jetrun_engine_time", default=False)


class Stuck(JetrunError):
    """A test waits for what cannot happen any more; the text says how the runs stand."""


class VirtualTime:
    """The time of one loop, from `install` to `uninstall`.

    Args:
        engine_owners: Classes whose own methods, set as timers, are the engine's, wherever they are set, and see its clock.
        user_owners: As well, of what belongs to users' time.
    """

    def __init__(self, *, engine_owners: tuple[type, ...] = (), user_owners: tuple[type, ...] = ()) -> None:
        self.is_at_rest: Callable[[], bool] = lambda: True
        """Tells whether the engine has nothing in hand: time may leap."""
        self.on_stuck: Callable[[str], None] = lambda _: None
        """Hears, with the reason, that nothing can happen any more."""
        self.ends_at = math.inf
        """No leap goes beyond it: it is what a workflow without an end runs into."""
        self._engine_owners = engine_owners
        self._user_owners = user_owners
        self._engine: Context
        self._loop: asyncio.AbstractEventLoop
        self._inner: BaseSelector
        self._now = 0.0
        self._engine_now = 0.0
        self._held_at = math.inf
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._engine_timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._prune_at = _PRUNE_MIN
        self._active_at = 0.0
        self._outside = 0
        """Calls in threads: while one is out, time stands still."""
        self._resting: list[asyncio.Future[None]] = []

    # --- life ----------------------------------------------------------------------------------------
    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes over the loop's clock; time goes on from where it stands.

        Raises:
            JetrunError: The loop is not asyncio's own, or has a virtual time already.
        """
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise JetrunError(
                f"time cannot be skipped on {type(loop).__name__}; run the test on asyncio's own loop "
                "(anyio: use_uvloop False), or use jetrun.client.local, which skips no time"
            )
        attributes = vars(loop)
        if isinstance(getattr(attributes.get("time"), "__self__", None), VirtualTime):
            raise JetrunError("this loop's time is skipped by another app under test; one at a time")
        self._loop = loop
        self._engine = self.engine_context()
        self._now = loop.time()
        self._engine_now = self._active_at = self._now
        self._inner = attributes["_selector"]
        run_in_executor = loop.run_in_executor

        def counted(executor: Any, function: Any, *args: Any) -> asyncio.Future[Any]:
            future = run_in_executor(executor, function, *args)
            self._outside += 1
            future.add_done_callback(self._came_back)
            return future

        attributes.update(
            time=self.time, call_at=self._call_at, run_in_executor=counted, _selector=_Selector(self, self._inner)
        )

    def uninstall(self) -> None:
        """Gives the clock back, which goes on from the instant that it had here. Timers that are left stay."""
        attributes = vars(self._loop)
        attributes["_selector"] = self._inner
        for name in ("call_at", "run_in_executor"):
            del attributes[name]
        ahead = self._now - time.monotonic()
        attributes["time"] = lambda: time.monotonic() + ahead  # never backwards: other timers compare with it
        for when, _, handle in self._timers + [(at + self._behind, n, handle) for at, n, handle in self._engine_timers]:
            if not handle.cancelled():
                self._loop.call_at(when, _ring, handle)

    # --- contexts ------------------------------------------------------------------------------------
    @staticmethod
    def engine_context() -> Context:
        """Returns a context like the present one in which the engine's clock counts."""
        context = copy_context()
        context.run(_IS_ENGINE.set, True)  # noqa: FBT003  # the variable's own signature
        return context

    @staticmethod
    @contextmanager
    def as_user() -> Generator[None]:
        """Lets users' time count in the block: for what the engine calls."""
        token = _IS_ENGINE.set(False)  # as above
        try:
            yield
        finally:
            _IS_ENGINE.reset(token)

    # --- clocks --------------------------------------------------------------------------------------
    def time(self) -> float:
        """Returns the loop's time in seconds, by the clock that counts here."""
        return self.engine_now if _IS_ENGINE.get() else self._now

    @property
    def now(self) -> float:
        """Time, whoever asks."""
        return self._now

    @property
    def engine_now(self) -> float:
        """The engine's clock, whoever asks."""
        return self._engine_now

    def touch(self) -> None:
        """Says that something has happened."""
        self._active_at = self._engine_now

    # --- by hand -------------------------------------------------------------------------------------
    def hold(self, at: float) -> None:
        """Lets time stand still from that instant on; what is due by then comes due."""
        self._held_at = at

    def release(self) -> None:
        """Lets time pass again."""
        self._held_at = math.inf

    @property
    def is_held(self) -> bool:
        return self._held_at < math.inf

    async def wait_rest(self) -> None:
        """Waits until the engine is at rest, and everybody waits for something."""
        resting: asyncio.Future[None] = self._loop.create_future()
        self._resting.append(resting)
        await resting

    # --- for the selector ------------------------------------------------------------------------------
    def is_outside(self) -> bool:
        """Tells whether a thread is at work for the loop."""
        return self._outside > 0

    def ring_due(self) -> bool:
        """Makes due timers ready; tells whether there were any."""
        return self._ring(self._timers, self._now) | self._ring(self._engine_timers, self._engine_now)

    def pass_idle(self, native_s: float | None) -> None:
        """Lets time pass to the next thing that happens; called when nothing is ready.

        Args:
            native_s: Time to the next timer that was set before `install`.
        """
        is_at_rest = self.is_at_rest()
        due = min(_next(self._timers), math.inf if native_s is None else self._now + native_s)
        if is_at_rest and due <= self._now + _ROUNDING_S and self._leap(due):
            return
        if is_at_rest and self._resting:
            resting, self._resting = self._resting, []
            for future in resting:
                if not future.done():
                    future.set_result(None)
            return
        is_allowed = due < math.inf and due <= min(self._held_at, self.ends_at)
        if is_allowed and is_at_rest and self._leap(due):
            return
        engine_due = _next(self._engine_timers)
        if self._engine_now - self._active_at > STUCK_S or engine_due == math.inf:
            self.touch()
            self.on_stuck(self._why(due, is_at_rest=is_at_rest))
        if engine_due < math.inf:
            self._engine_now = max(self._engine_now, engine_due)

    # --- inside ----------------------------------------------------------------------------------------
    def _leap(self, due: float) -> bool:
        """Leaps, unless the engine still has something to tell about what has happened."""
        span_s = due - self._now
        if span_s <= SHORT_S:
            self._engine_now += max(0.0, span_s)
        elif self._engine_now - self._active_at >= REST_S or not self._engine_timers:
            self.touch()
        else:
            return False
        self._now = max(self._now, due)
        return True

    @property
    def _behind(self) -> float:
        """How far time is ahead of the engine's clock."""
        return self._now - self._engine_now

    def _why(self, due: float, *, is_at_rest: bool) -> str:
        if self._held_at < due < math.inf:
            return "time is held, and what comes next comes later: skip() moves it"
        if self.ends_at < due < math.inf:
            return "the limit of the app's time is reached"
        return "nothing is left that could happen" if is_at_rest else "a message or a step's work is left lying"

    def _call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        is_engine = is_asked_by_engine = _IS_ENGINE.get()
        if context is not None:
            is_engine = context.get(_IS_ENGINE, False)
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, self._engine_owners):
            is_engine, context = True, self._engine
        elif isinstance(owner, self._user_owners):
            is_engine = False
        at = when
        if is_engine != is_asked_by_engine:  # not both ways for all: what is computed twice is not quite the same
            at += self._behind if is_asked_by_engine else -self._behind
        self._count += 1
        handle = asyncio.TimerHandle(at, callback, args, self._loop, context)
        heapq.heappush(self._engine_timers if is_engine else self._timers, (at, self._count, handle))
        if len(self._timers) + len(self._engine_timers) > self._prune_at:
            self._prune()
        return handle

    def _ring(self, timers: list[tuple[float, int, asyncio.TimerHandle]], now: float) -> bool:
        has_rung = False
        while timers and (timers[0][0] <= now or timers[0][2].cancelled()):
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                has_rung = True
                self._loop.call_soon(_ring, handle, context=Context())
        return has_rung

    def _prune(self) -> None:
        """Forgets cancelled timers: every publish sets one that hardly ever comes."""
        for timers in (self._timers, self._engine_timers):
            timers[:] = [timer for timer in timers if not timer[2].cancelled()]
            heapq.heapify(timers)
        self._prune_at = max(_PRUNE_MIN, 2 * (len(self._timers) + len(self._engine_timers)))

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1


class _Selector(BaseSelector):
    """What the loop waits with: looks at the real descriptors, and never sleeps unless a thread is at work."""

    def __init__(self, clock: VirtualTime, inner: BaseSelector) -> None:
        self._clock = clock
        self._inner = inner

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        has_rung = self._clock.ring_due()
        events = self._inner.select(0)
        if events or has_rung or (timeout is not None and timeout <= 0):
            return events
        if self._clock.is_outside():
            return self._inner.select(None)
        self._clock.pass_idle(timeout)
        self._clock.ring_due()
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


def _next(timers: list[tuple[float, int, asyncio.TimerHandle]]) -> float:
    while timers and timers[0][2].cancelled():
        heapq.heappop(timers)
    return timers[0][0] if timers else math.inf


def _ring(handle: asyncio.TimerHandle) -> None:
    if not handle.cancelled():
        handle._run()  # noqa: SLF001  # as the loop itself does, errors included
