"""Notices: the twin's core NATS: who listens to what, and who gets a message. Nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .memory_faults import Dice, Faults
from .memory_link import Link
from .memory_subjects import matches
from .ports import OnNotice


class Listener:
    """A subscription, as both ends know it.

    Args:
        queue: The queue group, or empty.
    """

    def __init__(self, link: Link, subject: str, queue: str, on_notice: OnNotice) -> None:
        self.link = link
        self.subject = subject
        self.queue = queue
        self.is_open = True
        self._on_notice = on_notice

    def give(self, subject: str, payload: bytes, reply: str) -> None:
        if self.is_open:
            self._on_notice(subject, payload, reply)


class Notices:
    """All subscriptions of a server."""

    def __init__(self, dice: Dice, faults: Callable[[], Faults]) -> None:
        self._dice = dice
        self._faults = faults
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def drop(self, link: Link) -> None:
        """Forgets all subscriptions of a connection."""
        self._listeners = [listener for listener in self._listeners if listener.link is not link]

    def clear(self) -> None:
        self._listeners.clear()

    def route(self, subject: str, payload: bytes, reply: str = "") -> int:
        """Gives a message to its listeners, one of each queue group, and tells how many there were."""
        found = [listener for listener in self._listeners if matches(listener.subject, subject)]
        chosen = [listener for listener in found if not listener.queue]
        groups: dict[tuple[str, str], list[Listener]] = {}
        for listener in found:
            if listener.queue:
                groups.setdefault((listener.subject, listener.queue), []).append(listener)
        chosen += [members[self._dice.random.randrange(len(members))] for members in groups.values()]
        for listener in chosen:
            if not self._dice.hits(self._faults().notice_lost):
                listener.link.down(f"notice {id(listener)}", partial(listener.give, subject, payload, reply))
        return len(chosen)
