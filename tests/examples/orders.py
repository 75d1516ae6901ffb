"""An order as a saga: what was done is undone, newest first, when a later part fails, is refused or is cancelled.

Try it:
    wfctl dev -m tests.examples.orders
    wfctl start order '"o-1"' --run-id o-1
    wfctl hooks send order/o-1 approval '{"ok": true, "reviewer": "ada"}'
    wfctl tail order/o-1
"""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import FatalError, hook, saga, step, workflow

CREDIT_CENTS = 100_000
SHELVES = {"book": "A-1", "lamp": "C-7"}


class Receipt(msgspec.Struct, frozen=True):
    order_id: str
    cents: int


class Approval(msgspec.Struct, frozen=True):
    ok: bool
    reviewer: str


class Confirmation(msgspec.Struct, frozen=True):
    receipt: Receipt
    shelf: str
    risk: int
    reviewer: str


class CardDeclined(FatalError):
    """Trying again cannot help."""


class OutOfStock(FatalError):
    """Trying again cannot help."""


class NotApproved(Exception):
    """Somebody looked at the order and said no."""


@step(queue="payments", max_retries=5, timeout="30s")
async def charge(order_id: str, cents: int) -> Receipt:
    """Takes the money. The order id is the payment's idempotency key: a second charge would take nothing."""
    if cents > CREDIT_CENTS:
        raise CardDeclined(f"{cents} cents are more than the credit")
    return Receipt(order_id, cents)


@step(queue="payments", max_retries=20)
async def refund(order_id: str) -> None:
    """Gives back what was taken for the order, if anything, and lets no charge for it come later."""


@step
async def reserve(order_id: str, article: str) -> str:
    """Puts the article aside and tells its shelf."""
    if article not in SHELVES:
        raise OutOfStock(f"no {article} is left")
    return SHELVES[article]


@step(max_retries=20)
async def release(order_id: str) -> None:
    """Gives free what was put aside for the order, if anything, and lets no reservation for it come later."""


@step
async def screen(receipt: Receipt) -> int:
    """Estimates the risk of fraud in per cent."""
    return receipt.cents * 100 // CREDIT_CENTS


@workflow(max_duration="7d")
async def order(order_id: str, cents: int = 4200, article: str = "book") -> Confirmation:
    """Charges, reserves and screens; then a person decides within a day."""
    async with saga() as undo:
        # Each undo is registered before its step is asked for: a step that failed or was given up may have had its effect,
        # or may still have it.
        undo.compensate(refund, order_id)
        receipt = await charge(order_id, cents)
        undo.compensate(release, order_id)
        shelf, risk = await asyncio.gather(reserve(order_id, article), screen(receipt))
        approval = await hook("approval", Approval, timeout="24h")
        if not approval.ok:
            raise NotApproved(f"{approval.reviewer} said no")
    return Confirmation(receipt, shelf, risk, approval.reviewer)
