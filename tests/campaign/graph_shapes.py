"""Shapes of graph runs, with what is right for each computed without the engine; for campaigns and simulations alike."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final, cast

import msgspec

from jetrun.actors.commands import RunStep, StartTimer
from jetrun.actors.graph_workflow import GRAPH_WORKFLOW

from .graph_definitions import TEXTS
from .plans import Shape
from .run_logs import RunLog

Inputs = dict[str, object]
Hooks = list[tuple[str, object, float]]

SPANS_S: Final = (0.0, 0.05, 0.4, 1.5)


def _came_to(log: RunLog, expected: Inputs, *, code: str = "") -> str:
    """Compares output and error with what they have to be."""
    outcome = log.outcome
    assert outcome is not None
    found_code = outcome.error.code if outcome.error is not None else ""
    if outcome.status != ("failed" if code else "completed") or found_code != code:
        return f"{outcome.status} ({outcome.error or outcome.reason}) instead of {code or 'completed'}"
    found = msgspec.json.decode(outcome.result) if outcome.ref is None else expected
    return "" if found == expected else f"returned {found!r} instead of {expected!r}"


def _tasks(log: RunLog) -> Counter[str]:
    """Counts the steps that tasks have asked for."""
    return Counter(c.task for entry in log.entries for c in entry.record.commands if isinstance(c, RunStep))


def _given(args: list[object]) -> dict[str, int]:
    return cast("dict[str, int]", args[0])


def _counted(log: RunLog, **expected: int) -> str:
    found = _tasks(log)
    wrong = {task: found[task] for task, count in expected.items() if found[task] != count}
    return f"{wrong} steps instead of {expected}" if wrong else ""


# --- what is right ------------------------------------------------------------------------------------
def _diamond(args: list[object], log: RunLog) -> str:
    x, y = 2 * _given(args)["n"], 2 * _given(args)["n"] + 2
    return _came_to(log, {"x": x, "y": y, "sum": 2 * (x + y)}) or _counted(log, left=1, right=1, both=1)


def _late(_args: list[object], log: RunLog) -> str:
    """The join is met once, whoever comes third."""
    return _came_to(log, {"met": 1, "a": True, "b": True, "c": True}) or _counted(log, meet=1, after=1)


def _loop(args: list[object], log: RunLog) -> str:
    rounds = _given(args)["rounds"]
    expected: Inputs = {"page": rounds - 1, "seen": [2 * page for page in range(rounds)]}
    return _came_to(log, expected) or _counted(log, fetch=rounds, process=rounds, complete=1)


def _items(args: list[object], log: RunLog) -> str:
    width, seats = _given(args)["width"], _given(args)["seats"]
    booked = [seat if seat <= seats else None for seat in range(1, width + 1)]
    some = [2 * number for number in range(width)]
    expected: Inputs = {"all": booked, "some": some, "handled": width > seats}
    return _came_to(log, expected) or _counted(log, **{f"each[{n}]": 1 for n in range(width)})


def _retries(args: list[object], log: RunLog) -> str:
    n, failures = _given(args)["n"], _given(args)["failures"]
    last = n if failures <= 2 else -1
    again = min(failures, 2) + 1
    return _came_to(log, {"native": last, "again": last, "until": 6}) or _counted(log, native=1, again=again, until=3)


def _waits(_args: list[object], log: RunLog) -> str:
    """As for a `race`: what was accepted before the deadline beats it, what came later does not (R14)."""
    commands = [c for entry in log.entries for c in entry.record.commands]
    deadline = next((c for c in commands if isinstance(c, StartTimer) and c.what == "hook"), None)
    hooks = log.hooks("go")
    is_taken = bool(hooks) and (deadline is None or hooks[0][1].at_us < deadline.due_at_us)
    return _came_to(log, {"got": 7 if is_taken else -1}) or _counted(log, end=1)


def _parent(args: list[object], log: RunLog) -> str:
    n, seats = _given(args)["n"], _given(args)["seats"]
    return _came_to(log, {"inner": 2 * n if seats >= 2 else "task_failed", "fanned": [2 * n, 2 * n + 2]})


def _inner(args: list[object], log: RunLog) -> str:
    n, seats = _given(args)["n"], _given(args)["seats"]
    return _came_to(log, {"twice": 2 * n}, code="" if seats >= 2 else "task_failed")


def _steps(args: list[object], log: RunLog) -> str:
    given = _given(args)
    counts = _counted(log, build=1, lint=1 if given["lints"] else 0, shaky=1, test=1, notify=1)
    return _came_to(log, {"test": 4 * given["n"], "notify": 6}) or counts


def _fast(_args: list[object], log: RunLog) -> str:
    """The other branch goes on only if it was there first."""
    went_on = _tasks(log)["then"]
    return _came_to(log, {"done": bool(went_on)}, code="task_failed") or _counted(log, bad=1, slow=1)


def _drain(_args: list[object], log: RunLog) -> str:
    return _came_to(log, {"done": True}, code="task_failed") or _counted(log, bad=1, slow=1, then=1)


def _to_fail(_args: list[object], log: RunLog) -> str:
    return _came_to(log, {"cleaned": True, "more": False}, code="fail") or _counted(log, a=1, clean=1, more=0)


def _endless(_args: list[object], log: RunLog) -> str:
    return _came_to(log, {"turns": 4}, code="iteration_limit") or _counted(log, again=4)


def _long(args: list[object], log: RunLog) -> str:
    rounds = _given(args)["rounds"]
    expected: Inputs = {"total": sum(10 * n for n in range(rounds)), "n": rounds - 1, "heard": 0}
    return _came_to(log, expected) or _counted(log, add=rounds, meet=1)


def _bulky(args: list[object], log: RunLog) -> str:
    text, pieces = cast("tuple[str, int]", tuple(cast("Inputs", args[0]).values()))
    return _came_to(log, {"sizes": [len(text) + len(str(piece)) for piece in range(pieces)]}) or _counted(
        log, measure=1
    )


def _changing(args: list[object], log: RunLog) -> str:
    """Whoever goes on with it, and whatever that one knows under its name: a run keeps its definition."""
    n, tasks = _given(args)["n"], set(_tasks(log))
    if tasks == {"first", "second", "third"}:
        return _came_to(log, {"got": 8 * n})
    if tasks == {"first", "other"}:
        return _came_to(log, {"got": 4 * n + 2001})
    return f"has run tasks {sorted(tasks)}, which no definition has"


def _by_itself(_args: list[object], log: RunLog) -> str:
    return f"{log.status} by itself"


# --- what they are sent ---------------------------------------------------------------------------------
def _go(args: list[object], rng: Random) -> Hooks:
    deadline_s = cast("dict[str, float]", args[0])["seconds"] + 1.5
    after_s = rng.choice([-0.5, rng.uniform(0, deadline_s), deadline_s + rng.uniform(-0.05, 0.05), deadline_s + 1])
    return [("go", 7, after_s)] if rng.random() < 0.9 else []


def _item(_args: list[object], rng: Random) -> Hooks:
    return [("item", 0, rng.uniform(-1, 4))]


# --- the shapes -----------------------------------------------------------------------------------------
def _of_number(rng: Random) -> Inputs:
    return {"n": rng.randrange(30)}


def _of_spans(rng: Random) -> Inputs:
    return {"spans": [rng.choice(SPANS_S) for _ in range(3)]}


def _of_text(rng: Random) -> list[object]:
    size, pieces = rng.choice([(900, 9), (700, 20), (10, 4), (10, 60)])
    return [{"text": rng.choice("abc") * size, "pieces": pieces}]


GRAPH_SHAPES: Final[list[Shape]] = [
    Shape("g-diamond", lambda rng: [_of_number(rng)], _diamond, is_by_name=True),
    Shape("g-late", lambda rng: [{**_of_spans(rng), **_of_number(rng)}], _late, is_by_name=True),
    Shape("g-loop", lambda rng: [{"rounds": rng.randint(1, 6)}], _loop, is_by_name=True),
    Shape(
        "g-items",
        lambda rng: [{"width": rng.randint(0, 6), "seats": rng.choice([1, 3, 9]), "room": rng.randint(1, 4)}],
        _items,
        is_by_name=True,
    ),
    Shape("g-retries", lambda rng: [{**_of_number(rng), "failures": rng.randint(0, 4)}], _retries, is_by_name=True),
    Shape("g-waits", lambda rng: [{"seconds": rng.choice([0.0, 0.3, 2.0])}], _waits, hooks=_go, is_by_name=True),
    Shape("g-parent", lambda rng: [{**_of_number(rng), "seats": rng.randint(1, 3)}], _parent, is_by_name=True),
    Shape("g-inner", lambda rng: [{**_of_number(rng), "seats": rng.randint(1, 3)}], _inner, is_by_name=True),
    Shape(
        "g-steps",
        lambda rng: [{**_of_number(rng), "seats": rng.randint(1, 3), "lints": rng.random() < 0.5}],
        _steps,
        is_by_name=True,
    ),
    Shape("g-fast", lambda rng: [_of_spans(rng)], _fast, is_by_name=True),
    Shape("g-drain", lambda rng: [_of_spans(rng)], _drain, is_by_name=True),
    Shape("g-to-fail", lambda rng: [_of_number(rng)], _to_fail, is_by_name=True),
    Shape("g-endless", lambda rng: [_of_number(rng)], _endless, is_by_name=True),
    Shape("g-long", lambda rng: [{"rounds": rng.randint(2, 12)}], _long, hooks=_item, is_by_name=True),
    Shape("g-bulky", _of_text, _bulky, is_by_name=True),
    Shape("g-changing", lambda rng: [_of_number(rng)], _changing, is_by_name=True),
    Shape("g-patient", lambda rng: [_of_number(rng)], _by_itself, is_endless=True, is_by_name=True),
    Shape("g-finish", lambda rng: [_of_number(rng)], _by_itself, is_endless=True, is_by_name=True),
]

_BRINGING: Final = [shape for shape in GRAPH_SHAPES if shape.workflow in TEXTS and not shape.is_endless]


def _bring(rng: Random) -> list[object]:
    """Draws a run of `jetrun-graph`: a definition, as text or as data, and its input."""
    shape = rng.choice(_BRINGING)
    return [{"definition": TEXTS[shape.workflow], "input": shape.draw(rng)[0]}]


def _brought(args: list[object]) -> tuple[Shape, list[object]]:
    given = cast("dict[str, object]", args[0])
    shape = next(shape for shape in _BRINGING if TEXTS[shape.workflow] == given["definition"])
    return shape, [given["input"]]


def _judge_brought(args: list[object], log: RunLog) -> str:
    shape, inputs = _brought(args)
    return shape.judge(inputs, log)


def _hooks_brought(args: list[object], rng: Random) -> Hooks:
    shape, inputs = _brought(args)
    return [] if shape.hooks is None else shape.hooks(inputs, rng)


GRAPH_SHAPES.append(Shape(GRAPH_WORKFLOW, _bring, _judge_brought, hooks=_hooks_brought, is_by_name=True))
