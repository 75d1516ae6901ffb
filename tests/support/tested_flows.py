"""Workflows for the tests of the testing kit; not those of any app."""

from __future__ import annotations

import asyncio

from jetrun.actors import HookExpired, define_update, hook, now, sleep, step, updates_done, workflow


@step(max_retries=4, retry_delay="10s", jitter=False)
async def fetch(page: int) -> str:
    raise NotImplementedError(page)


@step(timeout="1h", max_retries=0)
async def crawl(page: int) -> str:
    raise NotImplementedError(page)


@step
def measure(text: str) -> int:
    """A sync step."""
    return len(text)


@workflow
async def month(page: int) -> str:
    text = await fetch(page)
    await sleep("30d")
    return f"{text} at {now():%Y-%m-%d %H:%M}"


@workflow
async def retried(page: int) -> str:
    return await fetch(page)


@workflow
async def slow(page: int) -> str:
    return await crawl(page)


@workflow
async def measured(text: str) -> int:
    return await measure(text) + await measure(text * 2)


@workflow
async def asked(name: str) -> str:
    try:
        return f"{name}: {await hook('answer', str, timeout='24h')}"
    except HookExpired:
        return f"{name}: no answer"


@workflow
async def two_answers() -> list[str]:
    return [await hook("answer", str), await hook("answer", str)]


@workflow
async def naps(count: int) -> int:
    for _ in range(count):
        await sleep("200ms")
    return count


@workflow
async def endless() -> None:
    while True:
        await sleep("1h")


@workflow
async def guarded() -> str:
    try:
        await sleep("7d")
    except asyncio.CancelledError:
        await fetch(0)
        raise
    return "slept"


@workflow
async def fans_out(pages: int) -> list[str]:
    return list(await asyncio.gather(*(fetch(page) for page in range(pages))))


TIMES_CALLED = [0]


@workflow
async def fickle(page: int) -> str:
    """Decides by what the process remembers: a replay goes another way."""
    TIMES_CALLED[0] += 1
    if TIMES_CALLED[0] == 1:
        await fetch(page)
    await sleep("1m")
    return "done"


count_up = define_update("count_up", returns=int)
COUNTED = [0]


@workflow
async def forgetful() -> int:
    """Answers by what is not in its log."""
    left = 2
    is_done = asyncio.Event()

    @count_up.handler
    async def up() -> int:
        nonlocal left
        await sleep(1)
        COUNTED[0] += 1
        left -= 1
        if not left:
            is_done.set()
        return COUNTED[0]

    await is_done.wait()
    await updates_done()
    return 0
