"""Waiting in the foreground for a signal, the same way in every command that runs until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def until_stopped(wait: Callable[[], Awaitable[T]]) -> T | None:
    """Waits for an end; SIGTERM ends the wait with None, Ctrl-C raises KeyboardInterrupt."""

    async def run() -> T | None:
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, scope.cancel)
            return await wait()
        return None

    return asyncio.run(run())
