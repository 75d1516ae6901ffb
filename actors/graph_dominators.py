"""Immediate dominators of a graph's tasks: the last task that every way to a task goes through.

What tells the instances of a join apart: an arrival belongs to the activation of the join's dominator that it stems from.
After Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm"; a virtual root stands above all entry points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_NONE: Final = -1


def immediate_dominators(successors: Sequence[Sequence[int]], entries: Sequence[int]) -> list[int | None]:
    """Computes the immediate dominator of each node.

    Returns:
        Per node its dominator's number; -1 for the virtual root; None where the node cannot be reached.
    """
    size = len(successors)
    root = size
    links = [*successors, list(dict.fromkeys(entries))]
    order = [*postorder(successors, entries), root]
    rank = [_NONE] * (size + 1)
    for position, node in enumerate(order):
        rank[node] = position
    predecessors: list[list[int]] = [[] for _ in range(size + 1)]
    for node in order:
        for target in links[node]:
            predecessors[target].append(node)
    above = [_NONE] * (size + 1)
    above[root] = root
    is_changed = True
    while is_changed:
        is_changed = False
        for node in reversed(order[:-1]):
            best = _NONE
            for each in predecessors[node]:
                if above[each] != _NONE:
                    best = each if best == _NONE else _meet(each, best, above, rank)
            if above[node] != best:
                above[node] = best
                is_changed = True
    return [None if rank[node] == _NONE else (_NONE if above[node] == root else above[node]) for node in range(size)]


def _meet(left: int, right: int, above: list[int], rank: list[int]) -> int:
    while left != right:
        while rank[left] < rank[right]:
            left = above[left]
        while rank[right] < rank[left]:
            right = above[right]
    return left


def postorder(successors: Sequence[Sequence[int]], entries: Sequence[int]) -> list[int]:
    """Lists what can be reached from the entries, each after what it leads to, but for cycles."""
    order: list[int] = []
    seen: set[int] = set()
    for entry in entries:
        if entry in seen:
            continue
        seen.add(entry)
        stack = [(entry, 0)]
        while stack:
            node, position = stack.pop()
            targets = successors[node]
            while position < len(targets) and targets[position] in seen:
                position += 1
            if position == len(targets):
                order.append(node)
                continue
            stack.append((node, position + 1))
            seen.add(targets[position])
            stack.append((targets[position], 0))
    return order
