"""Placement: which actor worker serves which partition (R6). Locality only: correctness never depends on it.

Live workers see each other by heartbeats; each partition ranks them by rendezvous hashing. The first owns it, the
second stands by with a pull of its own, so that a worker that beats but does not pull loses its place to the server's
pin timeout. This file decides, it does no I/O.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Literal

import msgspec

from ..actors.limits import BEAT_S, BEATS_MISSED_MAX

Role = Literal["owner", "standby", "none"]


class Beat(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A worker's heartbeat."""

    worker: str
    kind: str
    pid: int = 0
    host: str = ""
    started_at_us: int = 0
    partitions: list[int] = []
    """What an actor worker is serving at the moment."""
    runs: int = 0
    """Actors in its cache."""
    appends: int = 0
    refused_appends: int = 0
    """Appends that the fence refused: another worker had advanced the run."""
    workflows: list[str] = []
    hello: bool = False
    """Asks the others to answer with a beat of their own."""
    leaving: bool = False


class Peers:
    """The live actor workers, this one included.

    Args:
        worker: This worker's id.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._beats: dict[str, tuple[float, Beat]] = {}

    def heard(self, beat: Beat, now_s: float) -> bool:
        """Takes a beat in; tells whether the set of live workers or their claims changed.

        Args:
            now_s: Monotonic time.
        """
        if beat.worker == self.worker or beat.kind != "actors":
            return False
        before = self._beats.get(beat.worker)
        if beat.leaving:
            return self._beats.pop(beat.worker, None) is not None
        self._beats[beat.worker] = (now_s, beat)
        return before is None or before[1].partitions != beat.partitions

    def forget_silent(self, now_s: float) -> list[str]:
        """Drops workers that missed too many beats and returns their ids."""
        silent = [worker for worker, (at_s, _) in self._beats.items() if now_s - at_s > BEAT_S * BEATS_MISSED_MAX]
        for worker in silent:
            del self._beats[worker]
        return silent

    def role(self, partition: int) -> Role:
        """Tells this worker's place for a partition."""
        ranking = sorted([self.worker, *self._beats], key=lambda worker: _weight(worker, partition), reverse=True)
        if ranking[0] == self.worker:
            return "owner"
        return "standby" if ranking[1] == self.worker else "none"

    def is_claimed(self, partition: int) -> bool:
        """Tells whether another live worker says that it serves the partition."""
        return any(partition in beat.partitions for _, beat in self._beats.values())

    def workflows(self) -> Collection[str]:
        """Names of the workflows that other live workers know."""
        return {name for _, beat in self._beats.values() for name in beat.workflows}


def _weight(worker: str, partition: int) -> bytes:
    return blake2b(f"{worker}/{partition}".encode(), digest_size=8).digest()
