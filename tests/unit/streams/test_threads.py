"""Threads for sync steps: as many as are busy, reused when idle, never in the way of the process's end."""

from __future__ import annotations

import subprocess
import sys
import threading

import anyio

from jetrun.streams.threads import Threads

STUCK = """
import asyncio, time
from jetrun.streams.threads import Threads
async def main():
    Threads(asyncio.get_running_loop()).submit(lambda: time.sleep(600), print)
asyncio.run(main())
"""


async def call_all(threads: Threads[str], count: int) -> list[str]:
    """Runs so many calls at once, each of which waits for the others, and returns their threads' names."""
    together = threading.Barrier(count)
    names: list[str] = []
    done = anyio.Event()

    def call() -> str:
        together.wait(10)
        return threading.current_thread().name

    def on_returned(name: str) -> None:
        names.append(name)
        if len(names) == count:
            done.set()

    for _ in range(count):
        threads.submit(call, on_returned)
    await done.wait()
    return names


async def test_calls_run_at_once_and_return_on_the_loop() -> None:
    """A slow step holds no other."""
    import asyncio

    threads: Threads[str] = Threads(asyncio.get_running_loop())

    names = await call_all(threads, 8)

    assert len(set(names)) == 8
    threads.close()


async def test_idle_threads_are_used_again() -> None:
    """A thousand steps one after the other are not a thousand threads."""
    import asyncio

    threads: Threads[str] = Threads(asyncio.get_running_loop())

    first = await call_all(threads, 3)
    later = [name for _ in range(20) for name in await call_all(threads, 3)]

    assert set(later) <= set(first)
    threads.close()


async def test_closed_threads_end() -> None:
    """A worker that has ended leaves no thread behind."""
    import asyncio

    threads: Threads[str] = Threads(asyncio.get_running_loop())
    names = await call_all(threads, 3)
    started = [thread for thread in threading.enumerate() if thread.name in names]

    threads.close()
    for thread in started:
        await anyio.to_thread.run_sync(thread.join, 10)

    assert not any(thread.is_alive() for thread in started)


def test_a_stuck_call_does_not_hold_the_process() -> None:
    """An abandoned step cannot keep a drained worker from ending."""
    subprocess.run([sys.executable, "-c", STUCK], timeout=20, check=True)
