"""Slots: the runs that a worker knows at the moment, with their letters and cached actors, bounded (least recently used)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import anyio

from ..actors.actor import Actor
from ..actors.decision import Decision
from ..actors.names import RunKey
from .letters import Letter


class Slot:
    """A run's place in this worker: its letters, and its actor while that is cached."""

    __slots__ = ("actor", "is_busy", "is_lent", "is_ready", "key", "letters", "must_load", "partition", "waiting")

    def __init__(self, key: RunKey, partition: int) -> None:
        self.key = key
        self.partition = partition
        self.actor: Actor | None = None
        self.letters: list[Letter] = []
        self.is_busy = False
        self.is_ready = False
        self.must_load = False
        self.is_lent = False
        self.waiting: list[anyio.Event] = []
        """Who wants to look at the run between two turns."""

    async def borrow(self) -> None:
        """Takes the run between two turns: it is busy on return, and the caller has to release it as a turn does."""
        if self.is_busy:
            given = anyio.Event()
            self.waiting.append(given)
            await given.wait()  # it stays busy, and goes over from hand to hand
        self.is_busy = self.is_lent = True

    def hand_over(self) -> bool:
        """Gives a busy run to who waits for it, unless its letters have waited for that already."""
        is_due = bool(self.waiting) and not (self.is_lent and self.letters)
        if is_due:
            self.waiting.pop(0).set()
        self.is_lent = False
        return is_due


class Pending:
    """One run's part of a turn."""

    __slots__ = ("actor", "decision", "letters", "seqs", "slot")

    def __init__(self, slot: Slot, actor: Actor, letters: list[Letter], decision: Decision) -> None:
        self.slot = slot
        self.actor = actor
        self.letters = letters
        self.decision = decision
        self.seqs: list[int] = []


class Slots:
    """All slots of a worker.

    Args:
        cached_max: Bound of cached actors; the longest unused are dropped and replayed on demand.
    """

    def __init__(self, cached_max: int) -> None:
        self.cached = 0
        """Actors in the cache."""
        self._cached_max = cached_max
        self._slots: dict[RunKey, Slot] = {}
        self._idle: OrderedDict[RunKey, Slot] = OrderedDict()
        """Those that hold an actor and have nothing to do, the longest unused first."""

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    def find(self, key: RunKey) -> Slot | None:
        """Returns the run's slot, if it has one."""
        return self._slots.get(key)

    def of(self, key: RunKey, partition: int) -> Slot:
        """Returns the run's slot, to put letters in; a new one where it has none."""
        self._idle.pop(key, None)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = Slot(key, partition)
        return slot

    def keep(self, slot: Slot, actor: Actor) -> None:
        """Caches a run's actor."""
        if slot.actor is None:
            self.cached += 1
        slot.actor = actor
        slot.must_load = False

    def forget(self, slot: Slot) -> None:
        """Drops a run's actor; it is loaded anew when needed."""
        if slot.actor is not None:
            slot.actor.close()
            slot.actor = None
            self.cached -= 1
        slot.must_load = True

    def rest(self, slot: Slot) -> None:
        """Takes note that a run has nothing to do: the newest used, and the oldest may have to go."""
        if slot.actor is None:
            self._slots.pop(slot.key, None)
            return
        self._idle[slot.key] = slot
        while self.cached > self._cached_max and self._idle:
            self._remove(next(iter(self._idle.values())))

    def drop(self, is_unwanted: Callable[[Slot], bool]) -> None:
        """Forgets slots that are not in a turn, with their letters."""
        for slot in [s for s in self._slots.values() if not s.is_busy and is_unwanted(s)]:
            slot.letters.clear()
            self._remove(slot)

    def _remove(self, slot: Slot) -> None:
        self._idle.pop(slot.key, None)
        self.forget(slot)
        self._slots.pop(slot.key, None)
