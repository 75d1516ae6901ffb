"""Graphs of every kind to draw, made by hand: nothing of them was read or compiled."""

from __future__ import annotations

import random
from collections.abc import Iterable

from jetrun.actors.graph_expression import Expression
from jetrun.actors.graph_model import Edge, Graph, Group, Items, Limits, StepAction, Task
from jetrun.actors.graph_template import Template

LIMITS = Limits(iterations=1, activations=1, value_bytes=1)


def edge(
    when: str = "", to: Iterable[str] = (), publish: Iterable[str] = (), *, handles: bool = True, fails: bool = False
) -> Edge:
    return Edge(
        when=Expression(when) if when else None,
        targets=tuple(to),
        publish=tuple((name, Template("{{ result() }}")) for name in publish),
        handles=handles,
        fails=fails,
    )


def task(
    name: str, *edges: Edge, step: str = "core.noop", join: tuple[Group, ...] = (), items: Items | None = None
) -> Task:
    action = StepAction(name=Template(step), input=Template({}))
    return Task(name=name, action=action, edges=edges, join=join, items=items)


def graph(*tasks: Task, entries: Iterable[str] | None = None, name: str = "drawn", description: str = "") -> Graph:
    targets = {target for task in tasks for edge in task.edges for target in edge.targets}
    chosen = [task.name for task in tasks if task.name not in targets] if entries is None else entries
    return Graph(
        name=name,
        description=description,
        tasks={task.name: task for task in tasks},
        entries=tuple(chosen),
        limits=LIMITS,
    )


def joined(need: int, *names: str) -> tuple[Group, ...]:
    return (Group(predecessors=frozenset(names), need=need),)


def loop() -> Graph:
    """A cycle with a fork and a join in it, and every kind of end."""
    return graph(
        task("init", edge(to=["fetch"])),
        task("fetch", edge("succeeded()", ["process", "audit"], ["batch"]), edge("failed()", ["tidy"], fails=True)),
        task("process", edge("succeeded()", ["decide"]), edge("failed()")),
        task(
            "audit",
            edge("succeeded()", ["decide"]),
            items=Items(values=Template("{{ ctx().batch }}"), names=("x",), concurrency=Template(3)),
        ),
        task(
            "decide",
            edge("ctx().more", ["fetch"], ["page"]),
            edge("not ctx().more", ["complete"]),
            join=joined(2, "process", "audit"),
        ),
        task("complete", edge(publish=["done"], handles=False)),
        task("tidy", edge("failed()", ["tidy"])),
        entries=["init"],
    )


def scattered(tasks: int, edges: int, seed: int, *, is_cyclic: bool = False, condition: str = "succeeded()") -> Graph:
    """Arrows between tasks drawn by lot."""
    dice = random.Random(seed)
    leaving: list[list[Edge]] = [[] for _ in range(tasks)]
    for _ in range(edges):
        first, second = dice.randrange(tasks), dice.randrange(tasks)
        if not is_cyclic:
            first, second = sorted((first, second))
            if first == second:
                continue
        leaving[first].append(edge(condition, [f"t{second}"]))
    return graph(*(task(f"t{number}", *its) for number, its in enumerate(leaving)))


def wide(tasks: int) -> Graph:
    return graph(*(task(f"t{number}", edge("succeeded()", ["last"])) for number in range(tasks - 1)), task("last"))


def deep(tasks: int) -> Graph:
    ends = [[edge("succeeded()", [f"t{number + 1}"])] for number in range(tasks - 1)]
    return graph(*(task(f"t{number}", *its) for number, its in enumerate([*ends, []])))
