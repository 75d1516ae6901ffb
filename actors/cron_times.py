"""Times of cron expressions: the instants that an expression means in a time zone, across daylight saving time.

The rule lives here and nowhere else. An expression names times of a wall clock.

- **The hour is restricted** (`30 2 * * *`, `0 */2 * * *`, `*/15 9-17 * * *`): times of the day, each once. Where clocks are
  put back, a time that is shown twice means the first. Where they are put forward, the times that are skipped
  mean the instant of the change, once however many they are: `30 2 * * *` in New York runs at 03:00 EDT that day.
- **The hour is open** (`*/15 * * * *`, `0 * * * *`, `* * * * * */10`, on any days): a rhythm. Every instant at which the clock shows
  a time that fits is meant, so that it goes on evenly: what is shown twice runs twice, what is skipped does not run.
  Where clocks are moved by half an hour (Lord Howe), the times of `0 * * * *` follow the clock and are once 90 minutes apart.

croniter by itself differs where clocks are put back (it gives times of the day twice), and keeps the seconds of a time that
is skipped.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from .cron import Cron
from .wall_clock import first_instant, next_change, offset_at, repeated_until, wall_seconds, wall_time

_SECOND = timedelta(seconds=1)


def next_cron(cron: Cron, zone: ZoneInfo, after_s: int) -> int | None:
    """Returns the first second after that one at which the expression fires, or None within 50 years."""
    return _next_of_rhythm(cron, zone, after_s) if cron.has_every_hour else _next_of_day(cron, zone, after_s)


def _next_of_day(cron: Cron, zone: ZoneInfo, after_s: int) -> int | None:
    local = wall_time(after_s, offset_at(zone, after_s))
    repeated = repeated_until(zone, after_s)
    if repeated is not None:
        # What the clock shows again was meant the first time.
        local = max(local, repeated - _SECOND)
    while True:
        found = cron.next_local(local)
        if found is None:
            return None
        due_s = first_instant(zone, found)
        if due_s > after_s:
            return due_s
        local = found


def _next_of_rhythm(cron: Cron, zone: ZoneInfo, after_s: int) -> int | None:
    offset_from_s = after_s
    while True:
        offset_s = offset_at(zone, offset_from_s)
        found = cron.next_local(wall_time(after_s, offset_s))
        if found is None:
            return None
        due_s = wall_seconds(found) - offset_s
        change_s = next_change(zone, offset_from_s, due_s)
        if change_s is None:
            return due_s
        # Nothing fits before the change; from its very second on the clock shows something else.
        offset_from_s, after_s = change_s, change_s - 1
