"""The cart: filled, asked, refused, paid; by real workers."""

from __future__ import annotations

import pytest

from examples.cart import OutOfStock, Progress, Receipt, add_item, cart, check_out, progress
from jetrun.actors import define_query
from jetrun.client import Client, QueryFailed, RunEnded, UpdateRefused


async def test_a_cart_is_filled_and_paid(client: Client) -> None:
    run = await client.start(cart.call("ann"), run_id="c-1")

    assert await run.update(add_item.call("lamp", 2)) == {"lamp": 2}
    assert await run.update(add_item.call("chair", 1)) == {"lamp": 2, "chair": 1}
    assert await run.query(progress) == Progress({"lamp": 2, "chair": 1}, is_open=True)
    assert (await run.status()).values == {"customer": "ann", "items": 3}
    assert await run.update(check_out.call()) == Receipt("ann", 18_300)
    assert await run.result() == Receipt("ann", 18_300)
    assert (await run.status()).values == {"customer": "ann", "items": 3}


async def test_what_is_refused_leaves_the_cart_as_it_was(client: Client) -> None:
    run = await client.start(cart.call("bob"), run_id="c-2")
    await run.update(add_item.call("lamp", 1))

    with pytest.raises(OutOfStock) as refused:
        await run.update(add_item.call("unicorn", 1))
    assert isinstance(refused.value, UpdateRefused)
    with pytest.raises(ValueError, match="11 of lamp"):
        await run.update(add_item.call("lamp", 11))

    assert (await run.query(progress)).items == {"lamp": 1}


async def test_a_paid_cart_tells_and_takes_no_more(client: Client) -> None:
    """An update that was answered has the same answer for ever; queries replay the log."""
    run = await client.start(cart.call("kay"), run_id="c-3")
    await run.update(add_item.call("chair", 1), id="first")
    await run.update(check_out.call())
    await run.result()

    assert await run.query(progress) == Progress({"chair": 1}, is_open=False)
    assert await run.update(add_item.call("chair", 1), id="first") == {"chair": 1}
    with pytest.raises(RunEnded):
        await run.update(add_item.call("lamp", 1))
    with pytest.raises(QueryFailed, match="it has: progress"):
        await client.get("cart/c-3").query(define_query("nothing").call())
