"""Wall clocks: what a time zone's clocks show at an instant, and when they show something.

Instants are whole seconds since 1970 UTC, local times are datetimes without a zone. The zones' data come with the `tzdata`
package or the system, whichever `zoneinfo` finds first; they are read once per zone and process, and no clock is read.
They change several times a year, by decree: workers with different data know different times, so whoever decides by
them has to record what was decided.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from .errors import DefinitionError

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  local times have no zone
_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_LOOK_S: Final = 3 * 86_400
"""Since 1970 two changes of a zone's offset were never closer than six days (Boa Vista, October 2000)."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_NOT_IANA: Final = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory")
"""Files in a system's zone folder that say nothing, or something else on every machine."""


def find_zone(name: str) -> ZoneInfo:
    """Returns the zone of an IANA name.

    Raises:
        DefinitionError: No such zone is known here.
    """
    if isinstance(name, str) and _NAME.fullmatch(name) and not _NOT_IANA.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, LookupError):  # among others: a folder, such as "Europe"
            pass
    raise DefinitionError(
        f"timezone {name!r} is unknown; use a name of the IANA database such as 'Europe/Lisbon', or 'UTC'"
    )


def wall_time(at_s: int, offset_s: int) -> datetime:
    """Returns what clocks with that offset show at an instant."""
    return _EPOCH + timedelta(seconds=at_s + offset_s)


def wall_seconds(local: datetime) -> int:
    """Returns the seconds from 1970-01-01T00:00 to a local time, as clocks that are never changed count them."""
    return (local - _EPOCH) // _SECOND


def offset_at(zone: ZoneInfo, at_s: int) -> int:
    """Returns by how many seconds the zone's clocks are ahead of UTC at an instant."""
    return _offset((_EPOCH_UTC + timedelta(seconds=at_s)).astimezone(zone))


def next_change(zone: ZoneInfo, after_s: int, until_s: int) -> int | None:
    """Finds the first change of the offset: the first second that has another one than the second before.

    Takes time in proportion to the span, some 0.3 ms a year.

    Args:
        after_s: An instant before the change.
        until_s: The last instant that counts.
    """
    offset_s = offset_at(zone, after_s)
    low_s = after_s
    while low_s < until_s:
        high_s = min(low_s + _LOOK_S, until_s)
        if offset_at(zone, high_s) != offset_s:
            while high_s - low_s > 1:
                middle_s = (low_s + high_s) // 2
                if offset_at(zone, middle_s) == offset_s:
                    low_s = middle_s
                else:
                    high_s = middle_s
            return high_s
        low_s = high_s
    return None


def first_instant(zone: ZoneInfo, local: datetime) -> int:
    """Returns when clocks first show a local time; where they are put forward past it, the instant of that change.

    Grows with the local time, without being strict: the times that a change skips have one instant.
    """
    first_s, second_s = _readings(zone, local)
    if wall_time(first_s, offset_at(zone, first_s)) == local:
        return first_s
    # PEP 495: of a time that is skipped, the reading with the offset after the change lies before it, and the other after.
    change_s = next_change(zone, second_s, first_s)
    return first_s if change_s is None else change_s


def repeated_until(zone: ZoneInfo, at_s: int) -> datetime | None:
    """Returns the local time at which clocks were put back, where what they show at the instant is shown a second time."""
    local = (_EPOCH_UTC + timedelta(seconds=at_s)).astimezone(zone)
    if not local.fold:
        return None
    first_s, _ = _readings(zone, local.replace(tzinfo=None, fold=0))
    change_s = next_change(zone, first_s, at_s)
    return None if change_s is None else wall_time(change_s, offset_at(zone, first_s))


def _readings(zone: ZoneInfo, local: datetime) -> tuple[int, int]:
    """Reads a local time with the offset before the change near it, and with the one after; without one they are equal."""
    wall_s = wall_seconds(local)
    early, late = (_offset(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    return wall_s - early, wall_s - late


def _offset(aware: datetime) -> int:
    offset = aware.utcoffset()
    assert offset is not None
    return offset // _SECOND
