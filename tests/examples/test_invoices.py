"""Typed values, there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from examples.invoices import Currency, Customer, Invoice, Line, invoice
from jetrun.client import Client, call


async def test_values_arrive_as_their_types(client: Client) -> None:
    """What the client gets equals what the workflow made: decimals to the digit, times to the microsecond."""
    customer = Customer(name="Ada", email="ada@example.org", tags={"friend", "vip"})
    lines = [Line("tea", Decimal("3.10"), 2), Line("cup", Decimal("7.25"))]
    run = await client.start(invoice.call(customer, lines, Currency.NOK), run_id="i-1")

    written = await run.result()
    status = await run.status()
    at = datetime.fromtimestamp(status.started_at_us / 1e6, UTC)
    assert written == Invoice(
        number=written.number,
        customer=customer,
        lines=lines,
        total=Decimal("12.105"),
        currency=Currency.NOK,
        written_at=at,
        due=(at + timedelta(days=30)).date(),
        discount=("friends", Decimal("0.1")),
        seal=written.number.bytes[:4] + f"12.105@{at.year}".encode(),
    )
    assert isinstance(written.number, UUID)
    assert written.number.version == 4


async def test_plain_json_does_as_well(client: Client) -> None:
    """Who knows the workflow by name alone sends and gets JSON."""
    lines = [{"text": "tea", "price": "3.10"}]
    run = await client.start(call("invoice", {"name": "Bo", "email": "bo@example.org"}, lines), run_id="i-2")

    written = await run.result()
    assert written["total"] == "3.10"
    assert written["currency"] == "EUR"
    assert written["discount"] is None
    assert written["customer"]["tags"] == []
