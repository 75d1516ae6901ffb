"""A first workflow: three steps in a row, every event of its log, and the log as a file that replays.

Try it:
    wfctl dev -m tests.examples.first_order
    wfctl start first_order '{"id": "o-1", "article": "lamp", "cents": 4200}' --run-id o-1 --wait
    wfctl runs log first_order/o-1
    wfctl runs export first_order/o-1 o-1.jsonl
    wfctl replay o-1.jsonl -m tests.examples.first_order

Or in one process, with nothing to set up: in memory, or in a folder that keeps the run for the next time:
    python -m tests.examples.first_order
    python -m tests.examples.first_order runs
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from jetrun.actors import step, workflow
from jetrun.client.local import local


class Order(msgspec.Struct, frozen=True):
    id: str
    article: str
    cents: int


@step
async def accept(order: Order) -> str:
    """Stands for a look at the shelves."""
    return f"{order.article} is put aside"


@step
async def take_payment(order: Order) -> str:
    """Stands for a payment."""
    return f"receipt for {order.cents} cents"


@step
async def notify(order: Order, receipt: str) -> str:
    """Stands for a mail."""
    return f"{order.id} is on its way, {receipt}"


@workflow
async def first_order(order: Order) -> str:
    """Each step runs once; its result is in the log before the next one is asked for."""
    await accept(order)
    receipt = await take_payment(order)
    return await notify(order, receipt)


async def main(store: str | None) -> None:
    """Runs the workflow and prints every event, as `wfctl tail` does."""
    async with local(first_order, store=store) as client:
        run = await client.start(first_order.call(Order("o-1", "lamp", 4_200)), run_id="o-1")
        async for event in run.tail():
            print(f"{event.k:>3} {event.kind:<15} {event.text}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
