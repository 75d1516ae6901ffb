"""Workflows for the tests of placement, run by real worker processes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from jetrun.actors import hook, step, workflow

RECOVERIES = 50
"""Workers are killed on purpose here; no step is deadly for that."""


@step(max_recovery_attempts=RECOVERIES)
async def double(number: int) -> int:
    await asyncio.sleep(0.02)
    return 2 * number


@step(max_recovery_attempts=RECOVERIES)
async def linger(path: str) -> int:
    """The first one never ends; those after it return at once. Each leaves its process id in the file."""
    with Path(path).open("a") as file:
        print(os.getpid(), file=file)
    if len(Path(path).read_text().split()) == 1:
        await asyncio.sleep(600)
    return os.getpid()


@workflow
async def doubled(numbers: list[int]) -> list[int]:
    """Steps side by side."""
    return await asyncio.gather(*[double(number) for number in numbers])


@workflow
async def collect() -> list[int]:
    """Takes hooks until a negative one, with a step for each."""
    found: list[int] = []
    while (item := await hook("item", int)) >= 0:
        found.append(await double(item))
    return found


@workflow
async def patient(path: str) -> int:
    return await linger(path)
