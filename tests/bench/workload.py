"""The workflows and the step that the cases run; what a user would write for the same."""

from __future__ import annotations

import asyncio

from jetrun.actors import hook, now, sleep, step, workflow


@step
async def noop(value: int) -> int:
    return value


@workflow
async def chain(steps: int) -> int:
    """Steps one after the other."""
    value = 0
    for index in range(steps):
        value = await noop(index)
    return value


@workflow
async def fan_out(width: int) -> int:
    """Steps all at once."""
    return len(await asyncio.gather(*(noop(index) for index in range(width))))


@workflow
async def echo(steps: int) -> int:
    """Steps one after the other, then a hook whose payload is the result."""
    for index in range(steps):
        await noop(index)
    return await hook("word", int)


@workflow
async def nap(seconds: float) -> float:
    """A durable sleep; tells when it was due, in seconds of Unix time."""
    due_s = now().timestamp() + seconds
    await sleep(seconds)
    return due_s
