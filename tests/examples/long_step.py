"""A long step in a thread: its lease is renewed while it works, and it sees when nobody waits for it any longer.

Try it:
    wfctl dev -m tests.examples.long_step
    wfctl start film '"/tmp/film.mkv"' 500 --wait
    wfctl start film '"/tmp/other.mkv"' 100000 --run-id other
    wfctl runs cancel film/other
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from jetrun.actors import attempt, step, workflow


@step(max_retries=0)
def encode(target: str, frames: int) -> int:
    """Encodes frame by frame. A thread cannot be interrupted, so it asks now and then whether to go on.

    Heartbeats need nothing of it: the worker renews the lease of a running step from a thread of its own.
    """
    path = Path(target)
    try:
        with path.open("wb") as file:
            for _ in range(frames):
                attempt().check_cancelled()
                time.sleep(0.01)  # stands for computing
                file.write(b"\0" * 1024)
    except asyncio.CancelledError:
        path.unlink()  # half a film is of no use
        raise
    return path.stat().st_size


@workflow
async def film(target: str, frames: int, patience_s: float = 3600.0) -> str:
    """Encodes a film, unless it takes too long."""
    try:
        async with asyncio.timeout(patience_s):  # a durable timer, like all in a workflow
            size = await encode(target, frames)
    except TimeoutError:
        return "given up"
    return f"{size} bytes"
