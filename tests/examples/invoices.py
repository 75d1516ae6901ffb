"""Typed values: what steps, workflows, hooks and clients exchange is JSON by the annotations, and arrives as its type.

Try it:
    wfctl dev -m tests.examples.invoices
    wfctl start invoice '{"name": "Ada", "email": "ada@example.org"}' '[{"text": "tea", "price": "3.10", "count": 2}]' --wait
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import msgspec
import pydantic

from jetrun.actors import now, step, uuid4, workflow


class Currency(Enum):
    EUR = "EUR"
    NOK = "NOK"


@dataclass(frozen=True)
class Line:
    text: str
    price: Decimal
    count: int = 1


class Customer(pydantic.BaseModel):
    name: str
    email: str
    tags: set[str] = set()


class Invoice(msgspec.Struct, frozen=True):
    number: UUID
    customer: Customer
    lines: list[Line]
    total: Decimal
    currency: Currency
    written_at: datetime
    due: date
    discount: tuple[str, Decimal] | None
    seal: bytes


@step
def total_of(lines: list[Line], discount: tuple[str, Decimal] | None) -> Decimal:
    """Decimals stay exact."""
    total = sum((line.price * line.count for line in lines), Decimal(0))
    return total if discount is None else total * (1 - discount[1])


@step
def seal(number: UUID, total: Decimal, written_at: datetime) -> bytes:
    """Bytes travel as base64."""
    return number.bytes[:4] + f"{total}@{written_at:%Y}".encode()


@workflow
async def invoice(customer: Customer, lines: list[Line], currency: Currency = Currency.EUR) -> Invoice:
    """Writes an invoice; friends pay a tenth less."""
    number, written_at = uuid4(), now()  # the run's own: a replay gives the same again
    discount = ("friends", Decimal("0.1")) if "friend" in customer.tags else None
    total = await total_of(lines, discount)
    return Invoice(
        number=number,
        customer=customer,
        lines=lines,
        total=total,
        currency=currency,
        written_at=written_at,
        due=(written_at + timedelta(days=30)).date(),
        discount=discount,
        seal=await seal(number, total, written_at),
    )
