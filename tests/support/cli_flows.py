"""Workflows for the command-line tests, run by real worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec

from jetrun.actors import FatalError, define_query, define_update, hook, set_status, sleep, step, workflow


class Approval(msgspec.Struct):
    ok: bool


@step
async def greet(name: str) -> str:
    return f"hello {name}"


@step
def refuse(reason: str) -> None:
    raise FatalError(reason)


@step(max_retries=0)
async def wait_long(path: str, seconds: float) -> str:
    Path(path).write_text(str(os.getpid()))
    await asyncio.sleep(seconds)
    return "waited"


@workflow
async def greeting(name: str) -> str:
    return await greet(name)


@workflow
async def approved(name: str) -> str:
    approval = await hook("approval", Approval)
    return await greet(name) if approval.ok else "refused"


counted = define_query("counted", returns=int)
count = define_update("count", int, returns=int)


@workflow
async def counting() -> int:
    total = 0
    counted.handler(lambda: total)

    @count.handler
    def add(number: int) -> int:
        nonlocal total
        if number < 0:
            raise ValueError("no going back")
        total += number
        set_status("total", total)
        return total

    return await hook("end", int)


@workflow
async def failing(reason: str) -> None:
    await refuse(reason)


@workflow
async def slow(path: str, seconds: float = 1.0) -> str:
    return await wait_long(path, seconds)


@workflow
async def napping(seconds: float) -> str:
    await sleep(seconds)
    return "rested"


@workflow
async def blocking(how: str) -> None:
    if how == "python":
        while True:
            pass
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)
