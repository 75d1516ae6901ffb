"""Coverage of a definition: which tasks and transitions no rehearsal has come to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .graph_model import Graph
from .graph_verdict import Verdict


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one definition, by all scenarios that are about it."""

    name: str
    tasks: int
    """How many there are."""
    edges: int
    missed_tasks: tuple[str, ...]
    """That never began, in the definition's order."""
    missed_edges: tuple[str, ...]
    """Transitions that were never taken: `tasks.build.next[1]`."""

    @property
    def percent(self) -> float:
        """Tasks and transitions together, from 0 to 100."""
        there = self.tasks + self.edges
        return 100.0 * (there - len(self.missed_tasks) - len(self.missed_edges)) / there if there else 100.0

    def __str__(self) -> str:
        counts = f"{self.tasks - len(self.missed_tasks)} of {self.tasks} tasks"
        if self.edges:
            counts += f", {self.edges - len(self.missed_edges)} of {self.edges} transitions"
        missed = ", ".join([*self.missed_tasks, *self.missed_edges])
        return f"coverage of {self.name}: {counts}" + (f"; never: {missed}" if missed else "")


def coverage_of(verdicts: Iterable[Verdict]) -> list[Coverage]:
    """Counts for each valid definition, in the order in which they come up.

    A dependency graph has no transitions of its own: there tasks alone count.
    """
    graphs: dict[str, Graph] = {}
    begun: dict[str, set[str]] = {}
    taken: dict[str, set[tuple[str, int]]] = {}
    for verdict in verdicts:
        subject, found = verdict.scenario.subject, verdict.rehearsed
        if subject.graph is None or found is None:
            continue
        graphs.setdefault(subject.name, subject.graph)
        begun.setdefault(subject.name, set()).update(found.path)
        taken.setdefault(subject.name, set()).update(found.edges)
    return [_of(name, graph, begun[name], taken[name]) for name, graph in graphs.items()]


def _of(name: str, graph: Graph, begun: set[str], taken: set[tuple[str, int]]) -> Coverage:
    edges: list[tuple[str, int]] = []
    if graph.form == "transitions":
        edges = [(task.name, index) for task in graph.tasks.values() for index in range(len(task.edges))]
    return Coverage(
        name=name,
        tasks=len(graph.tasks),
        edges=len(edges),
        missed_tasks=tuple(task for task in graph.tasks if task not in begun),
        missed_edges=tuple(f"tasks.{task}.next[{index}]" for task, index in edges if (task, index) not in taken),
    )
