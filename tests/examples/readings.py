"""A consumer of a stream of hooks: a meter's readings, booked in batches until the meter is taken down or falls silent.

Try it:
    wfctl dev -m tests.examples.readings
    wfctl start meter '"m-7"' --run-id m-7
    wfctl hooks send meter/m-7 reading '{"kwh": 12}'
    wfctl hooks send meter/m-7 reading '{"kwh": 15}'
    wfctl hooks send meter/m-7 reading '{"kwh": 21, "is_last": true}'
"""

from __future__ import annotations

import msgspec

from jetrun.actors import HookExpired, define_hook, step, workflow

BATCH = 3


class Reading(msgspec.Struct, frozen=True):
    kwh: int
    is_last: bool = False


reading = define_hook("reading", Reading)


@step
async def book(number: str, readings: list[int]) -> int:
    """Stands for a row in the ledger; readings that come meanwhile are kept for the next turn of the loop."""
    return readings[-1] - readings[0]


@workflow
async def meter(number: str, silence: str = "1d") -> list[list[int]]:
    """Returns what was booked."""
    booked: list[list[int]] = []
    batch: list[int] = []
    try:
        async for one in reading.stream(timeout=silence):
            batch.append(one.kwh)
            if len(batch) == BATCH or one.is_last:
                await book(number, batch)
                booked.append(batch)
                batch = []
            if one.is_last:
                break
    except HookExpired:
        booked.append(batch)
    return booked
