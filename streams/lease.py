"""Lease: keeps the work that a step worker holds its own, by in-progress acks, for as long as it is held.

`ThreadLease` renews from a thread with a connection and a loop of its own, so that a step that blocks the worker's
loop keeps its lease (R18). `LoopLease` renews from the worker's own loop, for tests and simulation.

The table of held work is the worker's; a lease only reads it and notes in each entry when it renewed it last. Copying
a dict is one operation under the interpreter's lock, so the thread needs no other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from logging import ERROR
from typing import Final, Protocol

import anyio
import anyio.to_thread

from ..actors.limits import WORK_PROGRESS_S
from .ports import Broker
from .telemetry import log

_LOOKS_PER_PERIOD: Final = 4
_RETRY_S: Final = 1.0
_JOIN_S: Final = 3.0


class Leased(Protocol):
    """An entry of the table of held work."""

    reply: str
    """Handle of its newest delivery."""
    renewed_at_s: float
    """The lease's own note; 0 for an entry that it has not seen yet."""

    @property
    def lease_until_s(self) -> float:
        """When to let go of it, by the loop's clock: its step has a `heartbeat_timeout` and says nothing; 0 for never."""
        ...


class Leases(Protocol):
    """What `Lease.run` reads: held work by whatever key."""

    def copy(self) -> Mapping[tuple[int, int], Leased]:
        """Returns a snapshot, in one step."""
        ...


class Lease(Protocol):
    """Renews held work while it runs."""

    async def run(self, held: Leases) -> None:
        """Renews until cancelled. Work that was taken less than one period ago costs nothing."""
        ...


class LoopLease:
    """Renews from the loop that it runs on.

    Args:
        broker: The connection to renew with.
        every_s: Period of the in-progress acks.
    """

    def __init__(self, broker: Broker, *, every_s: float = WORK_PROGRESS_S) -> None:
        self._broker = broker
        self._every_s = every_s

    async def run(self, held: Leases) -> None:
        """See `Lease.run`."""
        while True:
            await anyio.sleep(self._every_s / _LOOKS_PER_PERIOD)
            renew(held, self._broker, now_s=anyio.current_time(), every_s=self._every_s)


class ThreadLease:
    """Renews from a thread of its own.

    Args:
        connect: Opens the thread's own connection; called on the thread's loop, again after a failure.
        every_s: Period of the in-progress acks.
    """

    def __init__(self, connect: Callable[[], Awaitable[Broker]], *, every_s: float = WORK_PROGRESS_S) -> None:
        self._connect = connect
        self._every_s = every_s

    async def run(self, held: Leases) -> None:
        """See `Lease.run`; ends the thread before it returns, unless that does not react within seconds."""
        renewer = _Renewer(self._connect, held, self._every_s)
        thread = threading.Thread(target=renewer.run, name="jetrun-lease", daemon=True)
        thread.start()
        try:
            await anyio.sleep_forever()
        finally:
            renewer.stop()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.join, _JOIN_S)


class _Renewer:
    """The thread's side of a `ThreadLease`."""

    def __init__(self, connect: Callable[[], Awaitable[Broker]], held: Leases, every_s: float) -> None:
        self._connect = connect
        self._held = held
        self._every_s = every_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._is_stopped = False

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        """Ends the thread soon; called from the worker's loop."""
        self._is_stopped = True
        if self._loop is not None and self._stopping is not None:
            with suppress(RuntimeError):  # the thread has just ended and closed its loop
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def _run(self) -> None:
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not self._is_stopped:
            try:
                broker = await self._connect()
            except Exception as error:  # noqa: BLE001  # a lease whose thread ended would lose every long step
                log("lease.not_connected", ERROR, error=error)
                await self._wait_stopping(_RETRY_S)
                continue
            try:
                await self._renew_with(broker)
            except Exception as error:  # noqa: BLE001  # as above
                log("lease.broken", ERROR, error=repr(error))
                await self._wait_stopping(_RETRY_S)
            finally:
                with suppress(TimeoutError):
                    await asyncio.wait_for(broker.close(), _JOIN_S / 2)

    async def _renew_with(self, broker: Broker) -> None:
        while not self._is_stopped:
            await self._wait_stopping(self._every_s / _LOOKS_PER_PERIOD)
            renew(self._held, broker, now_s=time.monotonic(), every_s=self._every_s)

    async def _wait_stopping(self, timeout_s: float) -> None:
        assert self._stopping is not None
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), timeout_s)


def renew(held: Leases, broker: Broker, *, now_s: float, every_s: float) -> None:
    """Sends an in-progress ack for everything held whose last one, or first sight, is a period ago."""
    if not broker.is_connected:
        return  # what is due stays due, and is renewed as soon as the server answers
    for entry in held.copy().values():
        if 0.0 < entry.lease_until_s < now_s:
            continue  # the worker's loop hangs, or it would have given the attempt up
        if entry.renewed_at_s == 0.0:
            entry.renewed_at_s = now_s
        elif now_s - entry.renewed_at_s >= every_s:
            broker.in_progress(entry.reply)
            entry.renewed_at_s = now_s
