"""Children: side by side, failing on their own, called off, left behind."""

from __future__ import annotations

from examples.shipments import delivery, express, parcel, survey
from jetrun.client import Client
from support.story import wait_status


async def test_parcels_end_on_their_own(client: Client) -> None:
    """One that fails does not hold up the others, and its error keeps its class."""
    run = await client.start(delivery.call("d-1", ["book", "anvil", "lamp"]), run_id="d-1")
    for article, who in (("book", "ann"), ("lamp", "bob")):
        await client.get(parcel, f"d-1-{article}").hook("handed_over", who, before_start=True)

    found = await run.result()

    assert (found["book"], found["lamp"]) == ("box of book taken by ann", "box of lamp taken by bob")
    assert found["anvil"].startswith("too heavy: ")


async def test_a_child_that_is_cancelled_tells_its_parent(client: Client) -> None:
    run = await client.start(delivery.call("d-2", ["book"]), run_id="d-2")
    await wait_status(client, "parcel/d-2-book", "running")
    await client.get(parcel, "d-2-book").cancel(reason="lost on the way")

    assert await run.result() == {"book": "cancelled"}


async def test_what_nobody_waits_for_any_more_is_called_off(client: Client) -> None:
    run = await client.start(express.call("book", 0.5), run_id="e-1")

    assert await run.result() == "called off"
    await wait_status(client, "parcel/express-e-1-2", "cancelled")


async def test_children_end_with_their_parent_but_for_those_that_were_let_go(client: Client) -> None:
    run = await client.start(delivery.call("d-3", ["book"]), run_id="d-3")
    await wait_status(client, "parcel/d-3-book", "running")
    await run.cancel(wait=True)

    await wait_status(client, "parcel/d-3-book", "cancelled")
    await wait_status(client, "survey/d-3-survey", "running")
    await client.get(survey, "d-3-survey").cancel(wait=True)
