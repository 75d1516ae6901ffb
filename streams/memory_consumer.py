"""MemoryConsumer: who gets a work queue's messages, for how long, and when again.

Pull requests are served in turn, one message each; unacked messages come again after the ack wait, before new ones;
of a pinned consumer one pull alone is served. Keeps no clock and no timer: the server says what time it is and asks
`wake_at_us` when to come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from .definitions import ConsumerDefinition
from .memory_stream import MemoryStream
from .memory_subjects import matches
from .ports import ConsumerState, Delivery, Stored

UNSAVED_US: Final = 250_000
"""What a consumer did within this time may not be on disk yet."""


class Pull(Protocol):
    """A request that waits at a consumer, as the consumer sees it."""

    @property
    def is_reachable(self) -> bool:
        """Tells whether its connection stands, as far as the server knows."""
        ...

    def deliver(self, delivery: Delivery) -> None: ...

    def expire(self, count: int) -> None:
        """Tells the requester that its time is over with `count` deliveries not made (408)."""
        ...

    def refuse(self) -> None:
        """Tells the requester that its pin is not the current one (423)."""
        ...


class _Request:
    __slots__ = ("count", "ends_at_us", "pin", "pull")

    def __init__(self, pull: Pull) -> None:
        self.pull = pull
        self.pin = ""
        self.count = 0
        self.ends_at_us = 0


class _Lease:
    __slots__ = ("deliveries", "ends_at_us", "given_at_us")

    def __init__(self) -> None:
        self.deliveries = 0
        self.given_at_us = 0
        self.ends_at_us = 0


class MemoryConsumer:
    """One durable consumer with explicit acks on a work queue."""

    def __init__(self, stream: MemoryStream, definition: ConsumerDefinition, new_pin: Callable[[], str]) -> None:
        self._filter = definition.filter_subject
        self._ack_wait_us = definition.ack_wait // 1000
        self._ack_pending_max = definition.max_ack_pending
        self._pin_timeout_us = definition.priority_timeout // 1000
        self._name = definition.durable_name
        self._stream = stream
        self._new_pin = new_pin
        self._pin = ""
        self._pin_ends_at_us = 0
        self._requests: OrderedDict[int, _Request] = OrderedDict()
        self._fresh: OrderedDict[int, None] = OrderedDict()
        self._leases: OrderedDict[int, _Lease] = OrderedDict()  # in the order in which they end
        self._again: OrderedDict[int, _Lease] = OrderedDict()
        self._delivered = 0
        self._count = 0
        for message in stream.select(self._filter):
            self._fresh[message.seq] = None

    # --- what happens to it ----------------------------------------------------------------------
    def stored(self, message: Stored) -> bool:
        """Takes note of a new message; tells whether it is one of this consumer's."""
        if not matches(self._filter, message.subject):
            return False
        self._fresh[message.seq] = None
        return True

    def removed(self, seq: int) -> None:
        self._fresh.pop(seq, None)
        self._leases.pop(seq, None)
        self._again.pop(seq, None)

    def request(self, pull: Pull, count: int, pin: str, lasts_us: int, now_us: int) -> None:
        """Adds to what a pull may get, and to its time. With the current pin it also renews the pin."""
        self._drop_ended(now_us)
        if self._pin and pin and pin != self._pin:
            self._requests.pop(id(pull), None)
            pull.refuse()
            return
        # An old pin while nobody holds one is refused only when there is a message for it (seen on 2.15.1).
        if pin and pin == self._pin:
            self._pin_ends_at_us = now_us + self._pin_timeout_us
        request = self._requests.setdefault(id(pull), _Request(pull))
        request.pin = pin
        request.count += count
        request.ends_at_us = now_us + lasts_us

    def withdraw(self, pull: Pull) -> None:
        self._requests.pop(id(pull), None)

    def unpin(self) -> None:
        self._pin = ""

    def restarted(self, now_us: int) -> None:
        """Forgets what a server keeps in memory alone: requests, the pin, and deliveries of the last moment.

        A message that was handed out just before a kill -9 is delivered as if for the first time (seen on 2.15.1).
        """
        self._requests.clear()
        self._pin = ""
        for leases in (self._leases, self._again):
            for seq, lease in list(leases.items()):
                if now_us - lease.given_at_us < UNSAVED_US:
                    self._count -= 1
                    lease.deliveries -= 1
                    if not lease.deliveries:
                        del leases[seq]
                        self._fresh[seq] = None
        self._fresh = OrderedDict((seq, None) for seq in sorted(self._fresh))
        self._delivered = min(self._delivered, next(iter(self._fresh), self._delivered + 1) - 1)

    def acked(self, seq: int) -> bool:
        """Ends a delivery, however old the handle is; False when the message was never handed out."""
        known = seq <= self._delivered and seq not in self._fresh
        self._leases.pop(seq, None)
        self._again.pop(seq, None)
        return known

    def progressed(self, seq: int, now_us: int) -> None:
        lease = self._leases.get(seq) or self._again.pop(seq, None)
        if lease is not None:
            lease.ends_at_us = now_us + self._ack_wait_us
            self._leases[seq] = lease
            self._leases.move_to_end(seq)

    def expire(self, seq: int) -> None:
        """Ends a lease at once: the message comes again although its first delivery may be at work."""
        lease = self._leases.pop(seq, None)
        if lease is not None:
            self._again[seq] = lease

    # --- what it does ----------------------------------------------------------------------------
    def serve(self, now_us: int) -> list[int]:
        """Hands out what can be handed out now and returns the sequences."""
        if self._pin and now_us >= self._pin_ends_at_us:
            self._pin = ""
        ended = [seq for seq, lease in self._leases.items() if lease.ends_at_us <= now_us]
        for seq in sorted(ended):
            self._again[seq] = self._leases.pop(seq)
        self._drop_ended(now_us)
        served: list[int] = []
        while seq := self._next_seq():
            request = self._next_request(now_us)
            if request is None:
                if seq in self._again and self._requests:
                    # One that finds only pulls that may not have it goes to the end of the line: the order of
                    # redeliveries is lost (seen on 2.15.1).
                    self._again.move_to_end(seq)
                break
            served.append(seq)
            self._hand_out(seq, request, now_us)
        return served

    def wake_at_us(self) -> int | None:
        """Tells when `serve` has something to do although nothing happens."""
        times = [lease.ends_at_us for lease in list(self._leases.values())[:1]]
        if self._pin and self._requests:
            times.append(self._pin_ends_at_us)
        return min(times, default=None)

    @property
    def state(self) -> ConsumerState:
        out = [*self._leases, *self._again]
        floor = min(out) - 1 if out else self._delivered
        return ConsumerState(floor, self._delivered, len(self._fresh), len(out), self._pin, self._count)

    # --- private -------------------------------------------------------------------------------
    def _drop_ended(self, now_us: int) -> None:
        for key, request in list(self._requests.items()):
            if not request.pull.is_reachable:
                del self._requests[key]
            elif request.ends_at_us <= now_us:
                del self._requests[key]
                request.pull.expire(request.count)

    def _next_seq(self) -> int:
        if self._again:
            return next(iter(self._again))
        bound = self._ack_pending_max
        if self._fresh and (bound < 0 or len(self._leases) < bound):
            return next(iter(self._fresh))
        return 0

    def _next_request(self, now_us: int) -> _Request | None:
        for key, request in list(self._requests.items()):
            if request.count <= 0:
                continue
            if not self._pin_timeout_us:
                self._requests.move_to_end(key)
                return request
            if request.pin == self._pin and self._pin:
                return request
            if request.pin:
                del self._requests[key]
                request.pull.refuse()
            elif not self._pin:
                request.pin = self._pin = self._new_pin()
                self._pin_ends_at_us = now_us + self._pin_timeout_us
                return request
        return None

    def _hand_out(self, seq: int, request: _Request, now_us: int) -> None:
        message = self._stream.get(seq)
        assert message is not None
        lease = self._again.pop(seq, None) or _Lease()
        self._fresh.pop(seq, None)
        lease.deliveries += 1
        lease.given_at_us = now_us
        lease.ends_at_us = now_us + self._ack_wait_us
        self._leases[seq] = lease
        self._leases.move_to_end(seq)
        self._delivered = max(self._delivered, seq)
        self._count += 1
        request.count -= 1
        reply = (
            f"$JS.ACK.{self._stream.definition.name}.{self._name}.{lease.deliveries}.{seq}.{self._count}"
            f".{message.at_us}000.{len(self._fresh)}"
        )
        request.pull.deliver(
            Delivery(
                message.subject,
                message.payload,
                seq,
                message.at_us,
                lease.deliveries,
                len(self._fresh),
                reply,
                request.pin,
                message.headers,
                self._count,
            )
        )
