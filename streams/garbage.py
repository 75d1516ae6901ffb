"""Garbage collection of a worker process: rarer than Python's default, which looks at everything alive far too often here.

A worker makes some hundred short-lived objects per message, nearly all of which die by reference counting. With the
default threshold the collector took an eighth of an actor worker's CPU under load. What it is left for are the cycles
of evicted and ended actors, some 7 KiB and fifty objects each: with these thresholds some 3,000 of them wait for it at most
(with 20 and 20 for the older generations an actor worker grew by 132 MiB over 100,000 sleeping runs).
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 5, 3)


def calm() -> None:
    """Sets the process's collector; call it once, when everything is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
