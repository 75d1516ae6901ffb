"""Deliveries: what the ack subject tells, and times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.streams.deliveries import ack_subject, read_delivery, time_us

PLAIN = b"$JS.ACK.WF_a_MAIL.mail_3.2.41.77.1795174599228125110.4"
WITH_DOMAIN = b"$JS.ACK.hub.AHASH.WF_a_MAIL.mail_3.2.41.77.1795174599228125110.4"


@pytest.mark.parametrize("reply", [PLAIN, WITH_DOMAIN, WITH_DOMAIN + b".random"])
def test_all_forms_of_the_ack_subject_say_the_same(reply: bytes) -> None:
    """The identity of a delivery (R5) does not depend on domain or account."""
    delivery = read_delivery(b"wf.a.mail.3.order.o-1.start", reply, b"{}", b"")

    assert (delivery.seq, delivery.deliveries, delivery.pending) == (41, 2, 4)
    assert delivery.at_us == 1795174599228125
    assert delivery.reply == reply.decode()
    assert delivery.pin == ""


def test_the_pin_comes_from_the_headers() -> None:
    """A pinned worker learns its pin from the first delivery."""
    delivery = read_delivery(b"s", PLAIN, b"", b"NATS/1.0\r\nNats-Pin-Id: p1\r\n\r\n")

    assert delivery.pin == "p1"


def test_a_pin_that_a_publisher_sent_can_be_read() -> None:
    """A delivery that cannot be read is never acked: it would come again for ever."""
    delivery = read_delivery(b"s", PLAIN, b"", b"NATS/1.0\r\nNats-Pin-Id: \xff\xfe\r\n\r\n")

    assert delivery.seq == 41


@pytest.mark.parametrize("reply", [b"_INBOX.x", b"$JS.ACK.a.b.c", b"$JS.ACK.s.c.x.1.1.1.1"])
def test_other_subjects_are_no_delivery(reply: bytes) -> None:
    """Who sends to the inbox cannot pass for the server by accident."""
    with pytest.raises(ValueError, match=r"ack subject|invalid literal"):
        read_delivery(b"s", reply, b"", b"")


def test_a_built_ack_subject_names_the_message() -> None:
    """The takeover read acks what was handed to a dead worker (R6)."""
    delivery = read_delivery(b"s", ack_subject("WF_a_MAIL", "mail_3", 41).encode(), b"", b"")

    assert delivery.seq == 41


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)), st.sampled_from(["%06d000", "%06d"]))  # noqa: DTZ001
def test_times_are_read_to_the_microsecond(naive: datetime, fraction: str) -> None:
    """`now` in a workflow is this number."""
    time = naive.replace(tzinfo=UTC)
    text = time.strftime("%Y-%m-%dT%H:%M:%S.") + fraction % time.microsecond + "Z"

    expected = (time - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)

    assert time_us(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "micros"), [(b"1970-01-01T00:00:01Z", 1_000_000), (b"1970-01-01T00:00:00.5Z", 500_000)]
)
def test_short_fractions_are_read(text: bytes, micros: int) -> None:
    """The server leaves trailing zeros out."""
    assert time_us(text) == micros
