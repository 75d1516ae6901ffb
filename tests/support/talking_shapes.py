"""A workflow that is talked with, for golden logs and the tests of the core: updates, refusals, status values."""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import define_update, set_status, sleep, step, updates_done, workflow
from jetrun.actors.messages import Update

put = define_update("put", int, returns=int)
take = define_update("take", int, returns=list[int])
close = define_update("close", returns=str)


@step
async def weigh(number: int) -> int:
    return number


@workflow
async def shelf(capacity: int) -> list[int]:
    """Takes what fits, one thing after the other, until it is closed."""
    held: list[int] = []
    is_closed = asyncio.Event()
    lock = asyncio.Lock()

    @put.validator
    def look(number: int) -> None:
        if len(held) >= capacity:
            raise LookupError("full")

    @put.handler
    async def add(number: int) -> int:
        async with lock:
            held.append(await weigh(number))
            set_status("held", len(held))
        return len(held)

    @take.handler
    def remove(number: int) -> list[int]:
        held.remove(number)
        return held

    @close.handler
    async def end() -> str:
        set_status("phase", "closing")
        await sleep(2)
        is_closed.set()
        await sleep("1h")
        return "never told"

    set_status("phase", "open")
    await is_closed.wait()
    async with asyncio.timeout(5):
        async with lock:
            pass
    if len(held) > 100:
        await updates_done()
    return held


def update(*args: object, message_id: str = "") -> Update:
    return Update(id=message_id, args=msgspec.Raw(msgspec.json.encode(args)))


TALK: tuple[tuple[float, Update, str], ...] = (
    (1, update(5, message_id="a"), "put"),
    (1.1, update(6), "put"),
    (1.2, update(5, message_id="a"), "put"),
    (2, update("seven"), "put"),
    (4, update(), "dance"),
    (20, update(5), "take"),
    (21, update(8), "put"),
    (21, update(9), "put"),
    (40, update(10), "put"),
    (50, update(), "close"),
    (51, update(11), "put"),
)
"""When, what, and to which handler."""
