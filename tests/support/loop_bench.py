"""A bench for the deterministic loop alone: timers in a list, time moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from jetrun.actors.loop import Loop, LoopTimer

T = TypeVar("T")


class LoopBench:
    """A loop with a host that remembers timers and fires them by (due, number)."""

    def __init__(self, number_base: int = 1_000) -> None:
        self.loop = Loop.create(self, started_at_us=0, number_base=number_base)
        self.open: dict[int, tuple[int, LoopTimer]] = {}
        self.started: list[int] = []
        """Due times of all timers, in the order of asking."""
        self.cancelled: list[int] = []
        self._numbers = 0

    def timer_started(self, handle: LoopTimer, due_at_us: int) -> None:
        self._numbers += 1
        handle.n = self._numbers
        self.open[handle.n] = (due_at_us, handle)
        self.started.append(due_at_us)

    def timer_cancelled(self, handle: LoopTimer) -> None:
        self.cancelled.append(handle.n)
        del self.open[handle.n]

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task and runs until nothing is ready."""
        task = self.loop.create_task(coroutine)
        self.loop.run_until_quiet()
        return task

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end, time going on as its timers need."""
        task = self.spawn(coroutine)
        while not task.done():
            assert self.open, "it waits for what cannot come"
            self.advance_us(min(due for due, _ in self.open.values()) - self.loop.now_us)
        return task.result()

    def advance_us(self, by_us: int) -> None:
        """Lets time pass; each timer that comes due runs to quiescence at its time."""
        until_us = self.loop.now_us + by_us
        while self.open:
            due_at_us, n = min((due, n) for n, (due, _) in self.open.items())
            if due_at_us > until_us:
                break
            self.loop.now_us = due_at_us
            _, handle = self.open.pop(n)
            handle.n = 0
            self.loop.fire(handle)
            self.loop.run_until_quiet()
        self.loop.now_us = until_us
