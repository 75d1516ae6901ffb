"""In which order the boxes of each row stand, so that few arrows cross: sweeps by barycentre, the best result is kept."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import Final

SWEEPS: Final = 16
SWEEPS_LARGE: Final = 6
LARGE_SEGMENTS: Final = 3_000
"""From here on there are fewer sweeps: each costs milliseconds, and nobody counts crossings in such a picture."""


def ordered(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> list[list[int]]:
    """Orders each row.

    Args:
        rows: Numbers of boxes, and of places where an arrow passes a row.
        below: Of each number, those of the next row that it leads to.
    """
    above: list[list[int]] = [[] for _ in below]
    for number, targets in enumerate(below):
        for target in targets:
            above[target].append(number)
    current = _first(rows, below)
    best, fewest = [list(row) for row in current], _crossings(current, below)
    segments = sum(map(len, below))
    unchanged = 0
    for sweep in range(SWEEPS if segments < LARGE_SEGMENTS else SWEEPS_LARGE):
        if not fewest or unchanged == 4:
            break
        _sweep(current, above if sweep % 2 == 0 else below, is_down=sweep % 2 == 0)
        crossings = _crossings(current, below)
        unchanged += 1
        if crossings < fewest:
            best, fewest, unchanged = [list(row) for row in current], crossings, 0
    return best


def _first(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> list[list[int]]:
    """Orders rows by when depth first search comes by: trees have no crossing then."""
    row_of = [0] * len(below)
    for number, row in enumerate(rows):
        for member in row:
            row_of[member] = number
    found: list[list[int]] = [[] for _ in rows]
    seen = [False] * len(below)
    for row in rows:
        for root in row:
            stack = [root]
            while stack:
                member = stack.pop()
                if seen[member]:
                    continue
                seen[member] = True
                found[row_of[member]].append(member)
                stack.extend(reversed(below[member]))
    return found


def _sweep(rows: list[list[int]], beside: Sequence[Sequence[int]], *, is_down: bool) -> None:
    numbers = range(1, len(rows)) if is_down else range(len(rows) - 2, -1, -1)
    for number in numbers:
        fixed = {member: place for place, member in enumerate(rows[number - 1 if is_down else number + 1])}
        weight: dict[int, float] = {}
        for place, member in enumerate(rows[number]):
            near = beside[member]
            weight[member] = sum(fixed[other] for other in near) / len(near) if near else place
        rows[number].sort(key=weight.__getitem__)


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    total = 0
    for number in range(len(rows) - 1):
        place = {member: index for index, member in enumerate(rows[number + 1])}
        passed: list[int] = []
        for member in rows[number]:
            ends = sorted(place[target] for target in below[member])
            for end in ends:
                total += len(passed) - bisect_right(passed, end)
            for end in ends:
                insort(passed, end)
    return total
