"""Schedules: what is started when, what happens when runs overlap, and where a schedule stands.

A schedule is a run of a workflow of the engine's own (`schedule_run.py`); its run id is the schedule's id. This file holds
what goes in, what comes out, and the rules that need neither time nor log.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from .durations import duration_us, format_us
from .errors import DefinitionError, InvalidDuration, InvalidName
from .limits import CATCH_UP_US_MIN, SCHEDULE_ID_MAX, SCHEDULE_RUNS_MAX
from .messages import NO_ARGS, OptionalRaw
from .names import RunKey, check_token
from .schedule_times import ScheduleSpec

SCHEDULE_WORKFLOW: Final = "jetrun-schedule"
"""The workflow whose runs are schedules."""

ORDERS: Final = "order"
"""The hook by which a schedule is told what to do."""

AUTO_PREFIX: Final = "auto-"
"""What stands before a workflow's name in the id of the schedule that its decorator declares."""

CATCH_UP: Final = "1h"

Overlap: TypeAlias = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]
"""What happens at a time while a run of the schedule is still under way, or waits for its turn.

`skip` passes the time over; `buffer_one` keeps one for later and passes further ones over; `buffer_all` keeps all, one run
after the other; `cancel_other` cancels what runs, and starts the newest time when that has ended; `allow_all` starts at once.
"""

OVERLAPS: Final[tuple[Overlap, ...]] = ("skip", "buffer_one", "buffer_all", "cancel_other", "allow_all")

_LAST_US: Final = 253_402_300_799 * 1_000_000
"""Where calendars end."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAMP: Final = re.compile(r".*-(\d{8}T\d{6}(?:_\d{6})?)Z(?:-[0-9a-f]{6})?")


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a workflow is started, and what happens when that cannot be just so: for `@workflow(schedule=...)`.

    Raises:
        DefinitionError: A field cannot work.
    """

    spec: ScheduleSpec
    overlap: Overlap = "skip"
    catch_up: str = CATCH_UP
    """A duration: a time is made up for if that can begin within it; older ones are missed. At least "2s"."""

    def __post_init__(self) -> None:
        if not isinstance(self.spec, ScheduleSpec):
            raise DefinitionError(f"spec={self.spec!r} is no ScheduleSpec; write ScheduleSpec(cron='0 9 * * *')")
        check_overlap(self.overlap)
        msgspec.structs.force_setattr(self, "catch_up", format_us(_catch_up_us(self.catch_up)))

    @property
    def catch_up_us(self) -> int:
        return duration_us(self.catch_up, what="catch_up")


class ScheduledCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a schedule starts."""

    workflow: str
    args: msgspec.Raw = NO_ARGS
    kwargs: OptionalRaw = None

    def __post_init__(self) -> None:
        check_token("workflow name", self.workflow)  # it becomes part of a subject
        if not bytes(self.args).lstrip().startswith(b"["):
            raise ValueError("args is no JSON array")
        if self.kwargs is not None and not bytes(self.kwargs).lstrip().startswith(b"{"):
            raise ValueError("kwargs is no JSON object")


class Planned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of a schedule: the time it stands for, and its id."""

    at_us: Annotated[int, msgspec.Meta(ge=0, le=_LAST_US)]
    run: str
    call: ScheduledCall | None = None
    """Of a run that was started before the schedule was told to start something else."""
    command: int = 0
    """That started it; 0 before."""

    def __post_init__(self) -> None:
        check_token("run id", self.run)


class ScheduleState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that a schedule is, at one moment. What it is started with, and what a client shows."""

    call: ScheduledCall
    schedule: Schedule
    is_paused: bool = False
    is_deleted: bool = False
    settled_us: int = 0
    """Times up to this one are dealt with; 0 before the first look."""
    next_us: int = 0
    """The nominal time that is waited for; 0 for none."""
    running: list[Planned] = []
    buffered: list[Planned] = []
    runs: int = 0
    completed: int = 0
    failed: int = 0
    """Also those that were terminated, or never began."""
    cancelled: int = 0
    skipped: int = 0
    """By the overlap policy, or because that time had its run before."""
    missed: int = 0
    """Times that passed while nobody was there, longer ago than `catch_up`; up to 1,000 are counted for each gap."""
    last_us: int = 0
    last_run: str = ""
    """The run that was started last."""
    last_error: str = ""
    """Of the run that failed last."""


# --- orders ----------------------------------------------------------------------------------------


# What comes by the public door is checked here, while it is read: a bad order is refused and the schedule goes on.


class _Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="do"):
    pass


class PauseOrder(_Order, frozen=True, kw_only=True, tag="pause"):
    """Lets times pass; runs that are under way or wait for their turn go on."""


class ResumeOrder(_Order, frozen=True, kw_only=True, tag="resume"):
    """Goes on with the next time; those that have passed meanwhile are not made up for."""


class UpdateOrder(_Order, frozen=True, kw_only=True, tag="update"):
    """Changes what is given. Runs under way are left alone."""

    call: ScheduledCall | None = None
    spec: ScheduleSpec | None = None
    overlap: Overlap | None = None
    catch_up: str | None = None

    def __post_init__(self) -> None:
        if self.catch_up is not None:
            _catch_up_us(self.catch_up)


class StartOrder(_Order, frozen=True, kw_only=True, tag="start"):
    """Starts runs outside of the schedule's times: a trigger, a backfill."""

    runs: list[Planned]
    overlap: Overlap | None = None


class DeleteOrder(_Order, frozen=True, kw_only=True, tag="delete"):
    """Ends the schedule. Its runs go on."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of the hook `order`."""

    order: PauseOrder | ResumeOrder | UpdateOrder | StartOrder | DeleteOrder


# --- rules -----------------------------------------------------------------------------------------

Admission: TypeAlias = Literal["start", "buffer", "skip", "replace"]


def admit(overlap: Overlap, *, running: int, buffered: int) -> Admission:
    """Says what becomes of a time, by how many runs are under way and how many wait for their turn."""
    if running + buffered >= SCHEDULE_RUNS_MAX:
        return "skip"
    if overlap == "allow_all" or not running + buffered:
        return "start"
    if overlap == "cancel_other":
        return "replace"
    if overlap == "buffer_all" or (overlap == "buffer_one" and not buffered):
        return "buffer"
    return "skip"


def updated(state: ScheduleState, order: UpdateOrder) -> tuple[ScheduledCall, Schedule]:
    """Returns what a schedule is after an update."""
    old = state.schedule
    return order.call or state.call, Schedule(
        spec=order.spec or old.spec,
        overlap=order.overlap or old.overlap,
        catch_up=old.catch_up if order.catch_up is None else order.catch_up,
    )


def check_schedule_id(text: str) -> str:
    """Returns the text if it can be a schedule's id. Raises InvalidName."""
    if len(check_token("schedule id", text)) > SCHEDULE_ID_MAX:
        raise InvalidName(f"schedule id {text!r} is too long: {len(text)} > {SCHEDULE_ID_MAX} characters")
    return text


def check_overlap(overlap: str) -> None:
    """Raises DefinitionError."""
    if overlap not in OVERLAPS:
        raise DefinitionError(f"overlap={overlap!r}; use one of {', '.join(OVERLAPS)}")


def run_id(schedule_id: str, at_us: int, mark: str = "") -> str:
    """Names the run of a time, or with a mark one that was triggered then: the same for everybody (I23)."""
    seconds, rest_us = divmod(at_us, 1_000_000)
    stamp = f"{_EPOCH + timedelta(seconds=seconds):%Y%m%dT%H%M%S}"
    return f"{schedule_id}-{stamp}{f'_{rest_us:06d}' if rest_us else ''}Z{f'-{mark}' if mark else ''}"


def scheduled_at(parent: RunKey | None, run: str) -> datetime | None:
    """Reads from a run's id the time for which a schedule has started it; None where no schedule has."""
    return time_in(run) if parent is not None and parent.workflow == SCHEDULE_WORKFLOW else None


def time_in(run: str) -> datetime | None:
    """Reads a time from the id of a run that a schedule has started; None where none is there."""
    found = _STAMP.fullmatch(run)
    if found is None:
        return None
    stamp, _, rest = found[1].partition("_")
    try:
        moment = datetime.strptime(f"{stamp}+0000", "%Y%m%dT%H%M%S%z")
    except ValueError:
        return None  # somebody else's name
    return moment.replace(microsecond=int(rest or 0))


def _catch_up_us(value: str) -> int:
    if not isinstance(value, str):
        raise DefinitionError(f"catch_up={value!r} is not a text; write one such as {CATCH_UP!r}")
    try:
        us = duration_us(value, what="catch_up")
    except InvalidDuration as error:
        raise DefinitionError(str(error)) from error
    if us < CATCH_UP_US_MIN:
        raise DefinitionError(f"catch_up={value!r} is too short: a timer can be late by a second; use '2s' or more")
    return us
