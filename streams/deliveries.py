"""Deliveries: reads what a consumer hands out, from the raw frame to a `Delivery`, and when a message was stored.

All that identifies a delivery is in its ack subject, which the server wrote: stream, consumer, count, stream and
consumer sequence, timestamp, pending. Two forms exist, of 9 tokens and, with domain and account hash, of 11 and more.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..actors.names import is_token
from .headers import find_header, wrap_headers
from .ports import Delivery

PIN: Final = b"Nats-Pin-Id"
_SECONDS_PER_DAY: Final = 86_400


def read_delivery(subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> Delivery:
    """Reads a delivery.

    Raises:
        ValueError: The reply subject is no ack subject.
    """
    tokens = reply.split(b".")
    if len(tokens) == 9:
        _, _, _, _, count, seq, order, at_ns, pending = tokens
    elif len(tokens) >= 11 and tokens[1] == b"ACK":
        _, _, _, _, _, _, count, seq, order, at_ns, pending = tokens[:11]
    else:
        raise ValueError("not an ack subject")
    pin = _pin_in(headers) if headers else ""
    return Delivery(
        subject.decode("utf-8", "replace"),
        payload,
        int(seq),
        int(at_ns) // 1000,
        int(count),
        int(pending),
        reply.decode(),
        pin,
        wrap_headers(headers),
        int(order),
    )


@lru_cache(maxsize=64)
def _pin_in(headers: bytes) -> str:
    """Reads the pin; kept, because what has no headers of its own comes in the same block again and again."""
    # Whatever a publisher sent under that name: a delivery that cannot be read is never acked.
    return find_header(headers, PIN).decode("ascii", "replace")


def ack_subject(stream: str, consumer: str, seq: int) -> str:
    """Builds a subject that acknowledges a message whoever it was delivered to; the server looks at `seq` alone.

    For the takeover read (R6), which knows messages without having got them delivered.
    """
    assert is_token(consumer), "consumers are named by us"
    return f"$JS.ACK.{stream}.{consumer}.1.{seq}.{seq}.0.0"


def time_us(text: bytes) -> int:
    """Reads an RFC 3339 time in UTC, as the server writes it, into microseconds since 1970."""
    seconds, _, fraction = text[17:].rstrip(b"Z").partition(b".")
    return (_minute_s(text[:16]) + int(seconds)) * 1_000_000 + int(fraction[:6].ljust(6, b"0") or 0)


@lru_cache(maxsize=64)
def _minute_s(text: bytes) -> int:
    """Seconds since 1970 of `YYYY-MM-DDTHH:MM`; cached because messages read together are of the same minutes."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    # Days since 1970-01-01 by the civil calendar, March-based so that the leap day ends the year.
    shifted = year - (month <= 2)
    era_day = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days = era_day + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719_468
    return days * _SECONDS_PER_DAY + int(text[11:13]) * 3600 + int(text[14:16]) * 60
