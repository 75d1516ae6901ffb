"""Pull: one worker's pulls on one durable consumer, always with one outstanding.

Three modes. Plain: keeps between half a batch and a batch asked for. Credit: asks for what it was allowed, no more.
Pinned: stands by until a delivery brings a pin, then renews the pin with a pull every tick; a refused pin (423) means
that another worker owns the partition, and standing by begins again.

Deliveries of one read of the socket are handed on in one call. The consumer is never created here: one that is gone
is said loudly and asked for again with a growing pause (R17).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from logging import ERROR
from typing import Final

from ..actors.errors import ServerLost
from ..actors.limits import (
    PIN_PULL_EXPIRES_S,
    PULL_EXPIRES_S,
    PULL_GRACE_S,
    PULL_RETRY_FIRST_S,
    PULL_RETRY_MAX_S,
)
from .connection import Wire
from .deliveries import read_delivery
from .faults import NO_RESPONDERS
from .headers import find_header, read_status
from .ports import GROUP, Delivery, OnDeliveries
from .telemetry import log

_HEARTBEAT: Final = 100
_NO_MESSAGES: Final = frozenset({404, 408})
_WRONG_PIN: Final = 423
_PASSING: Final = ("leadership change", "server shutdown", "batch completed", "message size exceeds")
"""Reasons of a 409 after which the next pull is served; any other needs somebody's help."""


class _Request:
    """A pull that the server still holds."""

    __slots__ = ("left", "overdue_at", "pin")

    def __init__(self, left: int, overdue_at: float, pin: str) -> None:
        self.left = left
        self.overdue_at = overdue_at
        self.pin = pin


class Pull:
    """A `Consumption` over one connection.

    Args:
        batch: Most deliveries asked for at once.
        credit: Deliveries allowed so far; None for no such limit.
    """

    def __init__(
        self,
        wire: Wire,
        stream: str,
        consumer: str,
        on_deliveries: OnDeliveries,
        *,
        batch: int,
        credit: int | None,
        is_pinned: bool,
    ) -> None:
        self.stream = stream
        self.consumer = consumer
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._on_deliveries = on_deliveries
        self._batch = batch
        self._credit = credit
        self._is_pinned = is_pinned
        self._pin = ""
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._requests: dict[int, _Request] = {}
        self._number = 0
        self._oldest = 0
        """Number of the pull that the server serves now, while it is among the requests."""
        self._asked = 0
        self._arrived: list[Delivery] = []
        self._pause_s = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._is_fill_due = False
        self._is_closing = False
        self._is_closed = False
        self._attach()
        self._fill()

    @property
    def pin(self) -> str:
        return self._pin

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def want(self, count: int) -> None:
        assert self._credit is not None, "opened without credit"
        self._credit += count
        if not self._is_fill_due:  # several slots freed in one turn of the loop make one pull
            self._is_fill_due = True
            self._loop.call_soon(self._fill)

    async def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._retry is not None:
            self._retry.cancel()
        if self._credit is not None and self._wire.is_connected:
            # What is on its way would come again only after the ack wait, and counted as a worker that died (R18).
            self._wire.mute(self._sid)
            with suppress(ServerLost):
                await self._wire.settle()
        self._is_closed = True
        self._wire.detach(self._sid)
        self._requests.clear()

    def tick(self, now: float) -> None:
        """Looks for pulls that were lost, and renews the pin; called every `PULL_TICK_S`."""
        if self._is_closing or not self._wire.is_connected:
            return
        for number in [number for number, request in self._requests.items() if request.overdue_at <= now]:
            self._drop(number)
        if self._pin and self._retry is None:
            self._ask(max(1, self._room()))
        else:
            self._fill()

    def restart(self) -> None:
        """Begins anew after a reconnect, under a new inbox: the server may still hold pulls of the old one."""
        if self._is_closing:
            return
        self._wire.retire(self._sid, self._on_late)
        for number in list(self._requests):
            self._drop(number)
        self._attach()
        self._fill()

    # --- asking ----------------------------------------------------------------------------------
    def _attach(self) -> None:
        self._inbox = self._wire.new_inbox() + "."
        self._sid = self._wire.attach(self._inbox + "*", self._on_message)

    def _fill(self) -> None:
        self._is_fill_due = False
        if self._is_closing or self._retry is not None or not self._wire.is_connected:
            return  # after a reconnect `restart` asks anew
        if self._credit is None:
            if self._asked <= self._batch // 2:
                self._ask(self._batch - self._asked)
        elif self._credit > 0 and self._credit >= self._asked:
            # Doubling keeps the number of small pulls logarithmic; at most half of the free slots wait a round trip.
            self._ask(min(self._credit, self._batch))

    def _room(self) -> int:
        """How many more may be asked for."""
        free = self._batch - self._asked
        return free if self._credit is None else min(free, self._credit)

    def _ask(self, count: int) -> None:
        self._number += 1
        expires_s = PIN_PULL_EXPIRES_S if self._pin else PULL_EXPIRES_S
        self._requests[self._number] = _Request(count, self._loop.time() + expires_s + PULL_GRACE_S, self._pin)
        self._asked += count
        if self._credit is not None:
            self._credit -= count
        body = f'{{"batch":{count},"expires":{int(expires_s * 1e9)}'
        if self._is_pinned:
            body += f',"group":"{GROUP}","id":"{self._pin}"' if self._pin else f',"group":"{GROUP}"'
        self._wire.send_publish(self._subject, f"{self._inbox}{self._number}", b"", (body + "}").encode())

    def _drop(self, number: int, pending: int | None = None) -> None:
        """Forgets a pull that ended with `pending` deliveries not made; by our own count when the server did not say."""
        request = self._requests.pop(number, None)
        if request is None:
            return
        left = request.left if pending is None else pending
        self._asked = max(0, self._asked - left)
        if not self._requests:
            self._asked = 0
        if self._credit is not None:
            self._credit += left

    # --- arriving ------------------------------------------------------------------------------------
    def _on_message(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        if not reply:
            self._on_status(subject, headers)
            return
        try:
            delivery = read_delivery(subject, reply, payload, headers)
        except (ValueError, UnicodeDecodeError):
            log("delivery.unreadable", ERROR, stream=self.stream, consumer=self.consumer, reply=ascii(reply)[:200])
            return
        self._pause_s = 0.0
        self._count_delivery()
        if self._is_pinned and delivery.pin and delivery.pin != self._pin:
            self._pin = delivery.pin
            self._ask(max(1, self._room()))  # the pull that was served carries no pin and cannot renew it
        if not self._arrived:
            self._wire.at_pass_end(self._hand_on)
        self._arrived.append(delivery)

    def _on_late(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        """Takes what was on its way to the inbox before the last; the statuses of its pulls say nothing any more."""
        if self._is_closed or not reply:
            return
        if self._credit is not None:
            self._credit -= 1  # its pull was given back with all that was left of it
        self._on_message(subject, reply, payload, headers)

    def _count_delivery(self) -> None:
        """Counts a delivery against the oldest pull: the server serves them in order."""
        if self._asked:
            self._asked -= 1
        oldest = self._oldest
        if oldest not in self._requests:
            # Looked for once per pull: the first keys of a dict lie behind the holes of all that were deleted before.
            oldest = self._oldest = next(iter(self._requests), 0)
            if not oldest:
                return
        request = self._requests[oldest]
        request.left -= 1
        if request.left <= 0:
            del self._requests[oldest]

    def _hand_on(self) -> None:
        deliveries, self._arrived = self._arrived, []
        if self._is_closed:
            return
        self._fill()
        try:
            self._on_deliveries(deliveries)
        except Exception as error:  # noqa: BLE001 - the read loop must live on; the messages come again after their ack wait
            log("delivery.failed", ERROR, stream=self.stream, consumer=self.consumer, error=repr(error))

    def _on_status(self, subject: bytes, headers: bytes) -> None:
        status, text = read_status(headers)
        if status == _HEARTBEAT:
            return
        try:
            number = int(subject.rpartition(b".")[2])
        except ValueError:
            return
        request = self._requests.get(number)
        pending = find_header(headers, b"Nats-Pending-Messages")
        self._drop(number, int(pending) if pending.isdigit() else None)
        if status == _WRONG_PIN:
            if request is not None and request.pin == self._pin:
                self._pin = ""
        elif status not in _NO_MESSAGES and not text.lower().startswith(_PASSING):
            self._back_off(status, text)
            return
        elif status in _NO_MESSAGES:
            self._pause_s = 0.0
            if self._pin and self._requests:
                return  # the next tick renews it
        self._fill()

    def _back_off(self, status: int, text: str) -> None:
        """Waits before the next pull: something is wrong that another pull will not mend."""
        if self._retry is not None or self._is_closing:
            return
        if self._pause_s != PULL_RETRY_MAX_S:  # said at each new length of the pause, not for ever
            reason = "no such consumer; run `wfctl provision`" if status == NO_RESPONDERS else text
            log("consumer.unavailable", ERROR, stream=self.stream, consumer=self.consumer, status=status, reason=reason)
        self._pause_s = min(max(self._pause_s * 2, PULL_RETRY_FIRST_S), PULL_RETRY_MAX_S)
        self._retry = self._loop.call_later(self._pause_s, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._fill()
