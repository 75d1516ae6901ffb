"""Garbage collection of a worker process: rarer than Python's default, which looks at everything alive far too often here.

A worker makes some hundred short-lived objects per message, nearly all of which die by reference counting. With the
default threshold the collector took an eighth of an actor worker's CPU under load. What it is left for are the cycles
of evicted actors, some 7 KiB each: the thresholds bound what waits for it to some ten thousand objects.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 20)


def calm() -> None:
    """Sets the process's collector; call it once, when everything is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
