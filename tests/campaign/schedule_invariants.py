"""Invariants of schedules (I23): a time has at most one run, and the overlap policy holds."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from jetrun.actors.commands import CancelChild, StartChild
from jetrun.actors.names import RunKey
from jetrun.actors.schedule import SCHEDULE_WORKFLOW

from .audit import Case, Invariant
from .run_logs import Entry, RunLog
from .schedule_plans import args_of, ends_of, nominal_us, orders_in, started_by


def one_run_per_time(case: Case) -> list[str]:
    """What a schedule starts for a time, it starts once; and the run that was begun is the one that was asked for."""
    found: list[str] = []
    for log in _schedules(case):
        ends = ends_of(log)
        times = Counter(c.run for _, c in started_by(log) if nominal_us(c.run) is not None)
        found += [f"{log.key}: time of {run} was started {n} times" for run, n in times.items() if n > 1]
        for _, command in started_by(log):
            end = ends.get(command.n)
            if end is None or end[1].status == "refused":
                continue
            mark = case.log_of(RunKey(command.workflow, command.run)).parent_mark()
            if mark is None or (mark.run, mark.command) != (log.key.run, command.n):
                found.append(
                    f"{log.key}: heard of the end of {command.run} as command {command.n}, its log says {mark}"
                )
    return found


def one_at_a_time(case: Case) -> list[str]:
    """But for `allow_all`, a run begins when the one before has ended: in the log, and by the server's clock."""
    found: list[str] = []
    for log in _schedules(case):
        if args_of(log).schedule.overlap == "allow_all":
            continue
        ends, open_runs = ends_of(log), dict[int, str]()
        for entry in log.entries:
            started = [c for c in entry.record.commands if isinstance(c, StartChild)]
            ended = [n for n, (where, _, _) in ends.items() if where.seq <= entry.seq]
            open_runs = {n: run for n, run in open_runs.items() if n not in ended}
            if (open_runs and started) or len(started) > 1:
                names = ", ".join(command.run for command in started)
                found.append(f"{log.key}: record {entry.record.k} starts {names} while {open_runs} go on")
            open_runs.update({command.n: command.run for command in started})
        lives = [life for _, command in started_by(log) if (life := _life(case, command)) is not None]
        found += [
            f"{log.key}: {other} began {(ended_us - began_us) / 1e6:.3f} s before {one} ended"
            for (one, _, ended_us), (other, began_us, _) in pairwise(lives)
            if began_us < ended_us
        ]
    return found


def policies_hold(case: Case) -> list[str]:
    """What comes while a run is under way is passed over, kept or begun as the policy says, in order of time."""
    found: list[str] = []
    for log in _schedules(case):
        overlap = args_of(log).schedule.overlap
        ends = ends_of(log)
        times = [(entry, c, at_us) for entry, c in started_by(log) if (at_us := nominal_us(c.run)) is not None]
        cancelled = {c.target for entry in log.entries for c in entry.record.commands if isinstance(c, CancelChild)}
        for (_, one, one_us), (_, other, other_us) in pairwise(times):
            if other_us <= one_us:
                found.append(f"{log.key}: {other.run} was started after {one.run}")
            told = ends.get(one.n)
            is_over = told is not None and told[2] <= other_us
            if overlap == "skip" and not is_over:
                found.append(f"{log.key}: {other.run} was due while {one.run} went on, and is not passed over")
            if overlap == "cancel_other" and not is_over and one.n not in cancelled:
                found.append(f"{log.key}: {other.run} was due while {one.run} went on, which was not cancelled")
        if overlap != "cancel_other" and cancelled:
            found.append(f"{log.key}: {overlap} has cancelled {sorted(cancelled)}")
    return found


def pauses_hold(case: Case) -> list[str]:
    """No run is started for a time that passed while the schedule was paused."""
    found: list[str] = []
    for log in _schedules(case):
        paused_us = 0
        for message, order in orders_in(log):
            if order["do"] == "pause":
                paused_us = paused_us or message.at_us
            elif order["do"] == "resume" and paused_us:
                found += [
                    f"{log.key}: {command.run} was started, although the schedule was on pause then"
                    for _, command in started_by(log)
                    if paused_us < (nominal_us(command.run) or 0) <= message.at_us
                ]
                paused_us = 0
    return found


def caught_up(case: Case) -> list[str]:
    """No run is started for a time longer ago than `catch_up`, when that was known; none before its time."""
    found: list[str] = []
    for log in _schedules(case):
        schedule = args_of(log).schedule
        heard_us = {entry.record.k: newest_us for entry, newest_us in _heard(log)}
        for entry, command in started_by(log):
            at_us = nominal_us(command.run)
            if at_us is None:
                continue
            if entry.at_us < at_us:
                found.append(f"{log.key}: {command.run} was started {(at_us - entry.at_us) / 1e6:.3f} s early")
            if schedule.overlap == "allow_all" and heard_us[entry.record.k] - at_us > schedule.catch_up_us:
                late_s = (heard_us[entry.record.k] - at_us) / 1e6
                found.append(f"{log.key}: {command.run} was started {late_s:.1f} s late, beyond catch_up")
    return found


def _heard(log: RunLog) -> list[tuple[Entry, int]]:
    """Tells for each record the newest time that the decisions before it have heard of; what is kept or carried is heard later."""
    found: list[tuple[Entry, int]] = []
    newest_us = kept_us = 0
    for entry in log.entries:
        found.append((entry, newest_us))
        kept_us = max([kept_us, *(folded.at_us for folded in entry.record.messages)])
        record = entry.record
        if not (record.undecided or record.kept or record.more or record.continued is not None):
            newest_us = kept_us
    return found


def _schedules(case: Case) -> list[RunLog]:
    found = [log for log in case.logs() if log.key.workflow == SCHEDULE_WORKFLOW]
    return [log for log in found if any(message.verb == "start" for _, message in log.messages())]


def _life(case: Case, command: StartChild) -> tuple[str, int, int] | None:
    """Tells when a child that was begun by this very command began and ended, by the server's clock."""
    log = case.log_of(RunKey(command.workflow, command.run))
    for entry in log.entries:
        start = entry.record.start
        if start is not None:
            is_ours = start.parent is not None and start.parent.command == command.n
            return (command.run, entry.at_us, log.entries[-1].at_us) if is_ours and log.outcome else None
    return None


SCHEDULE_INVARIANTS = [
    Invariant("I23", "a time of a schedule has at most one run", one_run_per_time),
    Invariant("I23", "runs of a schedule overlap only where that is allowed", one_at_a_time),
    Invariant("I23", "what comes while a run is under way fares as the policy says", policies_hold),
    Invariant("I23", "a schedule on pause starts nothing for that time", pauses_hold),
    Invariant("I23", "nothing is started early, or beyond catch_up", caught_up),
]
