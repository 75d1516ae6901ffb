"""Cron expressions across daylight saving time: each case by hand, against `croniter` and minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from jetrun.actors.cron import parse_cron
from jetrun.actors.cron_times import next_cron
from jetrun.actors.errors import DefinitionError
from support.cron_oracle import changes, due_minutes, shown_minutes

NEW_YORK, LISBON, LORD_HOWE, KOLKATA = "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe", "Asia/Kolkata"
ZONES = (
    NEW_YORK,
    LISBON,
    LORD_HOWE,
    "Europe/Dublin",  # in winter its clocks are "saving", by law and in the data
    "America/Havana",  # midnight is skipped, or comes twice
    "America/St_Johns",
    "Africa/Casablanca",  # put back for Ramadan
    "Pacific/Chatham",
)
CRONS = (
    "*/15 * * * *",
    "7 * * * *",
    "0 0-23/1 * * *",
    "*/20 1-3 * * *",
    "30 0 * * *",
    "30 1 * * *",
    "0 2 * * *",
    "15,45 2 * * *",
    "30 2 * * sun",
    "0 3 * * *",
    "0 0 * * *",
    "0 */2 * * *",
    "59 23 L * *",
    "10 1,2 1-15 3,4,10,11 *",
    "*/10 * * 3,11 *",
)


def times(cron: str, zone: str, start: str, count: int) -> list[str]:
    """The next instants as the zone's clocks show them; the start is a local time."""
    at_s = round(datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).timestamp())
    found: list[str] = []
    for _ in range(count):
        due_s = next_cron(parse_cron(cron), ZoneInfo(zone), at_s)
        assert due_s is not None
        assert due_s > at_s
        found.append(
            f"{datetime.fromtimestamp(due_s, ZoneInfo(zone)):%m-%d %H:%M:%S%z}".replace(":00+", "+").replace(
                ":00-", "-"
            )
        )
        at_s = due_s
    return found


def listed(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """All instants from a minute on, up to another."""
    found: list[datetime] = []
    parsed, at_s = parse_cron(cron), round(start.timestamp()) - 1
    while True:
        due_s = next_cron(parsed, ZoneInfo(zone), at_s)
        if due_s is None or due_s >= end.timestamp():
            return found
        assert due_s > at_s
        at_s = due_s
        found.append(datetime.fromtimestamp(due_s, UTC))


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        # Skipped: at the instant of the change, once, and not again the same day.
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:30-0400"]),
        ("*/10 2 * * *", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:00-0400"]),
        ("0 2,3 * * *", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:00-0400"]),
        ("30 2 * * * 15", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:30:15-0400"]),
        ("0 */2 * * *", NEW_YORK, "2026-03-07T23:00", ["03-08 00:00-0500", "03-08 03:00-0400", "03-08 04:00-0400"]),
        ("30 1 * * *", LISBON, "2026-03-28T12:00", ["03-29 02:00+0100", "03-30 01:30+0100"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-03T12:00", ["10-04 02:30+1100", "10-05 02:15+1100"]),
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00", ["03-08 01:00-0400", "03-09 00:00-0400"]),
        # A whole day was skipped here: Samoa had no 30 December.
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-28T12:00", ["12-31 00:00+1400", "12-30 09:00+1400"]),
        # Shown twice: the first time.
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 01:30-0400", "11-02 01:30-0500"]),
        ("*/20 1 * * *", NEW_YORK, "2026-11-01T01:10", ["11-01 01:20-0400", "11-01 01:40-0400", "11-02 01:00-0500"]),
        ("0 1,2 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 01:00-0400", "11-01 02:00-0500", "11-02 01:00-0500"]),
        ("30 1 * * *", LISBON, "2026-10-24T12:00", ["10-25 01:30+0100", "10-26 01:30+0000"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04T12:00", ["04-05 01:45+1100", "04-06 01:45+1030"]),
        # A rhythm.
        ("*/30 * * * *", NEW_YORK, "2026-03-08T01:00", ["03-08 01:30-0500", "03-08 03:00-0400", "03-08 03:30-0400"]),
        (
            "*/30 * * * *",
            NEW_YORK,
            "2026-11-01T01:00",
            ["11-01 01:30-0400", "11-01 01:00-0500", "11-01 01:30-0500", "11-01 02:00-0500"],
        ),
        (
            "*/15 * * * *",
            LORD_HOWE,
            "2026-04-05T01:35",
            ["04-05 01:45+1100", "04-05 01:30+1030", "04-05 01:45+1030", "04-05 02:00+1030"],
        ),
        ("*/15 * * * *", LORD_HOWE, "2026-10-04T01:35", ["10-04 01:45+1030", "10-04 02:30+1100", "10-04 02:45+1100"]),
        ("0 * * * *", LORD_HOWE, "2026-10-04T00:30", ["10-04 01:00+1030", "10-04 03:00+1100"]),
        ("* * * * * */40", NEW_YORK, "2026-03-08T01:59:30", ["03-08 01:59:40-0500", "03-08 03:00-0400"]),
        # Nothing is special where clocks are never changed.
        ("30 2 * * *", KOLKATA, "2026-03-07T12:00", ["03-08 02:30+0530", "03-09 02:30+0530"]),
        ("0 0 29 2 *", KOLKATA, "2026-03-07T12:00", ["02-29 00:00+0530"]),
    ],
)
def test_changes_of_the_clock(cron: str, zone: str, start: str, expected: list[str]) -> None:
    assert times(cron, zone, start, len(expected)) == expected


def test_second_showing_is_passed_over_at_once() -> None:
    """Asked in the second hour of two, with an expression of every second: the answer is the next day's."""
    within = round(datetime.fromisoformat("2026-11-01T01:30:00-05:00").timestamp())

    due_s = next_cron(parse_cron("* 1 * * * *"), ZoneInfo(NEW_YORK), within)

    assert due_s == datetime.fromisoformat("2026-11-02T01:00:00-05:00").timestamp()


def test_rare_dates_are_found_over_many_changes() -> None:
    at_s = round(datetime(2026, 3, 1, tzinfo=UTC).timestamp())

    due_s = next_cron(parse_cron("0 * * 2 mon#5"), ZoneInfo(NEW_YORK), at_s)

    assert due_s == datetime.fromisoformat("2044-02-29T00:00:00-05:00").timestamp()


@pytest.mark.parametrize("zone", ZONES)
def test_week_around_each_change_minute_by_minute(zone: str) -> None:
    """What is computed is what somebody sees who looks at the clock every minute, and no more."""
    for change in changes(zone, 2026):
        start = change - timedelta(days=3, hours=12)
        minutes = shown_minutes(zone, start, 7)
        for cron in CRONS:
            assert listed(cron, zone, start, start + timedelta(days=7)) == due_minutes(cron, minutes), (cron, change)


def test_zones_of_the_tests_do_change() -> None:
    """An oracle that finds no change would prove nothing."""
    assert [len(changes(zone, 2026)) for zone in ZONES] == [2] * len(ZONES)
    assert changes(KOLKATA, 2026) == []


_LIST = st.lists(st.integers(0, 59), min_size=1, max_size=3, unique=True)


@given(
    minute=_LIST | st.sampled_from(["*/15", "*/7", "5/20"]),
    hour=st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)
    | st.sampled_from(["*", "*/2", "0-3", "23-1"]),
    weekday=st.sampled_from(["*", "sun", "mon-sat"]),
    zone=st.sampled_from(ZONES),
    year=st.integers(2024, 2027),
    index=st.integers(0, 1),
)
@settings(max_examples=30)
@pytest.mark.slow
def test_any_expression_around_any_change(
    minute: list[int] | str, hour: list[int] | str, weekday: str, zone: str, year: int, index: int
) -> None:
    """Strictly increasing, and equal to looking at every minute of the week."""
    fields = [one if isinstance(one, str) else ",".join(map(str, one)) for one in (minute, hour)]
    cron = f"{fields[0]} {fields[1]} * * {weekday}"
    start = changes(zone, year)[index] - timedelta(days=3, hours=12)

    assert listed(cron, zone, start, start + timedelta(days=7)) == due_minutes(cron, shown_minutes(zone, start, 7))


@given(
    at=st.datetimes(min_value=datetime.fromisoformat("2024-01-01"), max_value=datetime.fromisoformat("2030-01-01")),
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from((*ZONES, KOLKATA)),
)
def test_croniter_agrees_away_from_changes(at: datetime, cron: str, zone: str) -> None:
    """Its own answer is taken where the clock is the same from the start to the answer and a day beyond."""
    start = at.replace(microsecond=0, tzinfo=ZoneInfo(zone))
    found = croniter(cron, start).get_next(datetime)
    offsets = {(start + timedelta(hours=hours)).utcoffset() for hours in range(-30, 30)} | {found.utcoffset()}
    if len(offsets) > 1:
        return

    assert next_cron(parse_cron(cron), ZoneInfo(zone), round(start.timestamp())) == found.timestamp()


def test_where_croniter_differs() -> None:
    """The reason why it is asked for local times alone. Where this fails, croniter has changed its mind."""
    zone = ZoneInfo(NEW_YORK)
    twice = croniter("30 1 * * *", datetime(2026, 10, 31, 12, tzinfo=zone))
    late = croniter("30 2 * * * 15", datetime(2026, 3, 7, 12, tzinfo=zone))
    same = croniter("30 2 * * *", datetime(2026, 3, 7, 12, tzinfo=zone))
    even = croniter("*/30 * * * *", datetime(2026, 3, 8, 1, tzinfo=zone))

    assert [f"{twice.get_next(datetime):%d %H:%M%z}" for _ in range(2)] == ["01 01:30-0400", "01 01:30-0500"]
    assert f"{late.get_next(datetime):%d %H:%M:%S%z}" == "08 03:00:15-0400"
    assert f"{same.get_next(datetime):%d %H:%M:%S%z}" == "08 03:00:00-0400"
    assert [f"{even.get_next(datetime):%H:%M%z}" for _ in range(2)] == ["01:30-0500", "03:00-0400"]


def test_refused_expressions_reach_no_zone() -> None:
    with pytest.raises(DefinitionError):
        times("61 * * * *", KOLKATA, "2026-01-01", 1)
