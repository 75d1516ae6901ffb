"""Conformance cases of StackStorm's Orquesta: those of its own fixtures where they are at hand, else ours of the same shape.

Their README (`../shared/data/orquesta`) says how a case is run: in waves. Every task that may begin is begun, all of them
end in the order in which they have begun, and what has begun meanwhile is the next wave. Inside a wave Orquesta's order is
alphabetical and a graph's that of its definition, so waves are compared as multisets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_expression import Budget, ExpressionError, View
from jetrun.actors.graph_model import Graph

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_COMMANDS = frozenset({"noop", "continue", "fail", "retry"})
"""Orquesta has entries of these in its paths."""

_OURS = """
{"cases": [
 {"id": "ours_join_2of3_branch_running", "file": "ours-join.yaml", "inputs": {},
  "mock": [{"task": "c", "status": "running"}],
  "expect": {"sequence": ["s", "a", "b", "c", "j"], "status": "running"}},
 {"id": "ours_join_unreachable", "file": "ours-join.yaml", "inputs": {},
  "mock": [{"task": "b", "status": "failed"}, {"task": "c", "status": "failed"}],
  "expect": {"sequence": ["s", "a", "b", "c", "noop__r1", "noop__r2"], "status": "failed"}},
 {"id": "ours_loop", "file": "ours-loop.yaml", "inputs": {"rounds": 2},
  "mock": [{"task": "a", "result": "x", "at_sequence_index": 6}],
  "expect": {"sequence": ["s", "f", "a", "b", "j", "f", "a", "b", "j"], "status": "succeeded",
             "output": {"n": 2, "a": "x"}}}
]}
"""
_OUR_FILES = {
    "ours-join.yaml": """
tasks:
  s: {action: core.noop, next: [{do: "a, b, c"}]}
  a: {action: core.noop, next: [{do: j}]}
  b: {action: core.noop, next: [{when: <% succeeded() %>, do: j}, {when: <% failed() %>, do: noop}]}
  c: {action: core.noop, next: [{when: <% succeeded() %>, do: j}, {when: <% failed() %>, do: noop}]}
  j: {action: core.noop, join: 2}
""",
    "ours-loop.yaml": """
input: [rounds]
vars: [{n: 0}]
tasks:
  s: {action: core.noop, next: [{do: f}]}
  f: {action: core.noop, next: [{do: [a, b]}]}
  a: {action: core.noop, next: [{publish: [{a: <% result() %>}], do: j}]}
  b: {action: core.noop, next: [{publish: [{n: <% ctx().n + 1 %>}], do: j}]}
  j: {action: core.noop, join: all, next: [{when: <% ctx().n < ctx().rounds %>, do: f}]}
output: [{n: <% ctx().n %>}, {a: <% ctx().a %>}]
""",
}


class Mock(msgspec.Struct, frozen=True):
    """What some executions of a task come to."""

    task: str
    status: str = "succeeded"
    result: Any = None
    times: int = 0
    """Only its first executions; 0 for all."""
    at_sequence_index: int = -1
    """Only the execution that is this entry of the path."""
    item: int = -1


class Expected(msgspec.Struct, frozen=True):
    """What Orquesta has made of it."""

    sequence: list[str]
    status: str
    output: dict[str, Any] | None = None
    terminal_tasks: list[str] = []


class Case(msgspec.Struct, frozen=True):
    """One scenario."""

    id: str
    file: str
    inputs: dict[str, Any]
    mock: list[Mock]
    expect: Expected

    @property
    def text(self) -> str:
        """The definition, as it is written."""
        if self.file in _OUR_FILES:
            return _OUR_FILES[self.file]
        return (DATA / "orquesta" / self.file).read_text()

    @property
    def graph(self) -> Graph:
        return Definition.of(self.text).graph

    @property
    def path(self) -> list[str]:
        """Tasks in the order in which they came to be, without Orquesta's own entries and its routes."""
        return [task for task in map(_task, self.expect.sequence) if task not in _COMMANDS]

    def outcome(self, task: str, execution: int, index: int | None = None) -> Mock:
        """Tells what an execution comes to.

        Args:
            execution: Which one of this task, from 0.
            index: The item's.
        """
        for mock in self.mock:
            if mock.task != task or (mock.item >= 0 and mock.item != index):
                continue
            if mock.times and execution >= mock.times:
                continue
            if mock.at_sequence_index >= 0 and execution != self._execution_at(mock.at_sequence_index):
                continue
            return mock
        return Mock(task)

    def status(self, task: str, execution: int) -> str:
        """Tells how an execution ends; where it has items, one that fails is enough."""
        outcomes = [self.outcome(task, execution, mock.item) for mock in self.mock if mock.task == task]
        return next((mock.status for mock in outcomes if mock.status != "succeeded"), "succeeded")

    def _execution_at(self, index: int) -> int:
        before = [_task(entry) for entry in self.expect.sequence[: index + 1]]
        return before.count(before[-1]) - 1


def _task(entry: str) -> str:
    return entry.partition("__")[0]


def cases() -> list[Case]:
    """Reads the cases that are at hand."""
    path = DATA / "orquesta" / "cases.json"
    raw = path.read_bytes() if path.exists() else _OURS.encode()

    class Cases(msgspec.Struct):
        cases: list[Case]

    return msgspec.json.decode(raw, type=Cases).cases


def waves_of(case: Case) -> list[Counter[str]]:
    """Cuts Orquesta's path into its waves.

    A task belongs to the next wave as long as one of this wave may lead to it, and not more often than that. A wave in
    which nothing has an action is one with the wave that follows: there is nothing to wait for.
    """
    graph, left = case.graph, case.path
    executed: Counter[str] = Counter()
    waves: list[Counter[str]] = []
    tokens = Counter(graph.entries)
    while left:
        wave: Counter[str] = Counter()
        for task in left:
            if wave[task] == tokens[task]:
                break
            wave[task] += 1
        assert wave, f"nothing of {waves[-1]} leads to {left[0]}"
        waves.append(wave)
        left = left[wave.total() :]
        tokens = Counter()
        for task in wave.elements():
            tokens.update(_targets(graph, task, case.status(task, executed[task])))
            executed[task] += 1
    return _merged(graph, waves)


def _targets(graph: Graph, task: str, status: str) -> Iterator[str]:
    """Finds where a task that has ended so may lead: a condition that asks for more than its status may hold."""
    view = View(status=status, result=None)
    for edge in graph.tasks[task].edges:
        with suppress(ExpressionError):
            if edge.when is not None and edge.when.evaluate(view, Budget(steps=1000, size=1000)) is False:
                continue
        yield from edge.targets


def _merged(graph: Graph, waves: list[Counter[str]]) -> list[Counter[str]]:
    merged: list[Counter[str]] = []
    is_instant = False
    for wave in waves:
        if is_instant:
            merged[-1] += wave
        else:
            merged.append(wave)
        is_instant = all(graph.tasks[task].action is None for task in wave)
    return merged
