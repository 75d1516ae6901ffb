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


class Waiter(msgspec.Struct, frozen=True, kw_only=True):
    """A hook that the code waits for."""

    name: str
    type: Any
    type_name: str
    future: asyncio.Future[Any]


class _Kept(NamedTuple):
    message: Message
    raw: bytes


class Inbox:
    """The hooks of one run."""

    def __init__(self) -> None:
        self.refused: list[Verdict] = []
        """Of the decision under way."""
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
            message, raw = kept.popleft()
            self._kept_count -= 1
            self._kept_bytes -= len(raw)
            # It was accepted before its type was known; the next one has its turn.
            reason = _offer(waiter, raw)
            if reason:
                self._refuse(message, "payload", reason)
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
        reason = ""
        for waiter in self._by_name.get(message.name, {}).values():
            if not waiter.future.done():
                reason = _offer(waiter, raw)
                if not reason:
                    return
        if reason:
            self._refuse(message, "payload", reason)
        elif self._kept_count >= HOOKS_KEPT_MAX or self._kept_bytes + len(raw) > HOOKS_KEPT_BYTES_MAX:
            have = f"{self._kept_count} hook messages ({self._kept_bytes} bytes) are kept already"
            self._refuse(message, "full", f"{have}; the workflow has to wait for them first")
        else:
            self._kept.setdefault(message.name, deque()).append(_Kept(message, raw))
            self._kept_count += 1
            self._kept_bytes += len(raw)

    def end(self, status: str) -> None:
        """Refuses what nobody has waited for, in the order of its coming."""
        for message in self.take():
            self._refuse(message, "ended", f"the run has ended ({status}) and did not wait for this hook")

    def take(self) -> list[Message]:
        """Takes out what nobody has waited for, in the order of its coming: the next link of the run has it."""
        left = [kept.message for queue in self._kept.values() for kept in queue]
        self._kept.clear()
        self._kept_count = self._kept_bytes = 0
        return sorted(left, key=lambda message: (message.at_us, message.seq))

    def shown(self) -> list[OpenWait]:
        """Lists the first hooks that the code waits for."""
        if not self._waiters:
            return []
        waiting = [(n, waiter) for n, waiter in self._waiters.items() if not waiter.future.done()]
        return [OpenWait(n=n, name=w.name, type=w.type_name) for n, w in waiting[:HOOKS_SHOWN_MAX]]

    def _refuse(self, message: Message, code: str, reason: str) -> None:
        self.refused.append(Verdict(message=message, code=code, reason=reason))


def _offer(waiter: Waiter, raw: bytes) -> str:
    try:
        value = decode(raw, waiter.type, where=f"payload of hook {waiter.name!r}")
    except InvalidValue as error:
        return str(error)
    waiter.future.set_result(value)
    return ""
