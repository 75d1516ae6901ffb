"""How a graph run ends: judged once, when nothing is under way and nothing may start."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from .errors import ErrorInfo
from .graph_model import Graph
from .graph_moves import FAILURES, Finished
from .graph_state import State

_SHOWN_MAX: Final = 10


def judged(graph: Graph, state: State, output: dict[str, object] | None) -> Finished:
    """Tells how a run has ended.

    Cancelled before all else; failed where a task's failure was not handled, the definition was broken, or a join has
    arrivals and can never be met; else succeeded.
    """
    if state.is_cancelled:
        return Finished(status="cancelled", output=output)
    if state.failed:
        return Finished(status="failed", output=output, error=_failure(graph, state))
    if state.joins:
        text = "; ".join(islice(_unmet(graph, state), _SHOWN_MAX))
        return Finished(
            status="failed", output=output, error=ErrorInfo(type="GraphError", message=text, code="join_unreachable")
        )
    return Finished(status="succeeded", output=output)


def _failure(graph: Graph, state: State) -> ErrorInfo:
    texts: list[str] = []
    for failure in state.failures[:_SHOWN_MAX]:
        if failure.status in FAILURES:
            texts.append(
                f"task {failure.task!r} {_verb(failure.status)}: {failure.error.type}: {failure.error.message}"
            )
        else:
            texts.append(failure.error.message)
    if state.failed > len(texts):
        texts.append(f"and {state.failed - len(texts)} more failures")
    blocked = list(islice(_blocked(graph, state), _SHOWN_MAX))
    if blocked:
        texts.append("blocked: " + ", ".join(blocked))
    first = state.failures[0]
    code = "task_failed" if first.status in FAILURES else first.error.code
    return ErrorInfo(type="GraphError", message="; ".join(texts), code=code)


def _verb(status: str) -> str:
    return {"timeout": "timed out", "cancelled": "was cancelled"}.get(status, "failed")


def _unmet(graph: Graph, state: State) -> Iterator[str]:
    for (join, _, _), instance in state.joins.items():
        is_short = False
        for group in graph.tasks[join].join:
            arrived = [task for task in graph.tasks if task in group.predecessors and task in instance.arrivals]
            missing = [task for task in graph.tasks if task in group.predecessors and task not in instance.arrivals]
            if len(arrived) < group.need:
                is_short = True
                names = _named(arrived) or "nobody"
                yield (
                    f"join {join!r} is partially satisfied and cannot be reached: {names} arrived, "
                    f"{group.need - len(arrived)} more of {_named(missing)} would be needed"
                )
        if not is_short:  # in a run that has begun another one again
            yield f"join {join!r} has all that it needs, and nobody has arrived to begin it"


def _named(tasks: list[str]) -> str:
    more = len(tasks) - _SHOWN_MAX
    return ", ".join(tasks[:_SHOWN_MAX]) + (f" and {more} others" if more > 0 else "")


def _blocked(graph: Graph, state: State) -> Iterator[str]:
    """Names the tasks of a dependency graph that never began because of others."""
    if graph.form != "dependencies":
        return
    for name, task in graph.tasks.items():
        if state.counts.get(name):
            continue
        by = [
            other
            for group in task.join
            for other in graph.tasks
            if other in group.predecessors and state.statuses.get(other) not in ("succeeded", "skipped")
        ]
        yield f"{name} (by {_named(list(dict.fromkeys(by)))})" if by else name
