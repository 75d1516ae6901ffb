"""Cycles of a directed graph, without recursion: graphs of strangers may be ten thousand tasks deep."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence


def components(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    """Lists the strongly connected components, each sorted (Tarjan's algorithm). Linear time."""
    size = len(successors)
    index = [-1] * size
    low = [0] * size
    is_open = [False] * size
    found: list[list[int]] = []
    path: list[int] = []
    count = 0
    for root in range(size):
        if index[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                index[node] = low[node] = count
                count += 1
                path.append(node)
                is_open[node] = True
            else:
                low[node] = min(low[node], low[successors[node][position - 1]])
            position = _first_new(successors[node], position, node, index, low, is_open)
            if position < len(successors[node]):
                work.append((node, position + 1))
                work.append((successors[node][position], 0))
            elif low[node] == index[node]:
                found.append(_close(path, node, is_open))
    return found


def knots(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    """Lists the components with a cycle, by their first nodes."""
    return sorted(each for each in components(successors) if len(each) > 1 or each[0] in successors[each[0]])


def cycle_in(successors: Sequence[Sequence[int]], knot: Iterable[int]) -> list[int]:
    """Returns a shortest cycle through the knot's first node, which comes first."""
    members = set(knot)
    first = min(members)
    came_from: dict[int, int] = {}
    queue = deque([first])
    while queue:
        node = queue.popleft()
        for target in successors[node]:
            if target == first:
                cycle = [node]
                while cycle[-1] != first:
                    cycle.append(came_from[cycle[-1]])
                return cycle[::-1]
            if target in members and target not in came_from:
                came_from[target] = node
                queue.append(target)
    raise AssertionError("a knot has a cycle through each of its nodes")


def _first_new(
    targets: Sequence[int], position: int, node: int, index: list[int], low: list[int], is_open: list[bool]
) -> int:
    """Goes on to the first target that has not been seen; those that are open pull `low` down."""
    while position < len(targets) and index[targets[position]] >= 0:
        if is_open[targets[position]]:
            low[node] = min(low[node], index[targets[position]])
        position += 1
    return position


def _close(path: list[int], node: int, is_open: list[bool]) -> list[int]:
    component: list[int] = []
    while True:
        each = path.pop()
        is_open[each] = False
        component.append(each)
        if each == node:
            return sorted(component)
