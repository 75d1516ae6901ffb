"""Which arrows go back, and in which layer each box stands, so that all the others lead downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

Ends: TypeAlias = tuple[int, int]
"""An arrow: the numbers of the boxes at its begin and its end."""

LAYER_BOXES_MIN: Final = 16
"""A layer takes so many boxes at least; a graph of n boxes has layers of at most 2 * sqrt(n) where that is more: a
thousand tasks side by side would be a picture that nobody can look at."""


def back_arrows(count: int, arrows: Sequence[Ends]) -> set[int]:
    """Finds the arrows that close cycles, by depth first search in the order given; without them there is no cycle.

    Returns:
        Indexes into `arrows`; loops from a box to itself are among them.
    """
    leaving: list[list[int]] = [[] for _ in range(count)]
    for number, (source, _) in enumerate(arrows):
        leaving[source].append(number)
    back: set[int] = set()
    has_begun, has_ended = [False] * count, [False] * count
    for first in range(count):
        if has_begun[first]:
            continue
        has_begun[first] = True
        stack = [(first, iter(leaving[first]))]
        while stack:
            box, rest = stack[-1]
            for number in rest:
                target = arrows[number][1]
                if not has_begun[target]:
                    has_begun[target] = True
                    stack.append((target, iter(leaving[target])))
                    break
                if not has_ended[target]:
                    back.add(number)
            else:
                has_ended[box] = True
                stack.pop()
    return back


def layers(count: int, arrows: Sequence[Ends]) -> list[int]:
    """Puts each box below all that lead to it, as high as that and the width of layers allow.

    Args:
        arrows: Without cycles.

    Returns:
        Each box's layer, from 0.
    """
    longest = _longest(count, arrows)
    above: list[list[int]] = [[] for _ in range(count)]
    for source, target in arrows:
        above[target].append(source)
    width = max(LAYER_BOXES_MIN, 2 * math.isqrt(count))
    layer, filled = [0] * count, [0] * (count + 1)
    for box in sorted(range(count), key=lambda box: (longest[box], box)):
        place = max((layer[source] + 1 for source in above[box]), default=0)
        while filled[place] >= width:
            place += 1
        layer[box] = place
        filled[place] += 1
    used = {place: number for number, place in enumerate(sorted(set(layer)))}
    return [used[place] for place in layer]


def _longest(count: int, arrows: Sequence[Ends]) -> list[int]:
    below: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, target in arrows:
        below[source].append(target)
        missing[target] += 1
    length = [0] * count
    ready = [box for box in range(count) if not missing[box]]
    for box in ready:  # grows while it is read
        for target in below[box]:
            length[target] = max(length[target], length[box] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return length
