"""Updates, queries, status values: a cart that is filled by typed requests with answers, and can be asked how it stands.

Try it:
    wfctl dev -m tests.examples.cart
    wfctl start cart '"ann"' --run-id c-1
    wfctl update cart/c-1 add_item '["lamp", 2]'
    wfctl query cart/c-1 progress
    wfctl runs show cart/c-1
    wfctl update cart/c-1 check_out
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from jetrun.actors import define_query, define_update, set_status, step, updates_done, workflow

PRICES = {"lamp": 4_200, "chair": 9_900}


@dataclass
class Progress:
    items: dict[str, int]
    is_open: bool


@dataclass
class Receipt:
    customer: str
    cents: int


class OutOfStock(Exception):
    pass


progress = define_query("progress", returns=Progress)
add_item = define_update("add_item", str, int, returns=dict[str, int])
check_out = define_update("check_out", returns=Receipt)


@step
async def price_of(article: str) -> int:
    """Looks up the price of one."""
    return PRICES[article]


@step
async def settle(customer: str, cents: int) -> Receipt:
    return Receipt(customer, cents)


@workflow(max_duration="7d")
async def cart(customer: str) -> Receipt:
    items: dict[str, int] = {}
    cents = 0
    paid: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    one_by_one = asyncio.Lock()  # handlers that await run side by side: nobody pays for half of what is added
    set_status("customer", customer)

    @progress.handler
    def tell() -> Progress:
        return Progress(items, is_open=not paid.done())

    @add_item.validator
    def look(article: str, count: int) -> None:
        if article not in PRICES:
            raise OutOfStock(f"no {article}")
        if not 0 < count <= 10:
            raise ValueError(f"{count} of {article}; from 1 to 10")

    @add_item.handler
    async def add(article: str, count: int) -> dict[str, int]:
        nonlocal cents
        async with one_by_one:
            price = await price_of(article)
            items[article] = items.get(article, 0) + count
            cents += count * price
            set_status("items", sum(items.values()))
            return items

    @check_out.handler
    async def pay() -> Receipt:
        async with one_by_one:
            if not paid.done():
                paid.set_result(await settle(customer, cents))
            return paid.result()

    receipt = await paid
    await updates_done()
    return receipt
