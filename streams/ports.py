"""Ports: what jetrun needs of a broker, and nothing more.

`jetstream.JetStream` speaks to a real server, `memory.MemoryBroker` is its twin; both pass the same contract suite.
Everything above (log, work, timers, workers, client) is written against `Broker` alone.

Words: a *delivery* is a message that a consumer hands out and that wants an ack; a *stored* message is one read from
a stream; a *notice* is core NATS and may be lost. All times are microseconds of the server's clock.

What comes and goes per message is a Struct, which is made four times faster than a NamedTuple; holding nothing that could
lead back to it, it is no business of the garbage collector's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

Headers = Mapping[str, str]

EXPECT_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
SCHEDULE: Final = "Nats-Schedule"
SCHEDULE_TARGET: Final = "Nats-Schedule-Target"

GROUP: Final = "a"
"""The only priority group of a pinned consumer."""

UNKNOWN: Final = -1
"""`PubAck.code` when no answer came: stored or not, nobody knows."""

WRONG_LAST: Final = 10071
"""Refused: another message is the subject's last (the fence)."""

TRANSIENT_LAST: Final = 10164
"""Another write on that subject is in flight (three nodes only): ask again."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message to publish."""

    subject: str
    payload: bytes
    headers: Headers | None = None


class PubAck(msgspec.Struct, frozen=True, gc=False):
    """The answer to a publish: `code` 0 means stored durably under `seq`."""

    seq: int
    code: int = 0
    description: str = ""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message handed out by a consumer."""

    subject: str
    payload: bytes
    seq: int
    at_us: int
    deliveries: int
    """1 for the first time."""
    pending: int
    """Messages that match the consumer and were not delivered when this one was."""
    reply: str
    """The handle for `ack`, `ack_confirmed` and `in_progress`."""
    pin: str = ""
    """`Nats-Pin-Id` of a pinned consumer."""
    headers: Mapping[str, str] = {}
    order: int = 0
    """The consumer's own count of what it has handed out, this one included."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A message read from a stream."""

    subject: str
    payload: bytes
    seq: int
    at_us: int
    headers: Mapping[str, str] = {}


class ConsumerState(NamedTuple):
    """Where a consumer stands; read from its leader."""

    ack_floor: int
    """Stream sequence up to which everything is acknowledged."""
    delivered: int
    """Highest stream sequence that was handed out."""
    pending: int
    """Messages not handed out yet."""
    ack_pending: int
    pin: str
    """Pin of the only priority group, or empty."""
    handed_out: int = 0
    """How many deliveries were made in all: the newest one's `order`. (`delivered` runs ahead over messages that the
    filter passes by; seen on 2.15.1.)"""


class StreamState(NamedTuple):
    """What a stream holds."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    subjects: int
    lost: int
    """Messages that the server says it has lost."""


OnDeliveries = Callable[[Sequence[Delivery]], None]
"""Called on the loop with what has arrived, in order; must not block and must not raise."""

OnNotice = Callable[[str, bytes, str], None]
"""Called on the loop with subject, payload and reply subject (or empty)."""


class Subscription(Protocol):
    """A live subscription to notices."""

    async def close(self) -> None:
        """Ends it; no further call follows. Idempotent."""
        ...


class Consumption(Protocol):
    """One worker's pull on one consumer."""

    @property
    def pin(self) -> str:
        """The pin under which this pull is served, or empty (standing by, or no pinning)."""
        ...

    def want(self, count: int) -> None:
        """Allows `count` more deliveries (for consumers opened with `credit`)."""
        ...

    async def close(self) -> None:
        """Stops pulling; what was handed out stays to be acked. Idempotent."""
        ...


class Broker(Protocol):
    """A connection to a JetStream of one account."""

    @property
    def is_connected(self) -> bool:
        """Tells whether the server answers at the moment."""
        ...

    @property
    def payload_bytes_max(self) -> int:
        """The server's `max_payload`."""
        ...

    def now_us(self) -> int:
        """A local wall clock for bookkeeping (ages, lags). Decisions use the times of messages instead."""
        ...

    # --- writing -----------------------------------------------------------------------------
    async def publish(self, message: Outgoing, *, timeout_s: float = ...) -> PubAck:
        """Publishes to a stream and waits for the answer.

        Never raises for a refusal: `code` is the server's error code, or `UNKNOWN` after `timeout_s` or a lost connection.

        Raises:
            PayloadTooLarge: Payload and headers exceed the server's limit; nothing was sent.
            PermissionDenied: The server denied this subject.
        """
        ...

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout_s: float = ...) -> list[PubAck]:
        """Publishes all in order without waiting in between, then waits for all answers, as `publish` does."""
        ...

    def notify(self, subject: str, payload: bytes) -> None:
        """Sends a notice: no answer, no guarantee."""
        ...

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes | None:
        """Sends a request and returns the first answer, or None when nobody answers in time."""
        ...

    # --- reading -----------------------------------------------------------------------------
    async def last(self, stream: str, subject: str) -> Stored | None:
        """Reads a literal subject's last message from the stream's leader (read-your-writes)."""
        ...

    async def get(self, stream: str, seq: int) -> Stored | None:
        """Reads a message by its sequence from the stream's leader; None when it is not there (any more)."""
        ...

    async def last_direct(self, stream: str, subject: str) -> Stored | None:
        """Reads a literal subject's last message from any replica; may lag. The cheap form for readers."""
        ...

    async def read(self, stream: str, subject: str, *, from_seq: int = 1, to_seq: int = 0) -> list[Stored]:
        """Reads all messages of a subject (a filter with wildcards is allowed, and slow) from `from_seq` on, page by page (R11).

        Args:
            to_seq: Last sequence wanted; 0 for the end.
        """
        ...

    def scan(
        self, stream: str, subject: str, *, follow: bool = False, last_per_subject: bool = False
    ) -> AsyncIterator[Stored]:
        """Yields messages of a filter in stream order by a short-lived ordered consumer, without gap.

        Args:
            follow: Goes on with what is stored later, until the iterator is closed.
            last_per_subject: Only the newest of each subject.
        """
        ...

    async def purge(self, stream: str, subject: str, *, keep: int = 0, to_seq: int = 0) -> int:
        """Deletes a subject's messages and returns how many. Idempotent.

        Args:
            keep: So many of the newest stay.
            to_seq: Last sequence that may go; 0 for the end. Not together with `keep`.
        """
        ...

    async def delete(self, stream: str, subject: str, *, to_seq: int = 0) -> int:
        """Deletes a subject's messages one by one and returns how many. Idempotent.

        Args:
            subject: A filter with wildcards is allowed.
            to_seq: Last sequence that may go; 0 for the end.

        For streams whose consumers have messages out: a purge by subject moves their ack floor over deliveries that
        are not acked, and after its next start the server never makes those again (seen on 2.15.1).
        """
        ...

    async def stream_state(self, stream: str) -> StreamState:
        """Tells what a stream holds. Raises NotProvisioned when it is missing."""
        ...

    # --- consuming ------------------------------------------------------------------------------
    async def consume(
        self,
        stream: str,
        consumer: str,
        on_deliveries: OnDeliveries,
        *,
        batch: int = ...,
        credit: int | None = None,
        is_pinned: bool = False,
    ) -> Consumption:
        """Pulls from a durable consumer, always with one pull outstanding, until closed; survives reconnects.

        Args:
            batch: Most messages asked for at once.
            credit: With a number: at most that many deliveries, plus what `want` adds (a step worker's free slots).
            is_pinned: Names the priority group and keeps the pin.

        Raises:
            NotProvisioned: The stream or the consumer does not exist.
        """
        ...

    async def consumer_state(self, stream: str, consumer: str) -> ConsumerState:
        """Reads where a consumer stands. Raises NotProvisioned when it is missing."""
        ...

    async def unpin(self, stream: str, consumer: str) -> None:
        """Gives up the pin, so that a waiting pull is served at once. Idempotent."""
        ...

    def ack(self, reply: str) -> None:
        """Acknowledges a delivery; lost with the connection, then it is delivered again."""
        ...

    async def ack_confirmed(self, reply: str, *, timeout_s: float = ...) -> bool:
        """Acknowledges and tells whether the server confirmed it."""
        ...

    def in_progress(self, reply: str) -> None:
        """Renews a delivery's lease (its ack wait starts anew)."""
        ...

    # --- notices ------------------------------------------------------------------------------------
    async def listen(self, subject: str, on_notice: OnNotice, *, queue: str = "") -> Subscription:
        """Subscribes to notices; in effect at the server on return. With `queue`, one of the group gets each."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Registers what to call after each re-established connection."""
        ...

    # --- large values -----------------------------------------------------------------------------------
    async def put_object(self, bucket: str, name: str, data: bytes) -> None:
        """Stores a large value durably under a name. Idempotent for equal data."""
        ...

    async def get_object(self, bucket: str, name: str) -> bytes | None:
        """Reads a large value, or None when there is none of that name.

        Raises:
            BadValue: It is damaged, or larger than any value may be.
        """
        ...

    async def delete_objects(self, bucket: str, prefix: str) -> int:
        """Deletes all values whose name begins with the prefix and returns how many."""
        ...

    # --- end ----------------------------------------------------------------------------------------------
    async def flush(self) -> None:
        """Waits until everything sent so far has reached the server."""
        ...

    async def close(self) -> None:
        """Flushes and closes. Idempotent."""
        ...
