"""Waiting in the foreground for a signal, the same way in every command that runs until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def until_stopped(wait: Callable[[], Awaitable[T]]) -> T | None:
    """Waits for an end; SIGTERM ends the wait with None, Ctrl-C raises KeyboardInterrupt."""

    async def run() -> T | None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(told.wait(), name="wait for SIGTERM")
            waiting = tasks.create_task(_result_of(wait), name="wait for the end")
            await asyncio.wait([telling, waiting], return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            if not waiting.done():
                waiting.cancel()
                return None
        return waiting.result()

    return asyncio.run(run())


async def _result_of(wait: Callable[[], Awaitable[T]]) -> T:
    return await wait()
