"""Plain asyncio: a pipeline of a queue, a semaphore and a task group, and answers in the order in which they come.

Try it:
    wfctl dev -m tests.examples.concurrency
    wfctl start exhibition '["sea", "hill", "town"]' '{"ann": 1.0, "bob": 0.5, "eve": 3600}' --wait
"""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import step, workflow

CARD_SLOTS = 2
VOTES_NEEDED = 2


class Exhibition(msgspec.Struct, frozen=True):
    prints: list[str]
    jury: list[str]
    """The first who answered."""


@step(queue="gpu")
async def scale(picture: str, width: int) -> str:
    """Stands for work on a graphics card."""
    await asyncio.sleep(0.02)
    return f"{picture}-{width}"


@step
async def print_out(scaled: str) -> str:
    """Stands for a printer that takes one sheet after the other."""
    return f"print of {scaled}"


@step
async def vote(juror: str, seconds: float) -> str:
    """Stands for somebody who makes up their mind."""
    await asyncio.sleep(seconds)
    return juror


@workflow
async def exhibition(pictures: list[str], jury: dict[str, float]) -> Exhibition:
    """Scales two pictures at a time while what is scaled is printed one by one; then the first two votes count."""
    card = asyncio.Semaphore(CARD_SLOTS)
    to_print: asyncio.Queue[str] = asyncio.Queue()

    async def scale_one(picture: str) -> None:
        async with card:
            await to_print.put(await scale(picture, 1200))

    async def print_all() -> list[str]:
        return [await print_out(await to_print.get()) for _ in pictures]

    async with asyncio.TaskGroup() as group:
        printing = group.create_task(print_all())
        for picture in pictures:
            group.create_task(scale_one(picture))

    votes = asyncio.as_completed([vote(juror, seconds) for juror, seconds in jury.items()])
    quickest = [await next(votes) for _ in range(VOTES_NEEDED)]
    return Exhibition(printing.result(), quickest)  # who has not voted by now is given up: steps end with their run
