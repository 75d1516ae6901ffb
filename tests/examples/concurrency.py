"""Plain asyncio: a queue with workers in a task group, a semaphore, and results in the order in which they come.

Try it:
    wfctl dev -m tests.examples.concurrency
    wfctl start gallery '["sea", "hill", "town"]' --wait
"""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import step, workflow


class Gallery(msgspec.Struct, frozen=True):
    thumbnails: list[str]
    """As ordered."""
    published: list[str]
    """As they came out."""


@step(queue="gpu")
async def scale(picture: str, width: int) -> str:
    """Stands for work on a card that takes two pictures at a time."""
    await asyncio.sleep(0.02)
    return f"{picture}-{width}"


@step
async def publish(thumbnail: str, seconds: float) -> str:
    """Stands for an upload; some take longer."""
    await asyncio.sleep(seconds)
    return thumbnail


@workflow
async def gallery(pictures: list[str], workers: int = 3) -> Gallery:
    """Scales pictures, never more than two at once in this run, and publishes them all together."""
    todo: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
    for item in enumerate(pictures):
        todo.put_nowait(item)
    card = asyncio.Semaphore(2)
    thumbnails = [""] * len(pictures)

    async def work() -> None:
        while not todo.empty():
            index, picture = todo.get_nowait()
            async with card:
                thumbnails[index] = await scale(picture, 320)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())

    count = len(thumbnails)
    uploads = [publish(thumbnail, (count - index) * 0.05) for index, thumbnail in enumerate(thumbnails)]
    published = [await upload for upload in asyncio.as_completed(uploads)]
    return Gallery(thumbnails, published)
