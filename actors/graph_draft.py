"""A graph between its definition and its checks: what was read, with the place of everything that a check may blame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from .graph_model import Edge, Task
from .graph_problem import Path


class Use(msgspec.Struct, frozen=True):
    """An expression that reads variables."""

    path: Path
    names: tuple[str, ...]
    """Sorted."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A variable that is set."""

    name: str
    path: Path
    uses: tuple[Use, ...] = ()


class EdgeDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A transition as it was read; its targets may not exist."""

    edge: Edge
    path: Path
    target_paths: tuple[Path, ...] = ()
    uses: tuple[Use, ...] = ()
    """Of its condition."""
    settings: tuple[Setting, ...] = ()
    is_unlikely: bool = False
    """Not looked at where variables are concerned: it is never taken as the definition stands."""


class TaskDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was read."""

    task: Task
    """Without edges; with the groups of its join in a dependency graph alone."""
    path: Path
    uses: tuple[Use, ...] = ()
    """Of all that is evaluated before its edges are."""
    edges: tuple[EdgeDraft, ...] = ()
    join: int | Literal["all"] | None = None


class Wiring:
    """Which task leads to which, by number: what the algorithms on graphs work on.

    Args:
        drafts: By name, in the order of the definition. Targets that do not exist are left out.
    """

    def __init__(self, drafts: dict[str, TaskDraft]) -> None:
        self.names = list(drafts)
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.drafts = list(drafts.values())
        self.edges: list[list[tuple[EdgeDraft, list[int]]]] = []
        self.successors: list[list[int]] = []
        """Each once, in the order of the definition."""
        self.predecessors: list[list[int]] = [[] for _ in self.names]
        """Likewise; a task that leads to itself is one of its own."""
        for number, draft in enumerate(self.drafts):
            edges = [(each, self._known(each.edge.targets)) for each in draft.edges]
            self.edges.append(edges)
            self.successors.append(list(dict.fromkeys(target for _, targets in edges for target in targets)))
            for target in self.successors[number]:
                self.predecessors[target].append(number)

    def roots(self) -> list[int]:
        """Lists the tasks to which no other task, nor they themselves, lead."""
        return [number for number, before in enumerate(self.predecessors) if not before]

    def reachable(self, entries: list[int]) -> set[int]:
        """Computes what can be reached from the entries, themselves included."""
        seen = set(entries)
        stack = list(entries)
        while stack:
            for target in self.successors[stack.pop()]:
                if target not in seen:
                    seen.add(target)
                    stack.append(target)
        return seen

    def inbound(self) -> Iterator[tuple[int, EdgeDraft, int]]:
        """Goes through all edges: from which task, which edge, to which task."""
        for number, edges in enumerate(self.edges):
            for draft, targets in edges:
                for target in targets:
                    yield number, draft, target

    def _known(self, names: tuple[str, ...]) -> list[int]:
        return [self.numbers[name] for name in names if name in self.numbers]
