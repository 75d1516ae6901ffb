"""Work without end in runs whose logs do not grow: a batch job, a poller and a countdown that continue as new.

Try it:
    wfctl dev -m tests.examples.batches
    wfctl start import_all '250' --run-id b-1
    wfctl runs chain import_all/b-1
    wfctl tail import_all/b-1
"""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import continue_as_new, hook, info, sleep, step, workflow

PAGE = 20
PAGES_PER_LINK = 3


class Progress(msgspec.Struct, frozen=True):
    """All that one link tells the next: it begins with an empty log."""

    done: int = 0
    failed: int = 0


BEGIN = Progress()


@step
async def fetch_page(start: int, total: int) -> list[int]:
    """Reads the numbers of the next items."""
    return list(range(start, min(start + PAGE, total)))


@step(max_retries=1, retry_delay=0)
async def import_item(item: int) -> int:
    if item % 50 == 49:
        raise ValueError(f"item {item} is damaged")
    return item


@workflow
async def import_all(total: int, progress: Progress = BEGIN) -> Progress:
    """Imports page after page, and goes on as new after some pages."""
    for _ in range(PAGES_PER_LINK):
        page = await fetch_page(progress.done, total)
        if not page:
            return progress
        found = await asyncio.gather(*(import_item(item) for item in page), return_exceptions=True)
        broken = sum(isinstance(one, BaseException) for one in found)
        progress = Progress(progress.done + len(page), progress.failed + broken)
    continue_as_new(total, progress)


@step
async def read_gauge(name: str, reading: int) -> int:
    """Stands for a look at a machine."""
    return reading * 10


@workflow(records_warn=8)
async def watch_gauge(name: str, limit: int, reading: int = 0) -> str:
    """Polls until a limit is reached; goes on as new when its log says that it is long enough."""
    while (found := await read_gauge(name, reading)) < limit:
        reading += 1
        if info().should_continue_as_new:
            continue_as_new(name, limit, reading)
        await sleep(0.02)
    return f"{name} is at {found} in link {info().link}"


@workflow
async def countdown(n: int) -> int:
    """The smallest chain: a link per number."""
    if n:
        continue_as_new(n - 1)
    return info().link


@workflow
async def counter(total: int = 0) -> int:
    """Adds what it is sent, ten numbers per link; a number that comes between two links is not lost."""
    for _ in range(10):
        number = await hook("add", int)
        if number == 0:
            return total
        total += number
    continue_as_new(total)
