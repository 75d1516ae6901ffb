"""MemoryConsumption: a process's standing pull on one consumer of the twin, pin included.

One `_Pull` at a time waits at the server; a wrong pin or a lost connection ends it, and the next one takes over what it
was still allowed.
"""

from __future__ import annotations

import asyncio
from functools import partial

from ..actors.limits import PIN_PULL_EXPIRES_S, PULL_EXPIRES_S, PULL_TICK_S
from .memory_link import Link, LinkState
from .memory_server import MemoryServer
from .ports import Delivery, OnDeliveries


class MemoryConsumption:
    """Asks for deliveries and hands them on, several at a time where several have come.

    Args:
        batch: How many to ask for at once.
        credit: With a number: deliveries allowed in all, until `want` allows more.
        is_pinned: Keeps the pin by asking again every `PULL_TICK_S`.
    """

    def __init__(
        self,
        server: MemoryServer,
        link: Link,
        stream: str,
        consumer: str,
        on_deliveries: OnDeliveries,
        *,
        batch: int,
        credit: int | None,
        is_pinned: bool,
    ) -> None:
        self._server = server
        self._link = link
        self._stream = stream
        self._consumer = consumer
        self._on_deliveries = on_deliveries
        self._batch = batch
        self._has_credit = credit is not None
        self._is_pinned = is_pinned
        self._pin = ""
        self._open = 0
        self._arrived: list[Delivery] = []
        self._is_closed = False
        self._lane = f"pull {server.new_name('pull')}"
        self._loop = asyncio.get_running_loop()
        self._renewal: asyncio.TimerHandle | None = None
        self._pull = _Pull(self, link, self._lane)
        self._ask(batch if credit is None else credit)
        self._renew()

    @property
    def pin(self) -> str:
        return self._pin

    def want(self, count: int) -> None:
        assert self._has_credit
        self._ask(count)

    def reopen(self) -> None:
        """Asks anew for what is still allowed: the server knows of no request of ours any more."""
        if self._is_closed:
            return
        self._pull = _Pull(self, self._link, self._lane)
        self._pin = ""
        allowed, self._open = self._open, 0
        self._ask(allowed)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        self._pin = ""
        self._arrived.clear()
        self._link.up(self._lane, partial(self._server.withdraw, self._stream, self._consumer, self._pull))

    def take(self, pull: _Pull, delivery: Delivery) -> None:
        """Receives a delivery that has come over the link."""
        if self._is_closed or pull is not self._pull:
            return
        self._open -= 1
        if self._is_pinned:
            self._pin = delivery.pin
        if not self._arrived:
            self._loop.call_soon(self._hand_on)
        self._arrived.append(delivery)
        if not self._has_credit and self._open <= self._batch // 2:
            self._ask(self._batch - self._open)

    def take_back(self, pull: _Pull, count: int) -> None:
        """Learns that a request ran out of time, and asks again for what it did not bring."""
        if pull is self._pull and not self._is_closed:
            self._open -= count
            self._ask(count)

    def lose_pin(self, pull: _Pull) -> None:
        """Stands by again: the server serves another pull."""
        if pull is self._pull:
            self.reopen()

    def _hand_on(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived and self._link.state is not LinkState.DEAD:
            self._on_deliveries(arrived)

    def _ask(self, count: int) -> None:
        self._open += count
        lasts_s = PIN_PULL_EXPIRES_S if self._pin else PULL_EXPIRES_S
        ask = partial(self._server.request, self._stream, self._consumer, self._pull, count, self._pin, lasts_s)
        self._link.up(self._lane, ask)

    def _renew(self) -> None:
        """Keeps the request alive: a frozen or dead process's runs out, and takes no more messages along."""
        self._renewal = self._loop.call_later(PULL_TICK_S if self._is_pinned else PULL_EXPIRES_S / 2, self._renew)
        if self._open > 0:
            self._ask(0)


class _Pull:
    """A request at the server, until it is refused or its connection breaks."""

    def __init__(self, owner: MemoryConsumption, link: Link, lane: str) -> None:
        self._owner = owner
        self._link = link
        self._lane = lane

    @property
    def is_reachable(self) -> bool:
        return self._link.is_served

    def deliver(self, delivery: Delivery) -> None:
        self._link.down(self._lane, lambda: self._owner.take(self, delivery))

    def expire(self, count: int) -> None:
        self._link.down(self._lane, lambda: self._owner.take_back(self, count))

    def refuse(self) -> None:
        self._link.down(self._lane, lambda: self._owner.lose_pin(self))
