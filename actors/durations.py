"""Durations: what people write for a span or a point in time, as whole microseconds.

The rule that lives here and nowhere else: a number is seconds, a text has units, a point in time has a time zone.
`format_us` writes what `duration_us` reads.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Final, TypeAlias

from .errors import InvalidDuration
from .limits import DELAY_US_MAX

Duration: TypeAlias = float | int | str | timedelta
"""Seconds, a text such as "500ms", "1h30m", "2d12h", or a timedelta."""

_SECOND_US: Final = 1_000_000
_UNITS_US: Final = {
    "w": 7 * 86_400 * _SECOND_US,
    "d": 86_400 * _SECOND_US,
    "h": 3_600 * _SECOND_US,
    "m": 60 * _SECOND_US,
    "s": _SECOND_US,
    "ms": 1_000,
    "us": 1,
}
_TEXT: Final = re.compile("".join(rf"(?:([0-9]{{1,18}}(?:\.[0-9]{{1,9}})?){unit})?" for unit in _UNITS_US))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FAR_S: Final = 1e12
"""Beyond every bound: numbers are cut here, because the largest floats overflow when they become microseconds."""
_SHOWN_MAX: Final = 60


def duration_us(value: Duration, *, what: str) -> int:
    """Returns the span in microseconds, from 0 to `DELAY_US_MAX`.

    Args:
        what: What the span is for, as the error shall call it: `timeout of step 'charge'`.

    Raises:
        InvalidDuration: Not understood, negative, or out of bounds.
    """
    us = span_us(value, what=what)
    if us > DELAY_US_MAX:
        raise InvalidDuration(f"{what}: {_shown(value)} is too far away, at most {format_us(DELAY_US_MAX)} are allowed")
    return us


def span_us(value: Duration, *, what: str) -> int:
    """Returns the span in microseconds, however long: for what is capped afterwards.

    Raises:
        InvalidDuration: Not understood, or negative.
    """
    us = _read_us(value, what)
    if us < 0:
        raise InvalidDuration(f"{what}: {_shown(value)} is negative; use 0 or more")
    return us


def due_at_us(value: Duration | datetime, *, now_us: int, what: str) -> int:
    """Returns the instant that a span from now, or a point in time, means; the past means now.

    Raises:
        InvalidDuration: As `duration_us`; also a datetime without time zone.
    """
    if not isinstance(value, datetime):
        return now_us + duration_us(value, what=what)
    if value.utcoffset() is None:
        raise InvalidDuration(
            f"{what}: {value.isoformat()} has no time zone; write datetime(..., tzinfo=UTC) or .astimezone()"
        )
    delay_us = (value - _EPOCH) // _MICROSECOND - now_us
    if delay_us > DELAY_US_MAX:
        raise InvalidDuration(
            f"{what}: {value.isoformat()} is too far away, at most {format_us(DELAY_US_MAX)} are allowed"
        )
    return now_us + max(0, delay_us)


def format_us(us: int) -> str:
    """Writes a span for people, exactly: "1h30m", "1.5s", "250ms"; days are the largest unit."""
    if us < 0:
        return "-" + format_us(-us)
    if us < 1_000:
        return f"{us}us" if us else "0s"
    if us < _SECOND_US:
        return f"{_fraction(us, 1_000)}ms"
    parts: list[str] = []
    for unit in ("d", "h", "m"):
        count, us = divmod(us, _UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    if us:
        parts.append(f"{_fraction(us, _SECOND_US)}s")
    return "".join(parts)


def format_instant(us: int) -> str:
    """Writes an instant as RFC 3339 in UTC, always with microseconds, so that texts sort as instants do."""
    try:
        instant = _EPOCH + timedelta(microseconds=us)
    except OverflowError:  # no instant of ours, but a display must not fail
        return f"{us}us"
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if instant.year >= 1000 else f"{us}us"


def _read_us(value: object, what: str) -> int:
    match value:
        case bool():
            pass
        case int():
            return value * _SECOND_US
        case float() if isfinite(value):
            return round(max(-_FAR_S, min(value, _FAR_S)) * _SECOND_US)
        case timedelta():
            return value // _MICROSECOND
        case str():
            return _text_us(value, what)
        case _:
            pass
    raise InvalidDuration(
        f"{what}: {_shown(value)} is no duration; use seconds, a text such as '1h30m', or a timedelta"
    )


def _text_us(text: str, what: str) -> int:
    match = _TEXT.fullmatch(text)
    if match is None or not text:
        raise InvalidDuration(f"{what}: {_shown(text)} {_reason(text)}")
    counts = zip(match.groups(), _UNITS_US.values(), strict=True)
    return int(sum(Decimal(count) * unit_us for count, unit_us in counts if count is not None))


def _reason(text: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return f"has no unit; write '{text[:18]}s' or another of {', '.join(_UNITS_US)}"
    if text.startswith("-"):
        return "is negative; use 0 or more"
    return f"is no duration; write '500ms' or '1h30m': {', '.join(_UNITS_US)}, each at most once, the largest first"


def _fraction(us: int, unit_us: int) -> str:
    whole, rest = divmod(us, unit_us)
    digits = len(str(unit_us)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0") if rest else str(whole)


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 3] + "..."
