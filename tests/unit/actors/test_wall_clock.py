"""Wall clocks: offsets, their changes, and times that are skipped or shown twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jetrun.actors.errors import DefinitionError
from jetrun.actors.wall_clock import (
    find_zone,
    first_instant,
    next_change,
    offset_at,
    repeated_until,
    wall_seconds,
    wall_time,
)

NEW_YORK = ZoneInfo("America/New_York")
DAY_S = 86_400


def at(text: str) -> int:
    """Seconds since 1970 of an instant."""
    return round(datetime.fromisoformat(text).timestamp())


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("name", ["UTC", "Europe/Lisbon", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"])
def test_zones_are_found_by_their_names(name: str) -> None:
    assert find_zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "Europe",
        "../etc/passwd",
        "/etc/localtime",
        "localtime",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        "Europe/",
        "+01:00",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """Also what a machine's folder happens to hold: it means something else on another machine."""
    with pytest.raises(DefinitionError, match="is unknown; use a name of the IANA database such as 'Europe/Lisbon'"):
        find_zone(name)


@pytest.mark.parametrize("name", ["Europe/Lisbon\0", "Europe/Lisbon\n", "a" * 300, None, 5])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(DefinitionError, match="is unknown"):
        find_zone(name)


def test_local_times_and_their_seconds() -> None:
    assert wall_time(0, -3_600) == local("1969-12-31T23:00")
    assert wall_seconds(wall_time(1_800_000_000, 1_800)) == 1_800_001_800
    assert offset_at(NEW_YORK, at("2026-07-01T00:00Z")) == -4 * 3_600


def test_changes_are_found_to_the_second() -> None:
    spring, autumn = at("2026-03-08T07:00Z"), at("2026-11-01T06:00Z")

    assert next_change(NEW_YORK, at("2026-01-01T00:00Z"), autumn) == spring
    assert next_change(NEW_YORK, spring, autumn) == autumn
    assert next_change(NEW_YORK, spring, autumn - 1) is None
    assert next_change(NEW_YORK, spring - 1, spring) == spring
    assert next_change(NEW_YORK, spring, spring) is None
    assert next_change(ZoneInfo("Asia/Kolkata"), at("2026-01-01T00:00Z"), at("2036-01-01T00:00Z")) is None


@pytest.mark.parametrize(
    ("zone", "shown", "instant"),
    [
        ("America/New_York", "2026-03-08T01:59:59", "2026-03-08T01:59:59-05:00"),
        ("America/New_York", "2026-03-08T02:00:00", "2026-03-08T03:00:00-04:00"),
        ("America/New_York", "2026-03-08T02:59:59", "2026-03-08T03:00:00-04:00"),
        ("America/New_York", "2026-03-08T03:00:00", "2026-03-08T03:00:00-04:00"),
        ("America/New_York", "2026-11-01T01:00:00", "2026-11-01T01:00:00-04:00"),
        ("America/New_York", "2026-11-01T02:00:00", "2026-11-01T02:00:00-05:00"),
        ("Europe/Dublin", "2026-03-29T01:30:00", "2026-03-29T02:00:00+01:00"),
        ("Europe/Dublin", "2026-10-25T01:30:00", "2026-10-25T01:30:00+01:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:10:00", "2026-10-04T02:30:00+11:00"),
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-31T00:00:00+14:00"),
    ],
)
def test_first_instant_of_a_local_time(zone: str, shown: str, instant: str) -> None:
    """The first of two; where there is none, the change."""
    assert first_instant(ZoneInfo(zone), local(shown)) == at(instant)


def test_second_showing_is_told_from_the_first() -> None:
    assert repeated_until(NEW_YORK, at("2026-11-01T01:30:00-04:00")) is None
    assert repeated_until(NEW_YORK, at("2026-11-01T01:00:00-05:00")) == local("2026-11-01T02:00")
    assert repeated_until(NEW_YORK, at("2026-11-01T01:59:59-05:00")) == local("2026-11-01T02:00")
    assert repeated_until(NEW_YORK, at("2026-11-01T02:00:00-05:00")) is None
    assert repeated_until(ZoneInfo("Asia/Kolkata"), round(datetime(2026, 1, 1, tzinfo=UTC).timestamp())) is None
