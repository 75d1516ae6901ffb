"""Quick tasks: workflows with `durable=False`, for what is soon done and may be done again.

No record is written per step: the whole code runs on a step worker, with its steps, their retries and its sleeps in place. A
lost worker means to begin again from the beginning. The start and the result are as durable as those of any run.

Try it:
    wfctl dev -m tests.examples.quick_tasks
    wfctl start thumbnails '["a.jpg", "b.jpg"]' --wait
    wfctl start ping '"shop.example"' --run-id p-1 --wait
    wfctl runs log ping/p-1
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec

from jetrun.actors import attempt, now, sleep, step, workflow


class Pong(msgspec.Struct, frozen=True):
    host: str
    tries: int
    at: datetime


@step
def shrink(picture: str) -> str:
    """A sync step runs in a thread of its worker, here as there."""
    return picture.replace(".jpg", ".small.jpg")


@step(max_retries=3, retry_delay="100ms", timeout="5s")
async def knock(host: str) -> int:
    """The first two tries find nobody; the delays between them are waited for in place."""
    if attempt().number <= 2:
        raise ConnectionRefusedError(f"{host} is not up yet")
    return attempt().number


@workflow(durable=False)
async def thumbnails(pictures: list[str]) -> list[str]:
    """Plain asyncio, and nothing in the log but the pictures that came and the names that went."""
    return await asyncio.gather(*(shrink(picture) for picture in pictures))


@workflow(durable=False, max_duration="1m", tags=["monitoring"])
async def ping(host: str) -> Pong:
    """Sleeps and retries without a timer or a message."""
    await sleep("200ms")
    return Pong(host, await knock(host), now())
