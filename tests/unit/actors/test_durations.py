"""Durations and instants: what people may write, what is refused and with which words, what displays show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.durations import Duration, due_at_us, duration_us, format_instant, format_us
from jetrun.actors.errors import InvalidDuration
from jetrun.actors.limits import DELAY_US_MAX

SECOND = 1_000_000
NOW = 1_763_637_929_340_832


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (0, 0),
        (0.5, 500_000),
        (1.1, 1_100_000),
        (90, 90 * SECOND),
        ("0s", 0),
        ("250us", 250),
        ("500ms", 500_000),
        ("1.5s", 1_500_000),
        ("1h30m", 5_400 * SECOND),
        ("2d12h", 216_000 * SECOND),
        ("1w", 604_800 * SECOND),
        ("1w2d3h4m5s6ms7us", 788_645_006_007),
        ("0.1s", 100_000),
        ("90m", 5_400 * SECOND),
        (timedelta(hours=1, microseconds=1), 3_600 * SECOND + 1),
        (timedelta(0), 0),
        (DELAY_US_MAX // SECOND, DELAY_US_MAX),
    ],
)
def test_durations_are_read(value: Duration, us: int) -> None:
    """Seconds, texts with units, timedeltas."""
    assert duration_us(value, what="x") == us


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("90", "'90' has no unit; write '90s'"),
        ("1.5", "has no unit; write '1.5s'"),
        ("", "is no duration; write '500ms' or '1h30m'"),
        ("1x", "is no duration"),
        ("30m1h", "the largest first"),
        ("1h1h", "each at most once"),
        ("1h 30m", "is no duration"),
        ("1H", "is no duration"),
        (" 1h", "is no duration"),
        ("1h\n", "is no duration"),
        ("٣s", "is no duration"),
        ("-5s", "is negative"),
        ("9" * 5000 + "s", "is no duration"),
        ("9" * 18 + "w", "is too far away, at most 36600d"),
        ("36601d", "is too far away"),
        (-1, "-1 is negative; use 0 or more"),
        (-0.5, "-0.5 is negative"),
        (-1e300, "is negative"),
        (timedelta(microseconds=-1), "is negative"),
        (nan, "nan is no duration; use seconds, a text"),
        (inf, "inf is no duration"),
        (1e300, r"1e\+300 is too far away"),
        (10**30, "is too far away"),
        (timedelta.max, "is too far away"),
        (True, "True is no duration"),
        (None, "None is no duration"),
        (b"1s", "b'1s' is no duration"),
        ([1], r"\[1\] is no duration"),
        (datetime(2026, 1, 1, tzinfo=UTC), "is no duration"),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_what_is_no_duration_is_refused_by_name(value: Duration, reason: str) -> None:
    """A wrong delay fails where it is written, saying what to write; the text stays short."""
    with pytest.raises(InvalidDuration, match=rf"^timeout of step 'charge': .*{reason}") as caught:
        duration_us(value, what="timeout of step 'charge'")

    assert len(str(caught.value)) < 300


def test_due_at_takes_spans_and_instants() -> None:
    """The past means now; any time zone will do, as long as there is one."""
    instant = datetime(2027, 1, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))

    assert due_at_us("1h", now_us=NOW, what="sleep") == NOW + 3_600 * SECOND
    assert due_at_us(0, now_us=NOW, what="sleep") == NOW
    assert due_at_us(instant, now_us=NOW, what="sleep") == 1_798_797_600_000_001
    assert due_at_us(datetime(1, 1, 1, tzinfo=UTC), now_us=NOW, what="sleep") == NOW


def test_due_at_refuses_what_names_no_instant() -> None:
    """A naive datetime would mean another instant on another machine."""
    with pytest.raises(InvalidDuration, match=r"^sleep: 2027-01-01T00:00:00 has no time zone; write .*tzinfo=UTC"):
        due_at_us(datetime(2027, 1, 1), now_us=NOW, what="sleep")  # noqa: DTZ001  that is the point
    with pytest.raises(InvalidDuration, match=r"^sleep: .*too far away"):
        due_at_us(datetime(9999, 1, 1, tzinfo=UTC), now_us=NOW, what="sleep")
    with pytest.raises(InvalidDuration, match=r"^sleep: -1 is negative"):
        due_at_us(-1, now_us=NOW, what="sleep")


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (7, "7us"),
        (250_000, "250ms"),
        (1_500, "1.5ms"),
        (SECOND, "1s"),
        (1_050_000, "1.05s"),
        (90 * SECOND, "1m30s"),
        (5_400 * SECOND, "1h30m"),
        (604_800 * SECOND, "7d"),
        (-250_000, "-250ms"),
    ],
)
def test_spans_are_shown(us: int, text: str) -> None:
    """As a person would write them."""
    assert format_us(us) == text


@given(st.integers(0, DELAY_US_MAX))
def test_what_is_shown_can_be_written(us: int) -> None:
    """Displays are exact."""
    assert duration_us(format_us(us), what="x") == us


@given(st.floats(0, DELAY_US_MAX / SECOND))
def test_seconds_are_rounded_to_microseconds(seconds: float) -> None:
    """A float is off by at most half a microsecond, and by what it cannot hold itself."""
    assert abs(duration_us(seconds, what="x") - seconds * SECOND) <= 0.5


@given(st.text() | st.floats() | st.integers() | st.timedeltas() | st.none() | st.binary() | st.datetimes())
def test_whatever_is_written_is_bounded_or_refused(value: Duration) -> None:
    """No input raises anything else."""
    try:
        us = due_at_us(value, now_us=NOW, what="x") - NOW
    except InvalidDuration:
        return
    assert 0 <= us <= DELAY_US_MAX


def test_instants_are_shown_in_utc() -> None:
    """RFC 3339, one width, so that texts sort as instants do; a display never fails."""
    assert format_instant(NOW) == "2025-11-20T11:25:29.340832Z"
    assert format_instant(0) == "1970-01-01T00:00:00.000000Z"
    assert format_instant(10**30) == f"{10**30}us"
    assert format_instant(-(10**17)) == f"-{10**17}us"


@given(st.integers(0, NOW + DELAY_US_MAX))
def test_shown_instants_are_exact(us: int) -> None:
    """Reading the text gives the instant back."""
    shown = datetime.fromisoformat(format_instant(us))

    assert (shown - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == us
