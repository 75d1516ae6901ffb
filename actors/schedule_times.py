"""Schedules' times: when a schedule is due, by its spec alone.

Pure: the same spec gives the same times for every caller and at every time (as far as zone data agree, see
`wall_clock.py`). Nothing here knows the clock, what ran before, or whether a time was missed.

A *nominal* time is what the spec says, exactly. It names what is started for it. `fire_at_us` adds the jitter.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from .cron import Cron, parse_cron
from .cron_times import next_cron
from .durations import duration_us, format_instant
from .errors import DefinitionError, InvalidDuration
from .wall_clock import find_zone

EVERY_US_MIN: Final = 1_000_000
"""A start a second is the most that a schedule gives, as with cron; more is the work of a step or a loop."""

JITTER_US_MAX: Final = 86_400 * 1_000_000
"""A day. Who wants to spread more widely wants several schedules."""

TIMES_MAX: Final = 1_000
"""Times that are listed: they are carried in the spec wherever it goes."""

BETWEEN_MAX: Final = 10_000
"""Times that `between` returns at once; some 50 µs each with a cron expression."""

_SECOND_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_US: Final = (datetime(9_900, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""Where calendars end, less what a search may look ahead."""
_PLANS_KEPT_MAX: Final = 1_024


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a schedule is due: `cron`, `every` and `times`, at least one; with several, whenever one of them says so.

    Checked when it is made, also from JSON. Immutable, hashable; equal specs have equal times.

    Raises:
        DefinitionError: A field cannot work, or the schedule is never due; names the field, its value and the way out.
            (From JSON it comes as `msgspec.ValidationError`.)
    """

    cron: str | None = None
    """Five fields, or six with the second as the last, see `Cron`; times of the clock in `timezone`. How they pass daylight
    saving time is in `cron_times.py`: once a day stays once a day, and a rhythm stays even."""
    timezone: str = "UTC"
    """An IANA name. Of no meaning to `every` and `times`."""
    every: str | None = None
    """A duration such as "90s" or "1h30m", at least "1s", by elapsed time: at `start_at`, or else at 1970-01-01T00:00Z, and
    at each whole multiple after it."""
    times: tuple[datetime, ...] = ()
    """Instants, in any order, with a time zone or offset; kept sorted and in UTC."""
    start_at: datetime | None = None
    """The first instant that counts; with a time zone or offset, kept in UTC."""
    end_at: datetime | None = None
    """The first instant that does not count any more; with a time zone or offset, kept in UTC."""
    jitter: str | None = None
    """A duration: each time is put off by less than it, see `fire_at_us`."""

    def __post_init__(self) -> None:
        force = msgspec.structs.force_setattr
        for name, example in (("cron", "*/15 * * * *"), ("every", "1h30m"), ("jitter", "30s"), ("timezone", "UTC")):
            _check_text(name, getattr(self, name), example)
        if self.cron is None and self.every is None and not self.times:
            raise DefinitionError("a schedule is due at no time; give it `cron`, `every` or `times`")
        if len(self.times) > TIMES_MAX:
            raise DefinitionError(
                f"times: {len(self.times)} are too many; list {TIMES_MAX} at most, or use cron or every"
            )
        force(self, "times", tuple(sorted({_in_utc("times", one) for one in self.times})))
        for name, value in (("start_at", self.start_at), ("end_at", self.end_at)):
            if value is not None:
                force(self, name, _in_utc(name, value))
        plan = _plan(self)
        if plan.end_us <= plan.start_us:
            raise DefinitionError(
                f"end_at {format_instant(plan.end_us)} is not after {_start_shown(plan.start_us)}; move one of them"
            )
        if next_after(self, -1) is None:
            end = f" and before {format_instant(plan.end_us)}" if plan.end_us < _LAST_US else ""
            raise DefinitionError(
                f"the schedule is never due from {_start_shown(plan.start_us)} on{end}; mend `cron`, `every`, `times`, "
                "`start_at` or `end_at`"
            )


class _Plan(NamedTuple):
    """A spec in numbers."""

    cron: Cron | None
    zone: ZoneInfo
    every_us: int
    anchor_us: int
    times_us: tuple[int, ...]
    start_us: int
    end_us: int
    jitter_us: int


def next_after(spec: ScheduleSpec, at_us: int) -> int | None:
    """Returns the first nominal time after an instant, or None where there is none any more.

    Grows strictly: asked with what it returned, it returns a later time.

    Args:
        at_us: Microseconds since 1970 UTC. Nothing is due before 1970.
    """
    plan = _plan(spec)
    after_us = max(at_us, plan.start_us - 1)
    if after_us >= plan.end_us:
        return None
    index = bisect_right(plan.times_us, after_us)
    found: list[int] = [*plan.times_us[index : index + 1], plan.end_us]
    if plan.every_us:
        found.append(plan.anchor_us + ((after_us - plan.anchor_us) // plan.every_us + 1) * plan.every_us)
    if plan.cron is not None:
        due_s = next_cron(plan.cron, plan.zone, after_us // _SECOND_US)
        found += [] if due_s is None else [due_s * _SECOND_US]
    due_us = min(found)
    return due_us if due_us < plan.end_us else None


def between(spec: ScheduleSpec, from_us: int, to_us: int, *, limit: int) -> list[int]:
    """Lists the nominal times after `from_us` and up to `to_us`, the first `limit` of them, in order.

    For catching up and for backfills. Where as many as `limit` are returned there may be more: ask again from the last.

    Args:
        from_us: Not among them, so that calls can follow each other.
        to_us: Among them, if it is a nominal time.
        limit: From 1 to `BETWEEN_MAX`.

    Raises:
        DefinitionError: The limit is out of bounds.
    """
    if not 1 <= limit <= BETWEEN_MAX:
        raise DefinitionError(f"limit={limit!r} of times at once; use 1 to {BETWEEN_MAX} and ask again from the last")
    found: list[int] = []
    due_us = next_after(spec, from_us)
    while due_us is not None and due_us <= to_us and len(found) < limit:
        found.append(due_us)
        due_us = next_after(spec, due_us)
    return found


def fire_at_us(spec: ScheduleSpec, nominal_us: int, *, schedule_id: str) -> int:
    """Returns when a nominal time is carried out: never before it, and always before the next one.

    The delay is less than `jitter`. It is drawn from a hash of the schedule's id and the nominal time: the same for every
    worker and on every replay, different between schedules and from time to time. It may pass `end_at`.
    """
    jitter_us = _plan(spec).jitter_us
    following_us = next_after(spec, nominal_us) if jitter_us else None
    span_us = jitter_us if following_us is None else min(jitter_us, following_us - nominal_us)
    if not span_us:
        return nominal_us
    digest = blake2b(f"{schedule_id}/{nominal_us}".encode(), digest_size=16).digest()
    return nominal_us + int.from_bytes(digest, "big") % span_us


@lru_cache(maxsize=_PLANS_KEPT_MAX)
def _plan(spec: ScheduleSpec) -> _Plan:
    start_us = 0 if spec.start_at is None else max(0, _us(spec.start_at))
    return _Plan(
        cron=None if spec.cron is None else parse_cron(spec.cron),
        zone=find_zone(spec.timezone),
        every_us=0 if spec.every is None else _span_us("every", spec.every, EVERY_US_MIN),
        anchor_us=0 if spec.start_at is None else _us(spec.start_at),
        times_us=tuple(map(_us, spec.times)),
        start_us=start_us,
        end_us=_LAST_US if spec.end_at is None else min(_us(spec.end_at), _LAST_US),
        jitter_us=0 if spec.jitter is None else _span_us("jitter", spec.jitter, 0, JITTER_US_MAX),
    )


def _span_us(name: str, value: str, least_us: int, most_us: int | None = None) -> int:
    try:
        span_us = duration_us(value, what=name)
    except InvalidDuration as error:
        raise DefinitionError(str(error)) from error
    if span_us < least_us:
        raise DefinitionError(f"{name} {value!r} is too short; use '1s' or more")
    if most_us is not None and span_us > most_us:
        raise DefinitionError(f"{name} {value!r} is too long; use '24h' or less")
    return span_us


def _check_text(name: str, value: object, example: str) -> None:
    if not isinstance(value, str | None):
        raise DefinitionError(f"{name}={value!r} is not a text; write one such as {example!r}")


def _in_utc(name: str, value: object) -> datetime:
    if not isinstance(value, datetime):
        raise DefinitionError(f"{name}: {value!r} is not a datetime; write datetime(..., tzinfo=UTC)")
    if value.utcoffset() is None:
        raise DefinitionError(
            f"{name}: {value.isoformat()} has no time zone; write datetime(..., tzinfo=ZoneInfo('Europe/Lisbon')) or tzinfo=UTC"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise DefinitionError(f"{name}: {value.isoformat()} lies outside of the calendar in UTC") from error


def _us(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _start_shown(start_us: int) -> str:
    return format_instant(start_us) if start_us else "1970"
