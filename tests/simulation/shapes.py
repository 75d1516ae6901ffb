"""Shapes: the kinds of runs of a simulation, each with what is right for it, computed without the engine."""

from __future__ import annotations

from random import Random
from typing import cast

import msgspec

from campaign.graph_shapes import GRAPH_SHAPES
from campaign.plans import Shape
from campaign.run_logs import RunLog
from campaign.schedule_plans import schedule_shape
from campaign.step_shapes import announced, crawling, hurried, inlined, ledger, transient
from jetrun.actors.commands import OpenHook, StartTimer
from jetrun.actors.schedule import OVERLAPS

FAILURES_OF_FLAKY = 4
"""One attempt and three retries."""


def _completed(log: RunLog, expected: object) -> str:
    outcome = log.outcome
    assert outcome is not None
    if outcome.status != "completed":
        return f"{outcome.status} ({outcome.error.message if outcome.error else outcome.reason})"
    found = msgspec.json.decode(outcome.result)
    return "" if found == expected else f"returned {found!r} instead of {expected!r}"


def _chain(args: list[object], log: RunLog) -> str:
    first, steps = cast("tuple[int, int]", args)
    return _completed(log, sum(2 * n for n in range(first, first + steps)))


def _fan(args: list[object], log: RunLog) -> str:
    first, width = cast("tuple[int, int]", args)
    return _completed(log, [2 * n for n in range(first, first + width)])


def _retrying(args: list[object], log: RunLog) -> str:
    return _completed(log, [args[0], FAILURES_OF_FLAKY])


def _sleepy(args: list[object], log: RunLog) -> str:
    spans = cast("list[int]", args[0])
    return _completed(log, sum(2 * index for index in range(len(spans)))) or _took(log, sum(spans))


def _monitor(args: list[object], log: RunLog) -> str:
    rounds = cast(int, args[0])
    return _completed(log, rounds) or _took(log, 200 * rounds)


def _took(log: RunLog, least_ms: int) -> str:
    took_ms = (log.entries[-1].at_us - log.entries[0].record.messages[0].at_us) / 1000
    return "" if took_ms >= least_ms else f"slept {took_ms:.0f} ms instead of {least_ms} ms at least"


def _collect(args: list[object], log: RunLog) -> str:
    return _completed(log, list(range(cast(int, args[0]))))


def _fickle(args: list[object], log: RunLog) -> str:
    number, failures = cast("tuple[int, int]", args)
    return _completed(log, [2 * number, 0, failures + 1])


def _race(_args: list[object], log: RunLog) -> str:
    """What the server accepted before the deadline beats the deadline, what came later does not (R14)."""
    timer = next(iter(log.timers().values()), None)
    hooks = log.hooks("go")
    opened = next((e for e in log.entries if any(isinstance(c, OpenHook) for c in e.record.commands)), None)
    if opened is None:
        return "the hook was never opened"
    is_early = bool(hooks) and timer is None
    is_taken = is_early or (bool(hooks) and timer is not None and hooks[0][1].at_us < timer.due_at_us)
    return _completed(log, 7 if is_taken else -1)


def _limited(_args: list[object], log: RunLog) -> str:
    timer = next(n for e in log.entries for c in e.record.commands if isinstance(c, StartTimer) for n in [c.n])
    return _completed(log, "late" if timer in log.fired() else "done")


def _stamps(_args: list[object], log: RunLog) -> str:
    values = [log.value_of(command) for command in sorted(log.steps())]
    return _completed(log, [None if value is None else msgspec.json.decode(value) for value in values])


def _bulky(args: list[object], log: RunLog) -> str:
    _, size, pieces = cast("tuple[str, int, int]", args)
    return _completed(log, sum(size + len(str(piece)) for piece in range(pieces)))


def _family(args: list[object], log: RunLog) -> str:
    first, width, _ = cast("tuple[int, int, float]", args)
    return _completed(log, [*(2 * (first + k) + 2 * (first + k + 1) for k in range(width)), "cancelled"])


def _tour(args: list[object], log: RunLog) -> str:
    seats, wanted = cast("tuple[int, int]", args)
    if wanted <= seats:
        return _completed(log, wanted)
    outcome = log.outcome
    assert outcome is not None
    if outcome.status != "failed" or outcome.error is None or "Sold" not in outcome.error.type + outcome.error.message:
        return f"{outcome.status} ({outcome.error}) instead of a failure for a seat that is sold"
    given_back = [_seat(command.args) for _, command in log.steps().values() if command.name == "unbook"]
    expected = list(range(seats + 1, 0, -1))
    return "" if given_back == expected else f"gave back {given_back} instead of {expected}"


def _seat(args: msgspec.Raw) -> int:
    return cast("list[int]", msgspec.json.decode(args))[0]


def _capped(_args: list[object], log: RunLog) -> str:
    outcome = log.outcome
    assert outcome is not None
    is_right = outcome.status == "failed" and outcome.error is not None and outcome.error.code == "max_duration"
    return "" if is_right else f"{outcome.status} ({outcome.error}) instead of a failure for its max_duration"


def _picky(args: list[object], log: RunLog) -> str:
    return _completed(log, list(range(cast(int, args[0]))))


def _items(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    after_s = rng.uniform(-2, 3)
    found: list[tuple[str, object, float]] = []
    for item in range(cast(int, args[0])):
        found.append(("item", item, after_s))
        after_s += rng.choice([0.0, rng.uniform(0, 2)])
    return found


def _numbers(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    after_s = rng.uniform(0, 3)
    found: list[tuple[str, object, float]] = []
    for item in range(cast(int, args[0])):
        if rng.random() < 0.4:
            found.append(("number", f"{item}", after_s))
        found.append(("number", item, after_s))
        after_s += rng.choice([0.0, rng.uniform(0, 1)])
    return found


def _one_item(_args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    return [("item", 0, rng.uniform(-1, 3))]


def _entries(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    after_s = rng.uniform(-2, 3)
    found: list[tuple[str, object, float]] = []
    for number in range(cast(int, args[0])):
        found += [("enter", -1 - number, after_s)] if rng.random() < 0.3 else []
        found.append(("enter", number, after_s))
        after_s += rng.choice([0.0, rng.uniform(0, 2)])
    return found


def _go(args: list[object], rng: Random) -> list[tuple[str, object, float]]:
    deadline_s = cast(int, args[0]) / 1000
    after_s = rng.choice([-0.5, rng.uniform(0, deadline_s), deadline_s + rng.uniform(-0.05, 0.05), deadline_s + 1])
    return [("go", 7, after_s)] if rng.random() < 0.9 else []


SHAPES: list[Shape] = [
    Shape("chain", lambda rng: [rng.randrange(100), rng.randint(1, 6)], _chain),
    Shape("fan", lambda rng: [rng.randrange(100), rng.choice([2, 5, 12])], _fan),
    Shape("retrying", lambda rng: [rng.randrange(100), rng.randint(0, 3)], _retrying),
    Shape(
        "sleepy", lambda rng: [[rng.choice([5, 80, 300, 900, 2500, 9000]) for _ in range(rng.randint(1, 3))]], _sleepy
    ),
    Shape("monitor", lambda rng: [rng.randint(3, 15)], _monitor),
    Shape("collect", lambda rng: [rng.randint(1, 6)], _collect, hooks=_items),
    Shape("relay", lambda rng: [rng.randint(2, 12), rng.randint(1, 4), []], _collect, hooks=_items),
    Shape("fickle", lambda rng: [rng.randrange(100), rng.randint(0, 3)], _fickle, hooks=_one_item),
    Shape("race", lambda rng: [rng.choice([100, 400, 1500, 6000])], _race, hooks=_go),
    Shape("limited", lambda rng: [rng.choice([0.01, 0.3, 2.0, 12.0]), rng.choice([0.3, 1.0, 5.0])], _limited),
    Shape("stamps", lambda rng: [rng.randint(1, 5)], _stamps),
    Shape("bulky", lambda rng: [rng.choice("abc"), *rng.choice([[900, 9], [1500, 3], [10, 4], [700, 20]])], _bulky),
    Shape(
        "bulky", lambda rng: [rng.choice("abc"), 700, 20], _bulky
    ),  # once more: decisions of several records are rare
    Shape("tour", lambda rng: [*rng.choice([[3, 3], [2, 4], [0, 2], [4, 4]])], _tour),
    Shape("capped", lambda rng: [rng.randint(0, 3)], _capped),
    Shape("picky", lambda rng: [rng.randint(1, 3)], _picky, hooks=_numbers),
    Shape("ledger", lambda rng: [rng.randint(1, 6)], ledger, updates=_entries),
    Shape("family", lambda rng: [rng.randrange(100), rng.randint(1, 3), rng.choice([0.2, 1.0])], _family),
    Shape("inlined", lambda rng: [rng.randrange(100), rng.randint(1, 3)], inlined),
    Shape("hurried", lambda rng: [rng.randint(1, 100), rng.randint(0, 3), rng.choice([0.01, 1.0, 1.9, 9.0])], hurried),
    Shape("crawling", lambda rng: [rng.randint(2, 12), rng.randint(0, 1)], crawling),
    Shape("announced", lambda rng: [rng.randint(1, 4)], announced, hooks=_items),
    Shape("streamed", lambda rng: [rng.randint(1, 6)], _collect, hooks=_items),
    Shape("transient", lambda rng: [rng.randrange(100), rng.randrange(100)], transient),
    *(schedule_shape(overlap, lives_s=(2.0, 14.0)) for overlap in OVERLAPS),
    *GRAPH_SHAPES,
    Shape("patient", lambda rng: [rng.random() < 0.5], lambda _args, log: f"{log.status} by itself", is_endless=True),
]
"""All shapes; a seed draws some of them."""


def judge_of(workflow: str) -> Shape:
    """Finds a workflow's shape."""
    return next(shape for shape in SHAPES if shape.workflow == workflow)
