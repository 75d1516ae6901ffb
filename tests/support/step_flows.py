"""Workflows whose steps have limits, say where they are, or run in the actor worker."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from jetrun.actors import StepFailed, attempt, step, workflow


@step(inline=True)
def here(path: str, seconds: float) -> int:
    """In a thread of the actor worker."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


@step(max_retries=9, retry_delay="200ms")
async def never(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise OSError("no luck")


@step(heartbeat_timeout="300ms", max_retries=1, retry_delay="50ms")
def silent_once() -> int:
    attempt().heartbeat("here")
    attempt().progress(0.5, "half-way")
    if attempt().number == 1:
        time.sleep(1)
    return attempt().number if attempt().last_heartbeat == "here" else 0


@workflow
async def short(path: str, seconds: float = 0.0) -> int:
    return await here(path, seconds)


@workflow
async def limited(seconds: float) -> str:
    try:
        await never.options(schedule_to_close="700ms")(seconds)
    except StepFailed as failed:
        return failed.error.code
    return ""


@workflow
async def speaking() -> int:
    return await silent_once()
