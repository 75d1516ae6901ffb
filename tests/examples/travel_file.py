"""A context for steps: what all of them need to know is a frozen value, passed to each and changed by the workflow alone.

No state is hidden: the value stands in the log with each step that got it, so a replay, and a reader, sees what the step
saw, before a sleep or a crash and after. What a step wants to know of its own run, `attempt()` tells.

Try it:
    wfctl dev -m tests.examples.travel_file
    wfctl start journey '{"traveller": "ann", "to": "Oslo"}' --run-id j-1 --wait
    wfctl runs log journey/j-1
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from jetrun.actors import attempt, sleep, step, workflow


class TravelFile(msgspec.Struct, frozen=True):
    traveller: str
    to: str
    language: str = "en"
    status: Literal["asked", "booked", "done"] = "asked"
    seat: str = ""


@step
async def book_seat(file: TravelFile) -> str:
    """Returns what it has found; to change the file is the workflow's part."""
    return f"12A to {file.to}"


@step
async def write_to_traveller(file: TravelFile) -> str:
    """Reads the file, and of its own run what identifies it."""
    return f"{attempt().run}: {file.traveller}, your journey is {file.status}, seat {file.seat or 'open'}"


@workflow
async def journey(file: TravelFile, until_departure: str = "2s") -> list[str]:
    """`replace` makes a changed copy; fields and types are checked like those of every value."""
    letters = [await write_to_traveller(file)]
    file = replace(file, status="booked", seat=await book_seat(file))
    letters.append(await write_to_traveller(file))
    await sleep(until_departure)
    file = replace(file, status="done")
    letters.append(await write_to_traveller(file))
    return letters
