"""Invariants of what logs promise to code and callers: cancels, links, ids, sagas, fans, answers to updates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

import msgspec

from jetrun.actors.commands import Advance, CancelChild, Close, Command, RunStep, StartChild
from jetrun.actors.messages import Start, Update
from jetrun.actors.records import ENDED, start_hash

from .audit import Case, Invariant
from .run_logs import Entry, RunLog

CLEANERS = frozenset({"tour"})
"""Workflows that do something when they are cancelled."""

FANS = frozenset({"fan", "stamps"})
"""Workflows that return the results of all their steps, which they ask for at once."""


# --- cancels ----------------------------------------------------------------------------------------
def acked_cancels_count(case: Case) -> list[str]:
    """An acknowledged cancel is in the log, or the end was there before it."""
    found: list[str] = []
    for key, plan in case.plans.items():
        log = case.log_of(key)
        folded = {message.body.id for _, message in log.messages() if message.verb == "cancel"}
        found += [
            f"{key}: cancel {letter.id} was acknowledged and is nowhere, and the run is {log.status}"
            for letter in plan.letters
            if letter.verb == "cancel" and letter.id in case.acked and letter.id not in folded and log.outcome is None
        ]
    return found


def nothing_new_after_cancel(case: Case) -> list[str]:
    """Once a cancel is applied, nothing is asked for but by cleanup."""
    found: list[str] = []
    for log in case.logs():
        is_cancelled = is_applied = False
        for entry in log.entries:
            record = entry.record
            if is_applied and log.key.workflow not in CLEANERS:
                new = [c for c in record.commands if not isinstance(c, (Advance, Close, CancelChild))]
                found += [f"{log.key}: record {record.k} asks for {type(c).__name__} {c.n}, cancelled" for c in new]
            is_cancelled = is_cancelled or any(folded.verb == "cancel" for folded in record.messages)
            # The decision that applies it may have asked for something before, for an earlier message; where a link
            # ended first, that is the next link's first one, whose code begins and is then cancelled.
            is_decided = not (record.undecided or record.more or record.kept or record.continued is not None)
            is_applied = is_applied or (is_cancelled and is_decided)
    return found


# --- links ------------------------------------------------------------------------------------------
def links_follow(case: Case) -> list[str]:
    """Links are numbered without gap, each in one place, and every record says where its own begins."""
    found: list[str] = []
    for log in case.logs():
        number, begun, asked = 1, (0, 0), 0
        for parts in _decisions(log):
            for part in parts:
                link = part.record.link
                where = (1, (0, 0)) if link is None else (link.n, (link.k, link.seq))
                if where != (number, begun):
                    found.append(f"{log.key}: record {part.record.k} is of link {where}, not of {(number, begun)}")
                if link is not None and link.commands != asked:
                    found.append(f"{log.key}: link {number} counts {link.commands} commands before it, not {asked}")
            last = parts[-1].record
            if last.continued is not None:
                number += 1
                if last.continued.link != number or last.outcome is not None:
                    found.append(f"{log.key}: record {last.k} begins link {last.continued.link}, not {number}")
                begun, asked = (last.k, parts[0].seq), last.summary.commands
    return found


def carried_once(case: Case) -> list[str]:
    """What a switch carries was sent to the old link, and is carried once; nothing that it has taken is."""
    found: list[str] = []
    for log in case.logs():
        known: set[tuple[str, int, int]] = set()
        for entry in log.entries:
            record = entry.record
            known.update((m.source, m.seq, m.at_us) for m in record.messages)
            carried = Counter((m.source, m.seq, m.at_us) for m in record.carried)
            found += [f"{log.key}: record {record.k} carries {what} twice" for what, n in carried.items() if n > 1]
            found += [
                f"{log.key}: record {record.k} carries {what}: never sent" for what in carried if what not in known
            ]
            if record.carried and record.continued is None and not record.more:
                found.append(f"{log.key}: record {record.k} carries messages and begins no link")
    return found


def _decisions(log: RunLog) -> Iterator[list[Entry]]:
    parts: list[Entry] = []
    for entry in log.entries:
        parts.append(entry)
        if not entry.record.more:
            yield parts
            parts = []


# --- ids --------------------------------------------------------------------------------------------
def one_run_per_id(case: Case) -> list[str]:
    """A log belongs to one start, whose arguments it holds; the same start again begins nothing."""
    found: list[str] = []
    for log in case.logs():
        starts = [message.body for _, message in log.messages() if isinstance(message.body, Start)]
        marks = [entry.record.start for entry in log.entries if entry.record.start is not None]
        if len(starts) > 1 or len({(mark.id, mark.hash) for mark in marks}) > 1:
            found.append(f"{log.key}: was started {len(starts)} times, by {[mark.id for mark in marks]}")
        plan = case.plans.get(log.key)
        if plan is None or not marks:
            continue
        sent = plan.letters[0].body
        hashed = start_hash(msgspec.json.encode(sent["args"]), msgspec.json.encode(sent.get("kwargs", {})))
        if marks[0].id != plan.letters[0].id or marks[0].hash != hashed:
            found.append(f"{log.key}: was started by {marks[0].id}, not by {plan.letters[0].id} with {plan.args}")
    return found


# --- sagas and fans -----------------------------------------------------------------------------------
def undone_in_reverse(case: Case) -> list[str]:
    """What a saga has booked is given back once when it fails or is cancelled, newest first; else nothing is."""
    found: list[str] = []
    for log in case.logs():
        if log.key.workflow != "tour" or log.outcome is None:
            continue
        booked = [_first_arg(c) for c in _steps(log, "book")]
        undone = [_first_arg(c) for c in _steps(log, "unbook")]
        expected = booked[::-1] if log.status in ("failed", "cancelled") else []
        if undone != expected[: len(undone)] or (log.status != "terminated" and len(undone) != len(expected)):
            if log.status == "terminated" and undone == booked[::-1][: len(undone)]:
                continue
            found.append(f"{log.key}: {log.status}, has booked {booked} and given back {undone}")
    return found


def joined_once(case: Case) -> list[str]:
    """Results of a fan are in the order of its items, one of each, and the end comes after all of them."""
    found: list[str] = []
    for log in case.logs():
        outcome = log.outcome
        if log.key.workflow not in FANS or outcome is None or outcome.status != "completed" or outcome.ref is not None:
            continue
        steps = sorted(log.steps())
        values = [log.value_of(n) for n in steps]
        decoded = [None if value is None else msgspec.json.decode(value) for value in values]
        if msgspec.json.decode(outcome.result) != decoded:
            found.append(f"{log.key}: returned {bytes(outcome.result)!r}, its steps in order came to {decoded}")
        if len({(command.name, bytes(command.args)) for _, command in log.steps().values()}) != len(steps):
            found.append(f"{log.key}: an item has two steps")
    return found


def _steps(log: RunLog, name: str) -> Iterator[RunStep]:
    yield from (command for _, command in sorted(log.steps().values(), key=_number) if command.name == name)


def _number(found: tuple[Entry, RunStep]) -> int:
    return found[1].n


def _first_arg(command: RunStep) -> object:
    return cast("list[object]", msgspec.json.decode(command.args))[0]


# --- updates ------------------------------------------------------------------------------------------
def answered_once(case: Case) -> list[str]:
    """Every update that a run has applied has one answer, in a record not before it; every answer has an update."""
    found: list[str] = []
    for log in case.logs():
        sent = {(m.source, m.seq): (e.record.k, m) for e, m in log.messages() if isinstance(m.body, Update)}
        answers = Counter[tuple[str, int]]()
        refused = {(r.source, r.seq) for entry in log.entries for r in entry.record.refused}
        for entry in log.entries:
            for answer in entry.record.answers:
                where = (answer.source, answer.seq)
                answers[where] += 1
                if where not in sent or sent[where][0] > entry.record.k or sent[where][1].body.id != answer.id:
                    found.append(f"{log.key}: record {entry.record.k} answers {where}, which is no update by then")
        for where, (k, message) in sent.items():
            count = answers[where] + (where in refused)
            if count > 1 or (log.status in ENDED and not count):
                found.append(f"{log.key}: update {message.body.id} of record {k} has {count} answers")
    return found


def commands_of(log: RunLog) -> Iterator[Command]:
    """Yields all that a run has asked for."""
    for entry in log.entries:
        yield from entry.record.commands


def children_once(case: Case) -> list[str]:
    """A child is asked for under one command, and tells the end of that one alone."""
    found: list[str] = []
    for log in case.logs():
        asked = Counter((c.workflow, c.run, c.hash) for c in commands_of(log) if isinstance(c, StartChild))
        if log.key.workflow == "family":
            found += [f"{log.key}: child {what} is asked for {n} times" for what, n in asked.items() if n > 1]
    return found


LOG_INVARIANTS = [
    Invariant("I7", "an update is answered once, and refused or applied", answered_once),
    Invariant("I19", "an acknowledged cancel is applied, or came after the end", acked_cancels_count),
    Invariant("I19", "nothing is asked for after a cancel but by cleanup", nothing_new_after_cancel),
    Invariant("I20", "a child is asked for once", children_once),
    Invariant("I21", "links follow each other without gap", links_follow),
    Invariant("I21", "what a switch carries was sent, and is carried once", carried_once),
    Invariant("I22", "an id has one run, that of its start", one_run_per_id),
    Invariant("I25", "a saga undoes what it has done, newest first", undone_in_reverse),
    Invariant("I26", "a fan joins once, in the order of its items", joined_once),
]
