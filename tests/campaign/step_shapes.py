"""What is right for runs that lean on options of steps and hooks, and on updates; for campaigns and simulations alike."""

from __future__ import annotations

from typing import cast

import msgspec

from jetrun.actors.commands import OpenHook, RunStep
from jetrun.actors.messages import Update

from .run_logs import RunLog


def returned(log: RunLog) -> tuple[object, str]:
    """Reads what a run has returned, or what it came to instead."""
    outcome = log.outcome
    assert outcome is not None
    if outcome.status != "completed":
        return None, f"{outcome.status} ({outcome.error.message if outcome.error else outcome.reason})"
    return msgspec.json.decode(outcome.result), ""


def inlined(args: list[object], log: RunLog) -> str:
    """First attempts by the actor worker, retries by step workers: the same value."""
    first, count = cast("tuple[int, int]", args)
    expected = sum(n + 1 for n in range(first, first + count)) + sum(n + 1 for n in range(count))
    found, problem = returned(log)
    if problem or found != expected:
        return problem or f"returned {found!r} instead of {expected!r}"
    is_inline = all(command.inline for _, command in log.steps().values())
    return "" if is_inline else "a step was not inline"


def hurried(args: list[object], log: RunLog) -> str:
    """Each step has come to its value, or its time has passed and the fallback stands in its place."""
    number, failures, seconds = cast("tuple[int, int, float]", args)
    found, problem = returned(log)
    if problem:
        return problem
    one, other = cast("list[float]", found)
    steps = [command for _, command in log.steps().values()]
    hasty, dawdle = (next(c for c in steps if c.name == name) for name in ("hasty", "dawdle"))
    late_one, late_other = (_is_late(log, command) for command in (hasty, dawdle))
    is_stood_in = any(command.name == "instead" for command in steps)
    if one != (2 * number if is_stood_in else number) or other != (-1.0 if late_other else seconds):
        return f"returned {found}, fired {sorted(log.fired())}"
    if is_stood_in != late_one or (failures == 0 and is_stood_in and not late_one):
        return f"step {hasty.n} {'was' if late_one else 'was not'} late, and its fallback {'was' if is_stood_in else 'was not'} called"
    return ""


def _is_late(log: RunLog, command: RunStep) -> bool:
    return command.n in log.fired() or _has_failed(log, command)


def _has_failed(log: RunLog, command: RunStep) -> bool:
    """Tells whether no attempt has succeeded: a retry that would have come too late is not waited for."""
    return log.value_of(command.n) is None


def crawling(args: list[object], log: RunLog) -> str:
    """An attempt goes on from what an earlier one has said: a hint, which may be an old one or lost."""
    rows = cast(int, args[0])
    found, problem = returned(log)
    if problem:
        return problem
    place, reached = cast("list[int]", found)
    return "" if reached == rows and 0 <= place <= rows else f"went on at {place} of {rows}, came to {reached}"


def announced(args: list[object], log: RunLog) -> str:
    """Each wait is announced once, before it is given what came."""
    count = cast(int, args[0])
    found, problem = returned(log)
    if problem or found != list(range(count)):
        return problem or f"returned {found!r}"
    told = [n for n, (_, command) in log.steps().items() if command.name == "announce"]
    opened = [c for entry in log.entries for c in entry.record.commands if isinstance(c, OpenHook)]
    if len(told) != count or len(opened) < count:
        return f"{len(opened)} waits, {len(told)} announcements for {count} hooks"
    silent = [n for n in told if log.value_of(n) is None]
    return f"announcements {silent} have not ended" if silent else ""


def transient(args: list[object], log: RunLog) -> str:
    """One step in the log, whatever the code does."""
    first, steps = cast("tuple[int, int]", args)
    found, problem = returned(log)
    if problem or found != first + steps:
        return problem or f"returned {found!r}"
    names = [command.name for _, command in log.steps().values()]
    return "" if names == ["workflow:transient"] else f"has steps {names} in its log"


def ledger(args: list[object], log: RunLog) -> str:
    """Each update that fits was applied once, and has its answer (I7)."""
    value, wrong = returned(log)
    if not wrong and value != list(range(cast(int, args[0]))):
        wrong = f"returned {value!r}"
    for _, message in log.messages():
        if isinstance(message.body, Update):
            number = cast("list[int]", msgspec.json.decode(message.body.args))[0]
            found = [
                (answer.is_refused, msgspec.json.decode(answer.result))
                for entry in log.entries
                for answer in entry.record.answers
                if answer.seq == message.seq
            ]
            is_late = any(refused.seq == message.seq for entry in log.entries for refused in entry.record.refused)
            if found != [(True, None) if number < 0 else (False, 10 * number)] and not (is_late and not found):
                wrong = wrong or f"update {message.body.id} of {number} was answered {found}"
    return wrong
