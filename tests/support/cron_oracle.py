"""An oracle for cron expressions: every minute is looked at, one after the other, with nothing but `zoneinfo`."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMES = {name: index for index, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])} | {
    name: index + 1
    for index, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
}


class Shown(NamedTuple):
    """A minute of the world, and what the zone's clocks show at its beginning."""

    at: datetime
    local: datetime
    fold: int
    skipped: tuple[datetime, ...]
    """What the clocks would have shown since the minute before, had they not been put forward."""


@lru_cache(maxsize=64)
def shown_minutes(zone: str, start: datetime, days: int) -> tuple[Shown, ...]:
    """Lists the minutes from an instant on."""
    return tuple(_minutes(ZoneInfo(zone), start, days))


def changes(zone: str, year: int) -> list[datetime]:
    """Finds a year's changes of a zone's offset, to the minute."""
    minutes = (datetime(year, 1, 1, tzinfo=UTC) + index * timedelta(hours=1) for index in range(366 * 24))
    found: list[datetime] = []
    before: timedelta | None = None
    for at in minutes:
        offset = at.astimezone(ZoneInfo(zone)).utcoffset()
        if before not in (None, offset):
            low = at - timedelta(hours=1)
            while low.astimezone(ZoneInfo(zone)).utcoffset() == before:
                low += MINUTE
            found.append(low)
        before = offset
    return found


def due_minutes(cron: str, minutes: tuple[Shown, ...]) -> list[datetime]:
    """Lists the minutes at which an expression of five fields is due."""
    fields = cron.lower().split()
    is_rhythm = len(_values(fields[1], *_BOUNDS[1])) == 24
    if is_rhythm:
        return [one.at for one in minutes if fits(cron, one.local)]
    return [
        one.at
        for one in minutes
        if (fits(cron, one.local) and not one.fold) or any(fits(cron, local) for local in one.skipped)
    ]


def fits(cron: str, local: datetime) -> bool:
    """Tells whether a local minute is one that an expression of five fields names."""
    minute, hour, day, month, weekday = cron.lower().split()
    return (
        local.minute in _values(minute, *_BOUNDS[0])
        and local.hour in _values(hour, *_BOUNDS[1])
        and local.month in _values(month, *_BOUNDS[3])
        and _fits_day(day, weekday, local)
    )


def _fits_day(day: str, weekday: str, local: datetime) -> bool:
    is_day = day in "*?" or any(_is_day(item, local) for item in day.split(","))
    is_weekday = weekday in "*?" or any(_is_weekday(item, local) for item in weekday.split(","))
    if day in "*?" or weekday in "*?":
        return is_day and is_weekday
    return is_day or is_weekday


def _is_day(item: str, local: datetime) -> bool:
    last = calendar.monthrange(local.year, local.month)[1]
    if item == "l":
        return local.day == last
    if item.endswith("w"):
        near = sorted(
            (abs(day - min(int(item[:-1]), last)), day)
            for day in range(1, last + 1)
            if calendar.weekday(local.year, local.month, day) < 5
        )
        return local.day == near[0][1]
    return local.day in _values(item, *_BOUNDS[2])


def _is_weekday(item: str, local: datetime) -> bool:
    today = local.isoweekday() % 7
    if item.startswith("l"):
        return today == int(item[1:]) % 7 and (local + timedelta(days=7)).month != local.month
    if "#" in item:
        name, _, nth = item.partition("#")
        return today == _number(name) % 7 and (local.day - 1) // 7 + 1 == int(nth)
    return today in _values(item, *_BOUNDS[4])


@lru_cache(maxsize=4096)
def _values(field: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, dash, last = span.partition("-")
        start = low if first in "*?" else _number(first)
        end = _number(last) if dash else (high if first in "*?" or step else start)
        if start > end:
            found |= set(range(start, high + 1)) | set(range(low, end + 1))
        else:
            found |= set(range(start, end + 1, int(step or 1)))
    return frozenset(value % 7 if high == 6 else value for value in found)


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)


def _minutes(zone: ZoneInfo, start: datetime, days: int) -> Iterator[Shown]:
    before = (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    for index in range(days * 1440):
        at = start + index * MINUTE
        aware = at.astimezone(zone)
        local = aware.replace(tzinfo=None, fold=0)
        gap = (local - before) // MINUTE - 1
        yield Shown(at, local, aware.fold, tuple(before + (n + 1) * MINUTE for n in range(gap)))
        before = local
