"""A long import that goes on where it was, whoever is killed meanwhile: heartbeats carry the place.

Try it, and kill the step worker with `kill -9` half-way:
    wfctl dev -m tests.examples.bulk_import
    seq 100000 > /tmp/rows.txt
    wfctl start importing '"/tmp/rows.txt"' '"/tmp/loaded.txt"' --run-id i-1
    wfctl tail importing/i-1
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from jetrun.actors import attempt, step, workflow


@dataclass
class Place:
    """Where the import is: all before has been loaded."""

    row: int
    total: int


@step(max_retries=5, retry_delay="1s", heartbeat_timeout="30s")
def load_rows(source: str, target: str) -> int:
    """Loads row by row and sums them up. After a crash it goes on at the last heartbeat, at most a second back."""
    me = attempt()
    place = me.last_heartbeat_as(Place) or Place(0, 0)
    me.logger.info("loading from row %d on", place.row)
    rows = Path(source).read_text().splitlines()
    with Path(target).open("a") as file:
        for number, row in enumerate(rows[place.row :], place.row + 1):
            me.check_cancelled()
            file.write(f"{os.getpid()} {number}\n")  # stands for the database; a row may be loaded twice
            file.flush()
            place = Place(number, place.total + int(row))
            me.heartbeat(place)
            me.progress(number / len(rows), f"row {number}")
            time.sleep(0.005)
    return place.total


@workflow
async def importing(source: str, target: str) -> int:
    """Imports a file, however long that takes."""
    return await load_rows(source, target)
