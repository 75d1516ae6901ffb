"""The inbox: a run's hooks. Waiters without payload, and payloads without waiter, which are kept until somebody waits.

Each payload is given to one waiter at most, the first that it fits, in the order of asking; what fits none of those who
wait is refused, and so is what is left when the run ends: no hook is dropped without a word (I7).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

import msgspec

from .errors import InvalidValue
from .limits import HOOKS_KEPT_BYTES_MAX, HOOKS_KEPT_MAX, HOOKS_SHOWN_MAX
from .messages import Message
from .records import OpenWait
from .values import decode
from .verdict import Verdict


class _Kept(NamedTuple):
    message: Message
    raw: bytes

    @property
    def place(self) -> tuple[int, int]:
        """Orders payloads by their coming."""
        return self.message.at_us, self.message.seq


class Waiter(msgspec.Struct, kw_only=True):
    """A hook that the code waits for."""

    name: str
    type: Any
    type_name: str
    future: asyncio.Future[Any]
    taken: _Kept | None = None
    """The payload that it was given."""


class Inbox:
    """The hooks of one run."""

    def __init__(self) -> None:
        self.refused: list[Verdict] = []
        """Of the decision under way."""
        self.schemas: dict[str, bytes] = {}
        """Per hook name, what the run has published last."""
        self._waiters: dict[int, Waiter] = {}
        self._by_name: dict[str, dict[int, Waiter]] = {}
        self._kept: dict[str, deque[_Kept]] = {}
        self._kept_count = 0
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def open(self, n: int, waiter: Waiter) -> None:
        """Lets a command wait; it gets what is kept for it at once."""
        self._waiters[n] = waiter
        self._by_name.setdefault(waiter.name, {})[n] = waiter
        kept = self._kept.get(waiter.name)
        while kept and not waiter.future.done():
            one = kept.popleft()
            self._kept_count -= 1
            self._kept_bytes -= len(one.raw)
            # It was accepted before its type was known; the next one has its turn.
            reason = _offer(waiter, one)
            if reason:
                self._refuse(one.message, "payload", reason)
        if kept is not None and not kept:
            del self._kept[waiter.name]

    def close(self, n: int) -> bool:
        """Ends a wait; tells whether it was without payload."""
        waiter = self._waiters.pop(n)
        waiters = self._by_name[waiter.name]
        del waiters[n]
        if not waiters:
            del self._by_name[waiter.name]
        future = waiter.future
        return not future.done() or future.cancelled() or future.exception() is not None

    def give(self, message: Message, raw: bytes) -> None:
        """Gives a payload to the first waiter that it fits; keeps it where nobody waits; refuses it otherwise."""
        if self._is_settled(_Kept(message, raw)):
            return
        if self._kept_count >= HOOKS_KEPT_MAX or self._kept_bytes + len(raw) > HOOKS_KEPT_BYTES_MAX:
            have = f"{self._kept_count} hook messages ({self._kept_bytes} bytes) are kept already"
            self._refuse(message, "full", f"{have}; the workflow has to wait for them first")
        else:
            self._keep(_Kept(message, raw))

    def give_back(self, waiter: Waiter) -> None:
        """Takes a payload from a waiter that has left without using it: it is for the next one, in its old place."""
        one, waiter.taken = waiter.taken, None
        if one is not None and not self._is_settled(one):
            queue = self._keep(one)
            if len(queue) > 1:
                self._kept[waiter.name] = deque(sorted(queue, key=lambda kept: kept.place))

    def end(self, status: str) -> None:
        """Refuses what nobody has waited for, or has come to use, in the order of its coming."""
        for message in self.take():
            self._refuse(message, "ended", f"the run has ended ({status}) and did not wait for this hook")

    def take(self) -> list[Message]:
        """Takes out what nobody has waited for, or has come to use, in the order of its coming: for the run's next link."""
        left = [kept for queue in self._kept.values() for kept in queue]
        for waiter in self._waiters.values():
            if waiter.taken is not None:
                left.append(waiter.taken)
                waiter.taken = None
        self._kept.clear()
        self._kept_count = self._kept_bytes = 0
        return [kept.message for kept in sorted(left, key=lambda kept: kept.place)]

    def shown(self) -> tuple[list[OpenWait], int]:
        """Lists the first hooks that the code waits for, and tells how many there are besides."""
        if not self._waiters:
            return [], 0
        waiting = [(n, waiter) for n, waiter in self._waiters.items() if not waiter.future.done()]
        first = waiting[:HOOKS_SHOWN_MAX]
        return [OpenWait(n=n, name=w.name, type=w.type_name) for n, w in first], len(waiting) - len(first)

    def _is_settled(self, one: _Kept) -> bool:
        """Gives a payload to the first waiter that it fits, or refuses it; False where nobody waits."""
        reason = ""
        for waiter in self._by_name.get(one.message.name, {}).values():
            if not waiter.future.done():
                reason = _offer(waiter, one)
                if not reason:
                    return True
        if reason:
            self._refuse(one.message, "payload", reason)
        return bool(reason)

    def _keep(self, one: _Kept) -> deque[_Kept]:
        queue = self._kept.setdefault(one.message.name, deque())
        queue.append(one)
        self._kept_count += 1
        self._kept_bytes += len(one.raw)
        return queue

    def _refuse(self, message: Message, code: str, reason: str) -> None:
        self.refused.append(Verdict(message=message, code=code, reason=reason))


def _offer(waiter: Waiter, one: _Kept) -> str:
    try:
        value = decode(one.raw, waiter.type, where=f"payload of hook {waiter.name!r}")
    except InvalidValue as error:
        return str(error)
    waiter.taken = one
    waiter.future.set_result(value)
    return ""
