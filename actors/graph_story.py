"""A graph's moves as a reader is shown them, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

import msgspec

from .durations import format_instant
from .graph_moves import (
    Began,
    Broken,
    Delayed,
    Ended,
    Finished,
    ItemEnded,
    ItemsStarted,
    Move,
    Skipped,
    Started,
    Stopped,
    Took,
)

_WHY = {
    "failure": "a failure is not handled",
    "fail": "a task went to `fail`",
    "broken": "the definition could not be followed",
    "cancel": "cancelled",
    "limit": "a limit was reached",
}


def story_of(moves: Iterable[Move]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Tells moves in their order: kind of event, text, data."""
    for move in moves:
        kind, text = _told(move)
        yield kind, text, msgspec.to_builtins(move)


def _told(move: Move) -> tuple[str, str]:  # noqa: PLR0911  one kind of move after the other
    match move:
        case Began():
            return "graph.began", f"{', '.join(move.tasks)} {_json(move.variables)}"
        case Started():
            more = f", attempt {move.attempt}" if move.attempt > 1 else ""
            items = f", {len(move.items)} items" if move.items is not None else ""
            return "task.started", f"{_named(move.task, move.id)}{more}{items}"
        case Delayed():
            more = f", attempt {move.attempt}" if move.attempt > 1 else ""
            return "task.delayed", f"{_named(move.task, move.id)}{more} until {format_instant(move.due_at_us)}"
        case ItemsStarted():
            return "task.items", f"{_named(move.task, move.id)} items {move.first} to {move.first + move.count - 1}"
        case ItemEnded():
            return "task.item", f"{_named(move.task, move.id)} item {move.index} {move.status}"
        case Skipped():
            return "task.skipped", _named(move.task, move.id)
        case Ended():
            error = f": {move.error.type}: {move.error.message}" if move.error is not None else ""
            return f"task.{move.status}", f"{_named(move.task, move.id)}{error}"
        case Took():
            published = f" {_json(move.published)}" if move.published else ""
            return "task.took", f"#{move.id} transition {move.edge}{published}"
        case Broken():
            return "graph.broken", f"{move.kind}: {move.message}"
        case Stopped():
            return "graph.stopping", _WHY[move.why]
        case Finished():
            output = f" {_json(move.output)}" if move.output is not None else ""
            return "graph.finished", f"{move.status}{output}"
        case _:
            assert_never(move)


def _named(task: str, activation: int) -> str:
    return f"{task} #{activation}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
