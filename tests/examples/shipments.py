"""Children: an order is a run, each of its parcels is a run of its own, and a survey goes out that nobody waits for.

Try it:
    wfctl dev -m tests.examples.shipments
    wfctl start delivery '"o-1"' '["book", "lamp"]' --run-id o-1
    wfctl runs children delivery/o-1
    wfctl hooks send parcel/o-1-book handed_over '"ann"'
    wfctl tail delivery/o-1
"""

from __future__ import annotations

import asyncio

from jetrun.actors import ChildFailed, ChildHandle, FatalError, hook, sleep, start_child, step, workflow

HEAVY = {"anvil"}


class TooHeavy(FatalError):
    """No courier takes it."""


@step
async def pack(article: str) -> str:
    if article in HEAVY:
        raise TooHeavy(article)
    return f"box of {article}"


@step
async def ask(order_id: str, question: str) -> None:
    """Writes to the customer."""


@workflow
async def parcel(article: str) -> str:
    """One parcel: packed, then on its way until somebody takes it."""
    box = await pack(article)
    who = await hook("handed_over", str)
    return f"{box} taken by {who}"


@workflow
async def survey(order_id: str) -> None:
    """Asks how it went, a week later; no delivery waits for that."""
    await sleep("7d")
    await ask(order_id, "how was it?")


@workflow
async def delivery(order_id: str, articles: list[str]) -> dict[str, str]:
    """All parcels of an order, side by side. One that cannot be sent does not hold up the others."""
    start_child(survey.call(order_id), run_id=f"{order_id}-survey", parent_close="abandon")
    parcels = {article: start_child(parcel.call(article), run_id=f"{order_id}-{article}") for article in articles}
    ends = await asyncio.gather(*(end_of(child) for child in parcels.values()))
    return dict(zip(parcels, ends, strict=True))


async def end_of(child: ChildHandle[str]) -> str:
    """Waits for a parcel, however it ends."""
    try:
        return await child.result()
    except TooHeavy as error:
        return f"too heavy: {error}"
    except ChildFailed as failed:
        return failed.status


@workflow
async def express(article: str, patience_s: float) -> str:
    """Awaiting a workflow is the short form; who stops waiting cancels the child."""
    try:
        async with asyncio.timeout(patience_s):
            return await parcel(article)
    except TimeoutError:
        return "called off"
