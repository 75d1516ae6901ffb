"""Schedules' times: the union of what a spec says, its bounds, its jitter, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.errors import DefinitionError
from jetrun.actors.schedule_times import (
    BETWEEN_MAX,
    TIMES_MAX,
    ScheduleSpec,
    between,
    fire_at_us,
    next_after,
)

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
NEW_YORK = "America/New_York"


def us(text: str) -> int:
    """Microseconds since 1970 of an instant."""
    return round(datetime.fromisoformat(text).timestamp()) * SECOND


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def shown(spec: ScheduleSpec, start: str, count: int) -> list[str]:
    """The next nominal times in UTC."""
    at_us: int | None = us(start)
    found: list[str] = []
    while at_us is not None and len(found) < count:
        at_us = next_after(spec, at_us)
        found.append("none" if at_us is None else f"{datetime.fromtimestamp(at_us / SECOND, UTC):%m-%d %H:%M:%S}")
    return found


def test_interval_counts_from_1970_or_from_its_start() -> None:
    """Elapsed time: workers that come and go do not move it."""
    plain = ScheduleSpec(every="45m")
    anchored = ScheduleSpec(every="45m", start_at=instant("2026-01-01T10:07:30Z"))

    assert shown(plain, "2026-01-01T10:00:00Z", 2) == ["01-01 10:30:00", "01-01 11:15:00"]
    assert shown(anchored, "2026-01-01T00:00:00Z", 3) == ["01-01 10:07:30", "01-01 10:52:30", "01-01 11:37:30"]
    assert next_after(plain, -1) == 0
    assert next_after(ScheduleSpec(every="1h", start_at=instant("1969-12-31T23:30:00Z")), -5) == 30 * MINUTE


def test_interval_knows_no_daylight_saving_time() -> None:
    spec = ScheduleSpec(every="6h", timezone=NEW_YORK, start_at=instant("2026-03-08T00:00:00-05:00"))

    assert shown(spec, "2026-03-08T00:00:00Z", 4) == [
        "03-08 05:00:00",
        "03-08 11:00:00",
        "03-08 17:00:00",
        "03-08 23:00:00",
    ]


def test_cron_follows_the_clock_of_its_zone() -> None:
    """Not only the first time."""
    spec = ScheduleSpec(cron="0 9 * * *", timezone=NEW_YORK)

    assert shown(spec, "2026-03-06T00:00:00Z", 3) == ["03-06 14:00:00", "03-07 14:00:00", "03-08 13:00:00"]


def test_listed_times_come_in_order_and_once() -> None:
    first = instant("2026-05-01T12:00:00+02:00")
    spec = ScheduleSpec(times=(instant("2026-06-01T00:00:00Z"), first, instant("2026-05-01T10:00:00Z")))

    assert shown(spec, "2026-01-01T00:00:00Z", 9) == ["05-01 10:00:00", "06-01 00:00:00", "none"]
    assert spec.times == (first, instant("2026-06-01T00:00:00Z"))


def test_several_kinds_are_a_union() -> None:
    """What two of them name is one time."""
    spec = ScheduleSpec(
        cron="0 12 * * *",
        timezone="Europe/Lisbon",
        every="8h",
        times=(instant("2026-01-01T11:59:59.5Z"), instant("2026-01-01T12:00:00Z")),
    )

    found = between(spec, us("2026-01-01T00:00:00Z"), us("2026-01-02T00:00:00Z"), limit=10)

    day = us("2026-01-01T00:00:00Z")
    assert [at_us - day for at_us in found] == [
        8 * 60 * MINUTE,
        12 * 60 * MINUTE - SECOND // 2,
        12 * 60 * MINUTE,
        16 * 60 * MINUTE,
        DAY,
    ]


def test_start_counts_and_end_does_not() -> None:
    spec = ScheduleSpec(
        cron="0 * * * *", start_at=instant("2026-01-01T10:00:00Z"), end_at=instant("2026-01-01T12:00:00Z")
    )

    assert shown(spec, "2020-01-01T00:00:00Z", 5) == ["01-01 10:00:00", "01-01 11:00:00", "none"]
    assert shown(spec, "2026-01-01T10:00:00Z", 5) == ["01-01 11:00:00", "none"]
    assert next_after(spec, us("2030-01-01T00:00:00Z")) is None


def test_between_takes_its_end_and_not_its_start() -> None:
    """Calls that follow each other give every time once."""
    spec = ScheduleSpec(every="1m")
    start, end = us("2026-01-01T00:00:00Z"), us("2026-01-01T00:05:00Z")

    assert [at_us - start for at_us in between(spec, start, end, limit=100)] == [n * MINUTE for n in range(1, 6)]
    assert between(spec, start, end, limit=2) == [start + MINUTE, start + 2 * MINUTE]
    assert between(spec, end, start, limit=5) == []
    assert between(spec, start, start + MINUTE - 1, limit=5) == []


@pytest.mark.parametrize("limit", [0, -1, BETWEEN_MAX + 1])
def test_between_is_bounded(limit: int) -> None:
    with pytest.raises(DefinitionError, match=r"of times at once; use 1 to 10000 and ask again from the last"):
        between(ScheduleSpec(every="1s"), 0, 1, limit=limit)


def test_end_of_calendars_is_an_end() -> None:
    spec = ScheduleSpec(cron="* * * * *", every="1s")

    assert next_after(spec, us("2026-01-01T00:00:00Z") * 1_000) is None


# --- jitter --------------------------------------------------------------------------------------------------


def test_jitter_is_the_same_for_everybody() -> None:
    """A changed number here moves the starts of every schedule there is."""
    spec = ScheduleSpec(every="1h", jitter="5m")
    nominal = us("2026-01-01T00:00:00Z")

    delays = [
        fire_at_us(spec, nominal + n * 60 * MINUTE, schedule_id="nightly") - nominal - n * 60 * MINUTE for n in range(3)
    ]

    assert delays == [294401557, 202060256, 10724722]
    assert fire_at_us(spec, nominal, schedule_id="other") != fire_at_us(spec, nominal, schedule_id="nightly")


def test_no_jitter_is_no_delay() -> None:
    assert fire_at_us(ScheduleSpec(every="1h"), 7, schedule_id="x") == 7
    assert fire_at_us(ScheduleSpec(every="1h", jitter="0s"), 7, schedule_id="x") == 7


@given(st.integers(0, 10_000), st.sampled_from(["1us", "10s", "1h", "24h"]), st.text(max_size=5))
def test_jitter_stays_below_its_bound_and_the_next_time(hours: int, jitter: str, schedule_id: str) -> None:
    """So that what is due first is carried out first."""
    spec = ScheduleSpec(cron="*/20 * * * *", timezone=NEW_YORK, jitter=jitter)
    nominal = next_after(spec, us("2026-01-01T00:00:00Z") + hours * 60 * MINUTE)
    assert nominal is not None
    following = next_after(spec, nominal)
    assert following is not None

    at_us = fire_at_us(spec, nominal, schedule_id=schedule_id)

    most_us = {"1us": 1, "10s": 10 * SECOND}.get(jitter, DAY)
    assert nominal <= at_us < min(following, nominal + most_us)


def test_last_time_has_jitter_too() -> None:
    spec = ScheduleSpec(times=(instant("2026-01-01T00:00:00Z"),), jitter="1h")

    assert 0 < fire_at_us(spec, us("2026-01-01T00:00:00Z"), schedule_id="x") - us("2026-01-01T00:00:00Z") < 60 * MINUTE


# --- JSON ----------------------------------------------------------------------------------------------------


def test_json_is_what_people_write() -> None:
    spec = ScheduleSpec(
        cron="0 9 * * mon-fri",
        timezone="Europe/Lisbon",
        start_at=datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Lisbon")),
        jitter="30s",
    )

    raw = msgspec.json.encode(spec)

    assert raw == (
        b'{"cron":"0 9 * * mon-fri","timezone":"Europe/Lisbon","start_at":"2026-06-30T23:00:00Z","jitter":"30s"}'
    )
    assert msgspec.json.decode(raw, type=ScheduleSpec) == spec
    assert hash(msgspec.json.decode(raw, type=ScheduleSpec)) == hash(spec)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"cron":"61 * * * *"}', "minute '61' is out of range"),
        (b'{"every":"1h","interval":"1h"}', "unknown field `interval`"),
        (b'{"every":3600}', "Expected `str | null`"),
        (b'{"times":["2026-01-01T00:00:00"]}', "has no time zone"),
        (b'{"times":["tomorrow"]}', "Invalid RFC3339"),
        (b"{}", "a schedule is due at no time"),
    ],
)
def test_json_that_cannot_work_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason):
        msgspec.json.decode(raw, type=ScheduleSpec)


INSTANTS = st.datetimes(
    min_value=datetime.fromisoformat("1971-01-01"),
    max_value=datetime.fromisoformat("2200-01-01"),
    timezones=st.sampled_from([UTC, ZoneInfo(NEW_YORK), ZoneInfo("Asia/Kolkata")]),
)


@given(
    cron=st.none() | st.sampled_from(["*/5 * * * *", "30 2 * * sun", "0 0 29 2 *", "@hourly", "* * * * * 30"]),
    timezone=st.sampled_from(["UTC", NEW_YORK, "Australia/Lord_Howe"]),
    every=st.none() | st.sampled_from(["1s", "90s", "1h30m", "1w", "1.5s"]),
    times=st.lists(INSTANTS, max_size=5),
    start_at=st.none() | INSTANTS,
    jitter=st.none() | st.sampled_from(["1us", "30s", "24h"]),
    at=INSTANTS,
)
def test_any_spec_comes_back_from_json_and_goes_forward(
    cron: str | None,
    timezone: str,
    every: str | None,
    times: list[datetime],
    start_at: datetime | None,
    jitter: str | None,
    at: datetime,
) -> None:
    """Its times grow strictly, lie in its bounds, and are the same for the spec that was read back."""
    try:
        spec = ScheduleSpec(
            cron=cron, timezone=timezone, every=every, times=tuple(times), start_at=start_at, jitter=jitter
        )
    except DefinitionError as error:
        assert "due" in str(error)  # noqa: PT017  nothing to be due at, or all of it before the start
        return
    same = msgspec.json.decode(msgspec.json.encode(spec), type=ScheduleSpec)
    at_us = round(at.timestamp() * SECOND)

    found = between(spec, at_us, at_us + 400 * DAY, limit=20)

    assert same == spec
    assert between(same, at_us, at_us + 400 * DAY, limit=20) == found
    assert found == sorted(set(found))
    assert all(at_us < one <= at_us + 400 * DAY for one in found)
    assert start_at is None or all(one >= start_at.timestamp() * SECOND - 1 for one in found)
    if found:
        middle = (at_us + found[0]) // 2
        assert next_after(spec, middle) == found[0]


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "a schedule is due at no time; give it `cron`, `every` or `times`"),
        ({"cron": "* * *"}, "cron '* * *' has 3 field(s)"),
        ({"cron": ""}, "cron '' has 0 field(s)"),
        ({"cron": 5}, "cron=5 is not a text; write one such as '*/15 * * * *'"),
        ({"cron": ["* * * * *"]}, "is not a text"),
        ({"cron": "0 0 30 2 *"}, "never fires"),
        (
            {"cron": "@hourly", "timezone": "Europe/Lissabon"},
            "timezone 'Europe/Lissabon' is unknown; use a name of the",
        ),
        ({"cron": "@hourly", "timezone": None}, "timezone None is unknown"),
        ({"every": "0s"}, "every '0s' is too short; use '1s' or more"),
        ({"every": "999ms"}, "every '999ms' is too short"),
        ({"every": "-1h"}, "every: '-1h' is negative"),
        ({"every": "90"}, "every: '90' has no unit; write '90s'"),
        ({"every": 90}, "every=90 is not a text; write one such as '1h30m'"),
        ({"every": "1000000w"}, "is too far away"),
        ({"every": "1h", "jitter": "25h"}, "jitter '25h' is too long; use '24h' or less"),
        ({"every": "1h", "jitter": "x"}, "jitter: 'x' is no duration"),
        ({"times": [datetime.fromisoformat("2026-01-01T00:00")]}, "times: 2026-01-01T00:00:00 has no time zone; write"),
        ({"times": ["2026-01-01"]}, "times: '2026-01-01' is not a datetime"),
        ({"times": [datetime.max.replace(tzinfo=ZoneInfo(NEW_YORK))]}, "lies outside of the calendar"),
        (
            {"every": "1h", "start_at": datetime.fromisoformat("2026-01-01")},
            "start_at: 2026-01-01T00:00:00 has no time zone",
        ),
        ({"every": "1h", "end_at": 5}, "end_at: 5 is not a datetime"),
        (
            {"every": "1h", "start_at": instant("2026-01-02T00:00Z"), "end_at": instant("2026-01-01T00:00Z")},
            "end_at 2026-01-01T00:00:00.000000Z is not after 2026-01-02T00:00:00.000000Z; move one of them",
        ),
        (
            {"every": "1h", "start_at": instant("2026-01-02T00:00Z"), "end_at": instant("2026-01-02T00:00Z")},
            "is not after",
        ),
        ({"every": "1h", "end_at": instant("1960-01-02T00:00Z")}, "is not after 1970"),
        (
            {"cron": "0 9 * * *", "start_at": instant("2026-01-02T10:00Z"), "end_at": instant("2026-01-03T09:00Z")},
            "the schedule is never due from 2026-01-02T10:00:00.000000Z on and before 2026-01-03T09:00:00.000000Z; mend",
        ),
        ({"times": [instant("1960-01-02T00:00Z")]}, "the schedule is never due from 1970 on; mend"),
        (
            {"times": [instant("2026-01-01T00:00Z") + timedelta(n) for n in range(TIMES_MAX + 1)]},
            "are too many; list 1000",
        ),
    ],
)
def test_spec_that_cannot_work_is_refused(fields: dict[str, Any], reason: str) -> None:
    """In one line that names field, value and the way out, and in no time."""
    began = time.process_time()

    with pytest.raises(DefinitionError) as caught:
        ScheduleSpec(**fields)

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 1
