"""How far from the left each box of an ordered row stands: straight arrows first, then narrow pictures.

After Brandes and Köpf (2001): four extreme placements, of which each box gets the mean of its two middle ones. Each of
the four keeps the order and the gaps of a row, and so does the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

Rows: TypeAlias = list[list[int]]


def columns(
    rows: Sequence[Sequence[int]],
    below: Sequence[Sequence[int]],
    widths: Sequence[float],
    is_passing: Sequence[bool],
) -> list[float]:
    """Places the middle of each box.

    Args:
        rows: As they are ordered.
        below: Of each number, those of the next row that it leads to.
        is_passing: Which numbers are places where an arrow passes a row; arrows are straight between two of these.
        widths: With the gaps between the boxes of a row.
    """
    count = len(below)
    above: list[list[int]] = [[] for _ in range(count)]
    for number, targets in enumerate(below):
        for target in targets:
            above[target].append(number)
    conflicts = _conflicts(rows, above, is_passing) | _leaving(below, is_passing)
    placements: list[list[float]] = []
    for is_upward in (False, True):
        vertical = [list(row) for row in (reversed(rows) if is_upward else rows)]
        beside = below if is_upward else above
        for is_mirrored in (False, True):
            turned = [row[::-1] for row in vertical] if is_mirrored else vertical
            roots = _blocks(turned, beside, conflicts, count)
            placed = _compacted(turned, roots, widths)
            placements.append([-x for x in placed] if is_mirrored else placed)
    return _balanced(placements, widths)


def _conflicts(
    rows: Sequence[Sequence[int]], above: Sequence[Sequence[int]], is_passing: Sequence[bool]
) -> set[tuple[int, int]]:
    """Finds the arrows (upper, lower) that cross one between two passing places: those yield."""
    found: set[tuple[int, int]] = set()
    for upper, lower in pairwise(rows):
        place = {member: index for index, member in enumerate(upper)}
        left, scanned = 0, 0
        for index, member in enumerate(lower):
            inner = next((up for up in above[member] if is_passing[up]), None) if is_passing[member] else None
            if inner is None and index < len(lower) - 1:
                continue
            right = len(upper) if inner is None else place[inner]
            for other in lower[scanned : index + 1]:
                for up in above[other]:
                    if (place[up] < left or place[up] > right) and not (is_passing[up] and is_passing[other]):
                        found.add((up, other))
            scanned, left = index + 1, right
    return found


def _leaving(below: Sequence[Sequence[int]], is_passing: Sequence[bool]) -> set[tuple[int, int]]:
    """Finds the arrows that leave a way which goes on to the next row: the way stays straight."""
    return {
        (number, target)
        for number, targets in enumerate(below)
        if is_passing[number] and any(is_passing[target] for target in targets)
        for target in targets
        if not is_passing[target]
    }


def _blocks(rows: Rows, beside: Sequence[Sequence[int]], conflicts: set[tuple[int, int]], count: int) -> list[int]:
    """Aligns each box with a median one of the row before; returns each number's root: those of one root share a column."""
    root = list(range(count))
    for before, row in pairwise(rows):
        place = {member: index for index, member in enumerate(before)}
        last = -1
        for member in row:
            near = sorted(beside[member], key=place.__getitem__)
            if not near:
                continue
            middle = len(near) - 1
            for other in near[middle // 2 : middle // 2 + 1 + middle % 2]:
                is_refused = (other, member) in conflicts or (member, other) in conflicts
                if root[member] == member and last < place[other] and not is_refused:
                    root[member] = root[other]
                    last = place[other]
    return root


def _compacted(rows: Rows, root: Sequence[int], widths: Sequence[float]) -> list[float]:
    """Puts each block as far to the left as the blocks before it allow, then to the right where nothing hinders it."""
    count = len(root)
    after: list[dict[int, float]] = [{} for _ in range(count)]
    missing = [0] * count
    for row in rows:
        for one, other in pairwise(row):
            need = (widths[one] + widths[other]) / 2
            first, second = root[one], root[other]
            if second not in after[first]:
                missing[second] += 1
            after[first][second] = max(need, after[first].get(second, 0.0))
    ready = [number for number in range(count) if root[number] == number and not missing[number]]
    x = [0.0] * count
    for block in ready:  # grows while it is read
        for other, need in after[block].items():
            x[other] = max(x[other], x[block] + need)
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    for block in reversed(ready):
        if after[block]:
            x[block] = max(x[block], min(x[other] - need for other, need in after[block].items()))
    return [x[root[number]] for number in range(count)]


def _balanced(placements: list[list[float]], widths: Sequence[float]) -> list[float]:
    if not widths:
        return []
    sides = [
        (
            min(x - width / 2 for x, width in zip(placed, widths, strict=True)),
            max(x + width / 2 for x, width in zip(placed, widths, strict=True)),
        )
        for placed in placements
    ]
    narrowest = min(range(4), key=lambda number: sides[number][1] - sides[number][0])
    for number, placed in enumerate(placements):
        side = number % 2  # those made from the right keep their right side
        shift = sides[narrowest][side] - sides[number][side]
        placements[number] = [x + shift for x in placed]
    return [sum(sorted(four)[1:3]) / 2 for four in zip(*placements, strict=True)]
