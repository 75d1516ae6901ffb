"""Cron expressions: what may be written, what it means on clocks that are never changed, what is refused with which words."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.cron import CRON_CHARS_MAX, parse_cron
from jetrun.actors.errors import DefinitionError
from support.cron_oracle import fits

START = datetime.fromisoformat("2027-12-30T23:58:30")
NEW_YEAR = datetime.fromisoformat("2024-01-01")


def some(cron: str, count: int, start: datetime = START) -> list[str]:
    """The next local times, without their seconds where these are 0."""
    found: list[str] = []
    for _ in range(count):
        local = parse_cron(cron).next_local(start)
        assert local is not None
        found.append(f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00"))
        start = local
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("* * * * *", ["2027-12-30 23:59", "2027-12-31 00:00"]),
        ("*/20 * * * *", ["2027-12-31 00:00", "2027-12-31 00:20", "2027-12-31 00:40"]),
        ("5/20 0 * * *", ["2027-12-31 00:05", "2027-12-31 00:25", "2027-12-31 00:45", "2028-01-01 00:05"]),
        ("0 0 * * 0-7", ["2027-12-31 00:00", "2028-01-01 00:00"]),
        ("0 0 * * sat-mon", ["2028-01-01 00:00", "2028-01-02 00:00", "2028-01-03 00:00", "2028-01-08 00:00"]),
        ("0 7-0 * * *", ["2027-12-31 00:00", "2027-12-31 07:00", "2027-12-31 08:00"]),
        ("0 22-1 * * *", ["2027-12-31 00:00", "2027-12-31 01:00", "2027-12-31 22:00"]),
        ("0 9 * * mon-fri", ["2027-12-31 09:00", "2028-01-03 09:00"]),
        ("0 9 * JAN,jul Sun", ["2028-01-02 09:00", "2028-01-09 09:00"]),
        ("0 9 * * 7", ["2028-01-02 09:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 13 * fri", ["2027-12-31 00:00", "2028-01-07 00:00", "2028-01-13 00:00"]),
        ("0 0 L * wed", ["2027-12-31 00:00", "2028-01-05 00:00"]),
        ("0 0 L * *", ["2027-12-31 00:00", "2028-01-31 00:00", "2028-02-29 00:00"]),
        ("0 0 15W * ?", ["2028-01-14 00:00", "2028-02-15 00:00"]),
        ("0 0 * * mon#2", ["2028-01-10 00:00", "2028-02-14 00:00"]),
        ("0 0 * * L5", ["2027-12-31 00:00", "2028-01-28 00:00"]),
        ("  0  0\t1 1 *  ", ["2028-01-01 00:00", "2029-01-01 00:00"]),
        ("@hourly", ["2027-12-31 00:00", "2027-12-31 01:00"]),
        ("@Daily", ["2027-12-31 00:00", "2028-01-01 00:00"]),
        ("@weekly", ["2028-01-02 00:00", "2028-01-09 00:00"]),
        ("@monthly", ["2028-01-01 00:00", "2028-02-01 00:00"]),
        ("@yearly", ["2028-01-01 00:00", "2029-01-01 00:00"]),
        ("58 23 * * * 29,45", ["2027-12-30 23:58:45", "2027-12-31 23:58:29"]),
        ("* * * * * */30", ["2027-12-30 23:59", "2027-12-30 23:59:30"]),
    ],
)
def test_expressions_mean_these_local_times(cron: str, expected: list[str]) -> None:
    assert some(cron, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("60 * * * *", "cron '60 * * * *': minute '60' is out of range; use 0 to 59"),
        ("* 24 * * *", "hour '24' is out of range; use 0 to 23"),
        ("* * 0 * *", "day of month '0' is out of range; use 1 to 31"),
        ("* * * 1,13 *", "month '13' is out of range; use 1 to 12"),
        ("* * * * 8", "day of week '8' is out of range; use 0 to 7"),
        ("* * * * * 60", "second '60' is out of range; use 0 to 59"),
        ("x * * * *", "minute 'x' is not understood; use 0 to 59, '*', ranges 'a-b' and steps '*/n'"),
        ("* * * jann *", "month 'jann' is not understood; use 1 to 12 or jan, feb, "),
        ("* jan * * *", "hour 'jan' is not understood"),
        ("1,,2 * * * *", "minute '' is not understood"),
        ("-1 * * * *", "minute '-1' is not understood"),
        ("1- * * * *", "minute '1-' is not understood"),
        ("1-2-3 * * * *", "minute '1-2-3' is not understood"),
        ("*-5 * * * *", "minute '*-5' is not understood"),
        ("+1 * * * *", "minute '+1' is not understood"),
        ("\u0661 * * * *", "is not understood"),
        ("1.5 * * * *", "minute '1.5' is not understood"),
        ("*/0 * * * *", "minute '*/0' steps out of range; use 1 to 59"),
        ("*/90 * * * *", "or `every` for a longer rhythm"),
        ("*/ * * * *", "minute '*/' steps out of range"),
        ("*/2/2 * * * *", "minute '*/2/2' steps out of range"),
        ("0 5-5 * * *", "hour '5-5' is one value, which croniter reads as all; write '5'"),
        ("0 0 * * 7-sun", "day of week '7-sun' is one value, which croniter reads as all; write '7'"),
        ("0 22-2/2 * * *", "hour '22-2/2' goes past the end in steps; write two ranges"),
        ("H * * * *", "minute 'h' means another time for every reader; write the number"),
        ("R * * * *", "minute 'r' means another time for every reader; write the number"),
        ("H(0-9)/3 * * * *", "means another time for every reader"),
        ("? * * * *", "minute '?' is not understood"),
        ("0 0 ?,3 * *", "day of month '?' stands alone; leave the other values away"),
        ("0 0 15w,3 * *", "day of month '15w' stands alone"),
        ("0 0 32w * *", "day of month '32w' is not understood"),
        ("0 0 * * mon#6", "day of week 'mon#6' is not understood"),
        ("0 0 * * 5l", "day of week '5l' is not understood"),
        ("0 0 15w * mon", "'15w' needs the other day field free; write '*' there"),
        ("0 0 13 * fri#2", "'fri#2' needs the other day field free; write '*' there"),
        ("0 0 1 * L5", "'l5' needs the other day field free"),
        ("0 0 */2 * */1", "day of week '*/1' names every day; write '*'"),
        ("0 0 1-31 * mon", "day of month '1-31' names every day; write '*'"),
        ("0 0 * * mon,tue#2", "cron '0 0 * * mon,tue#2' is not understood: "),
        ("* * * *", "has 4 field(s); use 5, minute to day of week, or 6 with the second as the last"),
        ("0 0 1 1 * 0 2030", "has 7 field(s)"),
        ("", "has 0 field(s)"),
        ("@reboot", "cron '@reboot' names no time; use one of @yearly, "),
        ("@every 1h", "names no time"),
        ("0 0 30 2 *", "cron '0 0 30 2 *' never fires: no month '2' has a day '30'"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        ("0 " * 200, "is too long"),
    ],
)
def test_what_cannot_be_meant_is_refused(cron: str, reason: str) -> None:
    """In one line, and before any search could take long."""
    began = time.process_time()

    with pytest.raises(DefinitionError) as caught:
        parse_cron(cron)

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 1


def test_longest_list_of_minutes_fits() -> None:
    cron = ",".join(map(str, range(60))) + " 0 1 1 *"

    assert len(cron) <= CRON_CHARS_MAX
    assert some(cron, 1) == ["2028-01-01 00:00"]


def test_open_hours_are_told_from_times_of_the_day() -> None:
    crons = ("*/15 * * * *", "0 * 1 * *", "0 0-23 * * *", "0 */1 * * *", "0 */2 * * *", "* 5 * * *")

    assert [parse_cron(cron).has_every_hour for cron in crons] == [True, True, True, True, False, False]


def test_search_leaves_no_trace() -> None:
    """One expression serves many schedules, in several threads."""
    cron = parse_cron("0 9 * * mon")
    first = cron.next_local(START)
    cron.next_local(NEW_YEAR)

    assert cron.next_local(START) == first
    assert repr(cron) == "<cron '0 9 * * mon'>"


# --- properties ------------------------------------------------------------------------------------------


def field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """What a field of an expression may hold."""
    value = st.integers(low, high).map(str)
    if names:
        value |= st.sampled_from(names)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).filter(lambda pair: pair[0] != pair[1])
    rising = span.map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, high - low)
    item = st.one_of(
        value,
        span.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(rising, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.tuples(st.integers(low, high), step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        step.map(lambda one: f"*/{one}"),
    )
    return st.lists(item, min_size=1, max_size=3).map(",".join)


DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PLAIN = st.tuples(
    st.just("*") | field(0, 59),
    st.just("*") | field(0, 23),
    st.just("*") | st.just("?") | field(1, 31) | st.just("L"),
    st.just("*") | field(1, 12, ("jan", "jun", "dec")),
    st.just("*") | field(0, 6, DAYS),
)
SPECIAL = st.one_of(
    st.tuples(st.just("0"), st.just("0"), st.integers(1, 31).map("{}W".format), st.just("*"), st.just("?")),
    st.tuples(
        st.just("0"),
        st.just("0"),
        st.just("*"),
        st.just("*"),
        st.tuples(st.sampled_from(DAYS), st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}")
        | st.integers(0, 7).map("L{}".format),
    ),
)


@given(parts=PLAIN | SPECIAL, days=st.integers(0, 3_000), minutes=st.integers(0, 1_439))
def test_next_local_time_is_the_first_minute_that_fits(parts: tuple[str, ...], days: int, minutes: int) -> None:
    cron = " ".join(parts)
    start = NEW_YEAR + timedelta(days=days, minutes=minutes)
    try:
        found = parse_cron(cron).next_local(start)
    except DefinitionError as error:
        assert "never fires" in str(error) or "names every day" in str(error)  # noqa: PT017  what is left to refuse
        return

    assert found is not None
    assert found > start
    assert fits(cron, found)
    looked_at = start
    for _ in range(min((found - start) // timedelta(minutes=1) - 1, 2_000)):
        looked_at += timedelta(minutes=1)
        assert not fits(cron, looked_at)


@given(parts=PLAIN, days=st.integers(0, 3_000))
def test_croniter_agrees_where_clocks_are_never_changed(parts: tuple[str, ...], days: int) -> None:
    cron, start = " ".join(parts), NEW_YEAR + timedelta(days=days)
    try:
        found = parse_cron(cron)
    except DefinitionError:
        return

    assert found.next_local(start) == croniter(cron, start).get_next(datetime)


@given(st.text(alphabet="0123456789*/-,#?LWHRlw@ janmo", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        found = parse_cron(text)
    except DefinitionError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert found.next_local(START) is not None
