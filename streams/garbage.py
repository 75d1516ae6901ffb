"""Garbage collection of a worker process: rarer than Python's default, which looks at everything alive far too often here.

A worker makes some hundred short-lived objects per message, nearly all of which die by reference counting. With the
default threshold the collector took an eighth of an actor worker's CPU under load. What it is left for are the cycles
of evicted actors, some 7 KiB and fifty objects each, and of users' code.

A young generation of 40,000 is not filled by what a few hundred runs have in flight: the ebb and flow of their objects
never starts the collector, where 10,000 did once per hundred runs (and it found nothing). Each older generation is looked
at with the third collection of the one before it: all together after nine young ones, 360,000 objects, as often as with
10,000, 5 and 3 (with 10,000, 20 and 20 an actor worker grew by 132 MiB over 100,000 sleeping runs).
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (40_000, 1, 1)


def calm() -> None:
    """Sets the process's collector; call it once, when everything is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
