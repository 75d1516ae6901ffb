"""Cron expressions: what may be written, and which local times it names. Daylight saving time is in `cron_times.py`.

The grammar is checked here, field by field; croniter does the search, in local time without a zone. (What croniter 7 does
by itself with zones is not used: where clocks are put back it gives a time of day twice.) croniter's `H` and `R` are
refused, as they mean another time for every reader, and so is what it reads in a way that nobody would expect.
"""

from __future__ import annotations

import re
from copy import copy
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from croniter import CroniterBadDateError, CroniterError, croniter

from .errors import DefinitionError

CRON_CHARS_MAX: Final = 256
"""An expression is shown in errors and lists; 60 minutes that are listed one by one take 169."""

_CRONS_KEPT_MAX: Final = 1_024
_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_CHECK_FROM: Final = datetime(2000, 1, 1)  # noqa: DTZ001  a local time
"""From here on, every date that there is comes within 28 years."""
_NUMBER: Final = re.compile(r"[0-9]{1,4}")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]
    special: re.Pattern[str] | None = None


_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}, re.compile(r"l|(?:0?[1-9]|[12][0-9]|3[01])w")),
    _Field("month", 1, 12, {name: index + 1 for index, name in enumerate(_MONTHS)}),
    _Field(
        "day of week",
        0,
        7,
        {name: index for index, name in enumerate(_DAYS)},
        re.compile(rf"(?:[0-7]|{'|'.join(_DAYS)})#[1-5]|l[0-7]"),
    ),
    _Field("second", 0, 59, {}),
)
_DAY, _WEEKDAY = 2, 4


class Cron:
    """A cron expression that was checked; made by `parse_cron`.

    Five fields: minute, hour, day of month, month, day of week; a sixth is the second, last as in croniter (NATS and
    Quartz write it first). Each is `*`, or a list of values, ranges `a-b` (`22-2` goes past the end) and steps `*/n`, `a/n`,
    `a-b/n`. Months and days have names (`jan`, `mon`); Sunday is 0 and 7. Where both day fields are restricted, a day
    that fits either is meant. Also `L` (the last day of the month), `15W` (the working day nearest to the 15th), `mon#2` (the
    second Monday), `L5` (the last Friday), `?` for the `*` of a day field, and `@hourly`, `@daily`, `@midnight`, `@weekly`,
    `@monthly`, `@yearly`, `@annually`.
    """

    def __init__(self, text: str, search: croniter[datetime]) -> None:
        self.text = text
        self.has_every_hour = search.expanded[1] == ["*"]
        """Whether the hour is left open, so that it names a rhythm rather than times of the day."""
        self._search = search

    def next_local(self, after: datetime) -> datetime | None:
        """Returns the first local time after that one which fits, or None where there is none within 50 years.

        Takes some 50 µs; some milliseconds where the answer lies decades away.
        """
        # A copy: the search keeps where it is, and other threads use this one, too.
        search = copy(self._search)
        try:
            return search.get_next(datetime, start_time=after.replace(microsecond=0))
        except (CroniterBadDateError, OverflowError):
            return None

    def __repr__(self) -> str:
        return f"<cron {self.text!r}>"


@lru_cache(maxsize=_CRONS_KEPT_MAX)
def parse_cron(text: str) -> Cron:
    """Reads an expression.

    Raises:
        DefinitionError: It is not understood, or no date fits it; names the field and its value.
    """
    if len(text) > CRON_CHARS_MAX:
        raise DefinitionError(f"cron of {len(text)} characters is too long; {CRON_CHARS_MAX} are the most")
    plain = " ".join(text.lower().split())
    fields = _ALIASES.get(plain, plain).split()
    if plain.startswith("@") and plain not in _ALIASES:
        raise DefinitionError(f"cron {text!r} names no time; use one of {', '.join(_ALIASES)}, or five fields")
    if len(fields) not in (5, 6):
        raise DefinitionError(
            f"cron {text!r} has {len(fields)} field(s); use 5, minute to day of week, or 6 with the second as the last"
        )
    for field, value in zip(_FIELDS, fields, strict=False):
        _check_field(text, field, value)
    try:
        _check_days(text, fields[_DAY], fields[_WEEKDAY])
        cron = Cron(text, croniter(" ".join(fields), _CHECK_FROM, datetime))
    except CroniterError as error:
        raise DefinitionError(f"cron {text!r} is not understood: {error}") from error
    if cron.next_local(_CHECK_FROM) is None:
        raise DefinitionError(
            f"cron {text!r} never fires: no month {fields[3]!r} has a day {fields[_DAY]!r} with the day of week "
            f"{fields[_WEEKDAY]!r}; mend one of them"
        )
    return cron


def _check_field(text: str, field: _Field, value: str) -> None:
    for item in value.split(","):
        reason = _reason(field, item, is_alone=item == value)
        if reason:
            raise DefinitionError(f"cron {text!r}: {field.name} {item!r} {reason}")


def _reason(field: _Field, item: str, *, is_alone: bool) -> str:
    """Says what is wrong with a part of a list, and what to write."""
    if item == "?" and field.special is not None:
        return "" if is_alone else "stands alone; leave the other values away"
    if field.special is not None and field.special.fullmatch(item):
        return "" if is_alone or not item.endswith("w") else "stands alone; leave the other values away"
    if re.match(r"[hr](?![a-z])", item):
        return "means another time for every reader; write the number"
    span, slash, step = item.partition("/")
    low, dash, high = span.partition("-")
    for bound in (low, high) if dash else (low,):
        reason = "" if bound == "*" and not dash else _reason_of_value(field, bound)
        if reason:
            return reason
    if dash:
        first, last = _value(field, low), _value(field, high)
        if slash and first > last:
            return "goes past the end in steps; write two ranges"
        if first == last or (field.high == 7 and (first, last) == (7, 0)):
            return f"is one value, which croniter reads as all; write {low!r}"
    return _reason_of_step(field, step) if slash else ""


def _reason_of_value(field: _Field, bound: str) -> str:
    number = field.names.get(bound, int(bound) if _NUMBER.fullmatch(bound) else -1)
    if number < 0:
        names = f" or {', '.join(field.names)}" if field.names else ""
        return f"is not understood; use {field.low} to {field.high}{names}, '*', ranges 'a-b' and steps '*/n'"
    return "" if field.low <= number <= field.high else f"is out of range; use {field.low} to {field.high}"


def _reason_of_step(field: _Field, step: str) -> str:
    most = field.high - field.low
    if _NUMBER.fullmatch(step) is None or not 1 <= int(step) <= most:
        return f"steps out of range; use 1 to {most}, or `every` for a longer rhythm"
    return ""


def _value(field: _Field, bound: str) -> int:
    return field.names[bound] if bound in field.names else int(bound)


def _check_days(text: str, day: str, weekday: str) -> None:
    """Refuses what croniter reads in another way than all other pairs of day fields.

    It joins W, # and L5 with the other field by `and`, everything else by `or`; a field that lists all days restricts
    nothing, or everything, depending on how the other one is written.
    """
    if day in ("*", "?") or weekday in ("*", "?"):
        return
    for item in (*day.split(","), *weekday.split(",")):
        if re.fullmatch(r"[0-9]+w|.*#.*|l[0-9]", item):
            raise DefinitionError(f"cron {text!r}: {item!r} needs the other day field free; write '*' there")
    expanded = croniter.expand(f"0 0 {day} * *")[0][_DAY], croniter.expand(f"0 0 * * {weekday}")[0][_WEEKDAY]
    for field, value, days in zip((_FIELDS[_DAY], _FIELDS[_WEEKDAY]), (day, weekday), expanded, strict=True):
        if days == ["*"]:
            raise DefinitionError(f"cron {text!r}: {field.name} {value!r} names every day; write '*'")
