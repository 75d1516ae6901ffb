"""Threads: where sync steps run.

A pool of our own, because the standard one joins its threads when the interpreter exits: a step that was abandoned
would hold the process for ever. Here they are daemons. How many run is bounded by the caller's slots; a thread that is
stuck in an abandoned step is replaced by the next call that finds none idle.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_NAME: Final = "jetrun-step"


class Threads(Generic[T]):
    """Runs calls in threads and tells the loop what they returned, many at a time.

    Every method belongs to the loop's own thread, so that the count of idle threads needs no lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[tuple[Callable[[], T], Callable[[T], None]] | None] = SimpleQueue()
        self._returned: deque[tuple[Callable[[T], None], T]] = deque()
        self._is_woken = False
        self._idle = 0
        self._started = 0

    def submit(self, call: Callable[[], T], on_returned: Callable[[T], None]) -> None:
        """Runs the call in a thread, at once.

        Args:
            call: Must not raise.
            on_returned: Called on the loop with what it returned.
        """
        self._calls.put((call, on_returned))
        if self._idle:
            self._idle -= 1
            return
        self._started += 1
        threading.Thread(target=self._work, name=f"{_NAME}-{self._started}", daemon=True).start()

    def close(self) -> None:
        """Lets idle threads end, and busy ones after their call."""
        for _ in range(self._started):
            self._calls.put(None)

    def _work(self) -> None:
        while (taken := self._calls.get()) is not None:
            call, on_returned = taken
            self._returned.append((on_returned, call()))
            # Safe without a lock: the loop clears the mark before it empties the queue, so what was appended before
            # the mark is seen set is found by the wake-up that it stands for.
            if not self._is_woken:
                self._is_woken = True
                with suppress(RuntimeError):  # the loop is closed: the worker left without waiting for this call
                    self._loop.call_soon_threadsafe(self._tell)
            del taken, call, on_returned  # an idle thread keeps no step's values alive

    def _tell(self) -> None:
        self._is_woken = False
        while self._returned:
            on_returned, value = self._returned.popleft()
            self._idle += 1
            on_returned(value)
