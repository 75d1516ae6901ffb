"""Lives of workers: each is a task with a connection of its own, ends by a crash, and is followed by the next one.

A crash is what the server sees of `kill -9`: from one moment on nothing more comes from this worker, and nothing
reaches it. What the task still does while it is being cancelled, nobody hears.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Protocol

from ..streams.memory import MemoryBroker, MemoryServer


class Worker(Protocol):
    """What actor workers and step workers have in common."""

    async def run(self) -> None:
        """Works until cancelled."""
        ...


class Mortal(MemoryBroker):
    """The connection of one life. `on_ack` is asked before each ack and may end the life in its stead."""

    on_ack: Callable[[], bool] | None = None

    def ack(self, reply: str) -> None:
        if self.on_ack is None or not self.on_ack():
            super().ack(reply)


class Lives:
    """One place for a worker; there is always one that lives.

    Args:
        context: In which workers live.
        make: Makes a worker, and what to await until it serves.
        on_failure: Hears what a worker died of that was not crashed.
    """

    def __init__(
        self,
        name: str,
        server: MemoryServer,
        context: Context,
        *,
        make: Callable[[MemoryBroker, str], tuple[Worker, Callable[[], Awaitable[object]]]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.name: Final = name
        self._server = server
        self._context = context
        self._make = make
        self._on_failure = on_failure
        self._count = 0
        self._broker: Mortal | None = None
        self._task: asyncio.Task[None] | None = None
        self._dead: list[asyncio.Task[None]] = []
        self._wait_ready: Callable[[], Awaitable[object]]

    def begin(self) -> None:
        """Begins a life, unless one is lived."""
        if self._task is None:
            self._context.copy().run(self._begin)

    async def wait_ready(self) -> None:
        """Waits until the worker serves, or has failed."""
        ready = asyncio.ensure_future(self._wait_ready())
        assert self._task is not None
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    def set_on_ack(self, on_ack: Callable[[], bool] | None) -> None:
        """Has the present life ask before its next acks; see `Mortal`."""
        if self._broker is not None:
            self._broker.on_ack = on_ack

    def crash(self) -> None:
        """Ends the life at once; the next one begins as soon as the loop turns."""
        self.end()
        asyncio.get_running_loop().call_soon(self.begin)

    def end(self) -> None:
        """Ends the life at once."""
        if self._broker is None or self._task is None:
            return
        self._broker.kill()
        self._task.cancel()
        self._dead.append(self._task)
        self._broker = self._task = None

    @property
    def dead(self) -> Sequence[asyncio.Task[None]]:
        """The tasks of lives that have ended; they may still be cleaning up."""
        return self._dead

    # --- inside ----------------------------------------------------------------------------------
    def _begin(self) -> None:
        self._count += 1
        self._broker = Mortal(self._server)
        life = f"{self.name}-{self._count}"
        worker, self._wait_ready = self._make(self._broker, life)
        self._task = asyncio.get_running_loop().create_task(worker.run(), name=life)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if task is self._task and error is not None:
            self._on_failure(error)
