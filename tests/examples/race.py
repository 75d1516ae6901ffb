"""A hook against a timer: whichever comes first decides, and the other one is closed.

Try it:
    wfctl dev -m tests.examples.race
    wfctl start checkout '"1h"' --run-id c-1
    wfctl hooks send checkout/c-1 paid '{"card": "4242", "cents": 1999}'
"""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import hook, sleep, workflow


class Payment(msgspec.Struct, frozen=True):
    card: str
    cents: int


@workflow
async def checkout(patience: str) -> str:
    """Waits for the payment, but not for ever. A payment that is accepted before the deadline beats the deadline."""
    paid = asyncio.create_task(hook("paid", Payment))
    late = asyncio.create_task(sleep(patience))
    await asyncio.wait({paid, late}, return_when=asyncio.FIRST_COMPLETED)
    if paid.done():
        late.cancel()
        return f"{paid.result().cents} cents from card {paid.result().card}"
    paid.cancel()
    return "the basket was given up"
