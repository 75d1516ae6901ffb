"""Shapes: the kinds of runs, each with what is right for it, computed without the engine."""

from __future__ import annotations

from random import Random
from typing import cast

import msgspec

from jetrun.actors.commands import OpenHook, StartTimer
from jetrun.actors.schedule import OVERLAPS

from .graph_shapes import GRAPH_SHAPES
from .plans import Shape
from .run_logs import RunLog
from .schedule_plans import schedule_shape
from .step_shapes import announced, crawling, hurried, inlined, ledger, transient


def _completed(log: RunLog, expected: object) -> str:
    """Compares a completed run's result with what it has to be."""
    outcome = log.outcome
    assert outcome is not None
    if outcome.status != "completed":
        return f"{outcome.status} ({outcome.error.message if outcome.error else outcome.reason})"
    found = msgspec.json.decode(outcome.result)
    return "" if found == expected else f"returned {found!r} instead of {expected!r}"


def _chain(args: list[object], log: RunLog) -> str:
    first, steps = cast("tuple[int, int]", args)
    return _completed(log, sum(n * n if n % 3 == 0 else 2 * n for n in range(first, first + steps)))


def _fan(args: list[object], log: RunLog) -> str:
    first, width = cast("tuple[int, int]", args)
    return _completed(log, [2 * n for n in range(first, first + width)])


def _retrying(args: list[object], log: RunLog) -> str:
    return _completed(log, [args[0], 5])


def _sleepy(args: list[object], log: RunLog) -> str:
    spans = cast("list[int]", args[0])
    if problem := _completed(log, sum(2 * index for index in range(len(spans)))):
        return problem
    begun_us = log.entries[0].record.messages[0].at_us
    ended_us = log.entries[-1].at_us
    took_ms = (ended_us - begun_us) / 1000
    return "" if took_ms >= sum(spans) else f"slept {took_ms:.0f} ms instead of {sum(spans)} ms at least"


def _collect(args: list[object], log: RunLog) -> str:
    return _completed(log, list(range(cast(int, args[0]))))


def _fickle(args: list[object], log: RunLog) -> str:
    number, failures = cast("tuple[int, int]", args)
    return _completed(log, [2 * number, 0, failures + 1])


def _race(_args: list[object], log: RunLog) -> str:
    """What the server accepted before the deadline beats the deadline, what came later does not (R14)."""
    due_us = next((timer.due_at_us for timer in log.timers().values()), None)
    hooks = log.hooks("go")
    opened = next(e for e in log.entries if any(isinstance(c, OpenHook) for c in e.record.commands))
    is_taken = bool(hooks) and (due_us is None or hooks[0][1].at_us < due_us or hooks[0][0].record.k < opened.record.k)
    return _completed(log, 7 if is_taken else -1)


def _limited(_args: list[object], log: RunLog) -> str:
    timer = next(n for e in log.entries for c in e.record.commands if isinstance(c, StartTimer) for n in [c.n])
    return _completed(log, "late" if timer in log.fired() else "done")


def _stamps(_args: list[object], log: RunLog) -> str:
    values = [log.value_of(command) for command in sorted(log.steps())]
    return _completed(log, [None if value is None else msgspec.json.decode(value) for value in values])


def _bulky(args: list[object], log: RunLog) -> str:
    _, kilobytes, pieces = cast("tuple[str, int, int]", args)
    return _completed(log, sum(1024 * kilobytes + len(str(piece)) for piece in range(pieces)))


def _tour(args: list[object], log: RunLog) -> str:
    seats, wanted = cast("tuple[int, int]", args)
    if wanted <= seats:
        return _completed(log, wanted)
    outcome = log.outcome
    assert outcome is not None
    if outcome.status != "failed" or outcome.error is None or "Sold" not in outcome.error.type + outcome.error.message:
        return f"{outcome.status} ({outcome.error}) instead of a failure for a seat that is sold"
    return undone(log, seats + 1)


def _family(args: list[object], log: RunLog) -> str:
    first, width, _ = cast("tuple[int, int, float]", args)
    sums = [sum(n * n if n % 3 == 0 else 2 * n for n in (first + k, first + k + 1)) for k in range(width)]
    return _completed(log, [*sums, "cancelled"])


def undone(log: RunLog, booked: int) -> str:
    """Checks that what was booked was given back once, newest first (I25)."""
    given_back = [_seat(command.args) for _, command in log.steps().values() if command.name == "unbook"]
    expected = list(range(booked, 0, -1))
    return "" if given_back == expected else f"gave back {given_back} instead of {expected}"


def _seat(args: msgspec.Raw) -> int:
    return cast("list[int]", msgspec.json.decode(args))[0]


def _items(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    after_s = rng.uniform(-0.5, 1.5)
    found: list[tuple[str, object, float]] = []
    for item in range(cast(int, args[0])):
        found.append(("item", item, after_s))
        after_s += rng.choice([0.0, rng.uniform(0, 1)])
    return found


def _one_item(_args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    return [("item", 0, rng.uniform(-1, 3))]


def _entries(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    after_s = rng.uniform(-0.5, 1.5)
    found: list[tuple[str, object, float]] = []
    for number in range(cast(int, args[0])):
        found += [("enter", -1 - number, after_s)] if rng.random() < 0.3 else []
        found.append(("enter", number, after_s))
        after_s += rng.choice([0.0, rng.uniform(0, 1)])
    return found


def _go(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    deadline_s = cast(int, args[0]) / 1000
    after_s = rng.choice([-0.3, rng.uniform(0, deadline_s), deadline_s + rng.uniform(-0.05, 0.05), deadline_s + 1])
    return [("go", 7, after_s)] if rng.random() < 0.9 else []


SHAPES: list[Shape] = [
    Shape("chain", lambda rng: [rng.randrange(100), rng.randint(2, 10)], _chain),
    Shape("fan", lambda rng: [rng.randrange(100), rng.choice([5, 20, 60])], _fan),
    Shape("retrying", lambda rng: [rng.randrange(100), rng.randint(0, 3)], _retrying),
    Shape("sleepy", lambda rng: [[rng.choice([5, 80, 300, 900, 2500]) for _ in range(rng.randint(1, 4))]], _sleepy),
    Shape("collect", lambda rng: [rng.randint(1, 6)], _collect, hooks=_items),
    Shape("relay", lambda rng: [rng.randint(2, 12), rng.randint(1, 4), []], _collect, hooks=_items),
    Shape("fickle", lambda rng: [rng.randrange(100), rng.randint(0, 3)], _fickle, hooks=_one_item),
    Shape("race", lambda rng: [rng.choice([100, 400, 1500, 3000])], _race, hooks=_go),
    Shape("limited", lambda rng: [rng.choice([0.01, 0.3, 2.0]), rng.choice([0.3, 1.0])], _limited),
    Shape("stamps", lambda rng: [rng.randint(1, 6)], _stamps),
    Shape("bulky", lambda rng: [rng.choice("abc"), *rng.choice([[150, 5], [220, 2], [1, 3]])], _bulky),
    Shape("tour", lambda rng: [*rng.choice([[3, 3], [2, 4], [0, 2], [5, 5]])], _tour),
    Shape("family", lambda rng: [rng.randrange(100), rng.randint(1, 4), rng.choice([0.2, 1.0])], _family),
    Shape("ledger", lambda rng: [rng.randint(1, 6)], ledger, updates=_entries),
    Shape("inlined", lambda rng: [rng.randrange(100), rng.randint(1, 3)], inlined),
    Shape("hurried", lambda rng: [rng.randint(1, 99), rng.randint(0, 3), rng.choice([0.01, 0.9, 4.0])], hurried),
    Shape("crawling", lambda rng: [rng.randint(2, 20), rng.randint(0, 1)], crawling),
    Shape("announced", lambda rng: [rng.randint(1, 4)], announced, hooks=_items),
    Shape("streamed", lambda rng: [rng.randint(1, 6)], _collect, hooks=_items),
    Shape("transient", lambda rng: [rng.randrange(100), rng.randrange(100)], transient),
    *(schedule_shape(overlap, lives_s=(1.0, 6.0)) for overlap in OVERLAPS),
    *GRAPH_SHAPES,
    Shape("patient", lambda rng: [rng.random() < 0.5], lambda _args, log: f"{log.status} by itself", is_endless=True),
]
"""All shapes; a campaign has as many runs of each, and a schedule of each overlap policy."""


def judge_of(workflow: str) -> Shape:
    """Finds a workflow's shape."""
    return next(shape for shape in SHAPES if shape.workflow == workflow)
