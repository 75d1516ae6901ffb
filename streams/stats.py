"""Stats: what an actor worker has done since its start."""

from __future__ import annotations

from typing import NamedTuple


class Stats(NamedTuple):
    """Counters of one worker since its start."""

    messages: int
    appends: int
    refused_appends: int
    loads: int
    dead: int
