"""The order saga: every way it can end, and what is undone in each."""

from __future__ import annotations

import pytest

from examples.orders import CardDeclined, Confirmation, NotApproved, OutOfStock, Receipt, order
from jetrun.client import Client, Event, RunCancelled
from support.story import kinds, scheduled, wait_event

APPROVED = {"ok": True, "reviewer": "ada"}
REJECTED = {"ok": False, "reviewer": "bob"}


async def test_approved_order_is_confirmed(client: Client) -> None:
    """The steps run in the order of the code, the hook's payload arrives as its type, nothing is undone."""
    run = await client.start(order.call("o-1"), run_id="o-1")
    await run.hook("approval", APPROVED)

    assert await run.result() == Confirmation(Receipt("o-1", 4200), shelf="A-1", risk=4, reviewer="ada")
    assert scheduled(await run.events()) == ["charge", "reserve", "screen"]


async def test_start_is_idempotent_by_run_id(client: Client) -> None:
    """A start that is sent twice charges once."""
    first = await client.start(order.call("o-2"), run_id="o-2", hooks=[("approval", APPROVED)])
    await first.result()
    second = await client.start(order.call("o-2"), run_id="o-2")

    assert await second.result() == await first.result()
    assert scheduled(await first.events()).count("charge") == 1


async def test_declined_card_is_refunded_all_the_same(client: Client) -> None:
    """A charge that failed may have gone through; nothing was reserved yet."""
    run = await client.start(order.call("o-3", 100_001), run_id="o-3")

    with pytest.raises(CardDeclined, match="more than the credit"):
        await run.result()
    assert scheduled(await run.events()) == ["charge", "refund"]


async def test_what_was_done_is_undone_newest_first(client: Client) -> None:
    """The reservation is given up before the money goes back."""
    run = await client.start(order.call("o-4", article="unicorn"), run_id="o-4")

    with pytest.raises(OutOfStock, match="no unicorn is left"):
        await run.result()
    assert undone(await run.events()) == ["release", "refund"]


async def test_rejected_order_is_undone(client: Client) -> None:
    """The exception that the workflow raises reaches the caller as its own class, after the compensation."""
    run = await client.start(order.call("o-5"), run_id="o-5", hooks=[("approval", REJECTED)])

    with pytest.raises(NotApproved, match="bob said no"):
        await run.result()
    assert undone(await run.events()) == ["release", "refund"]


async def test_cancelled_order_is_undone(client: Client) -> None:
    """A cancel reaches the workflow where it waits, and the compensation runs before the run ends."""
    run = await client.start(order.call("o-6"), run_id="o-6")
    await wait_event(run, "hook.opened", "approval")
    await run.cancel(reason="changed my mind")

    with pytest.raises(RunCancelled, match="changed my mind"):
        await run.result()
    events = await run.events()
    told = kinds(events).index("run.cancel_requested")
    assert scheduled(events[told:]) == ["release", "refund"]


async def test_compensation_is_not_cut_short(client: Client) -> None:
    """A cancel that comes while things are being undone waits until they are, and changes nothing any more."""
    run = await client.start(order.call("o-7"), run_id="o-7", hooks=[("approval", REJECTED)])
    await wait_event(run, "step.scheduled", "release")
    await run.cancel()

    with pytest.raises(NotApproved):
        await run.result()
    assert undone(await run.events()) == ["release", "refund"]


def undone(events: list[Event]) -> list[str]:
    """Names the compensations that were completed, in order."""
    names = {event.n: event.data["name"] for event in events if event.kind == "step.scheduled"}
    done = [names[event.n] for event in events if event.kind == "step.completed"]
    return [name for name in done if name in ("release", "refund")]
