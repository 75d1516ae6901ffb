"""Where each box of a picture stands and how each arrow runs: layers from top to bottom, arrows that go back at the sides.

Nothing but geometry, in pixels; the same input gives the same numbers. No arrow crosses a box: it passes layers at places
of its own, or runs in a lane beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from .graph_columns import columns
from .graph_layers import back_arrows, layers
from .graph_order import ordered

PLACES_MAX: Final = 8_000
"""Places where arrows pass layers, in one picture. The longest arrows beyond it run in lanes at the sides: the time to
order places and to align them grows with their number, 8,000 take about a second."""

MARGIN: Final = 16.0
GAP_BESIDE: Final = 22.0
GAP_PASSING: Final = 6.0
"""Between places where arrows pass; half of either gap is on each side."""
GAP_BELOW: Final = 38.0
GAP_BELOW_MAX: Final = 120.0
TRACK: Final = 7.0
"""Between horizontal parts of arrows that turn into a lane."""
LANE: Final = 12.0
PASSING: Final = 6.0
PORTS: Final = 16.0
"""Between two arrows at the side of a box, where it is wide enough."""
TURN: Final = 14.0
FAN: Final = 8
"""More arrows than this at one box share their way."""

Point: TypeAlias = tuple[float, float]


class Size(NamedTuple):
    """Width and height."""

    width: float
    height: float


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """An arrow that is asked for."""

    source: int
    target: int
    label: Size | None = None
    """Room for its label."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How an arrow runs."""

    points: tuple[Point, ...]
    """From the source's lower side to the target's upper side."""
    is_lane: bool = False
    """Straight between points, with corners; else each second part bends (points 0-1, 2-3, …) and others are straight."""
    label: Point | None = None
    """The middle of its label."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's geometry."""

    size: Size
    middles: tuple[Point, ...]
    """Of the boxes."""
    routes: tuple[Route, ...]
    """Of the wires."""


def layout(boxes: Sequence[Size], wires: Sequence[Wire]) -> Layout:
    """Places boxes and arrows.

    Args:
        boxes: Their sizes. Their order decides where the graph leaves a choice.
        wires: At most one from one box to the same other reads well.
    """
    return _Plan(boxes, wires).result()


class _Plan:
    """One layout, in the order in which it is made: rows, order, columns, heights, lanes, routes."""

    def __init__(self, boxes: Sequence[Size], wires: Sequence[Wire]) -> None:
        self.sizes = list(boxes)
        self.boxes = len(boxes)
        self.wires = wires
        ends = [(wire.source, wire.target) for wire in wires]
        back = back_arrows(self.boxes, ends)
        forward = [number for number in range(len(wires)) if number not in back]
        self.layer = layers(self.boxes, [ends[number] for number in forward])
        self.loops = [number for number in sorted(back) if ends[number][0] == ends[number][1]]
        self.lanes = [number for number in sorted(back) if ends[number][0] != ends[number][1]]
        self.fan_out, self.fan_in = [0] * self.boxes, [0] * self.boxes
        for number in forward:
            self.fan_out[ends[number][0]] += 1
            self.fan_in[ends[number][1]] += 1
        self.shared: dict[tuple[int, int], int] = {}
        self.connected: set[tuple[int, int]] = set()
        self.paths: dict[int, list[int]] = {}
        """Of each arrow that goes down: its places, boxes at both ends included."""
        self.rows: list[list[int]] = []
        self._fill_rows(forward)
        self.rows = ordered(self.rows, self.below)
        self._columns()
        self._ports()
        self._heights()

    # --- rows ---------------------------------------------------------------------------------------

    def _fill_rows(self, forward: list[int]) -> None:
        labelled = {self.layer[self.wires[number].source] for number in forward if self.wires[number].label}
        row_of_layer: list[int] = []
        rows = 0
        for layer in range(max(self.layer, default=-1) + 1):
            row_of_layer.append(rows)
            rows += 2 if layer in labelled else 1
        self.rows = [[] for _ in range(rows)]
        self.row = [row_of_layer[layer] for layer in self.layer]
        for box, row in enumerate(self.row):
            self.rows[row].append(box)
        self.below: list[list[int]] = [[] for _ in range(self.boxes)]
        left = PLACES_MAX
        is_down: set[int] = set()
        for number in sorted(forward, key=lambda number: (self._length(number), number)):
            left -= self._length(number) - 1
            if left >= 0 or self._length(number) == 1:
                is_down.add(number)
        self.lanes += [number for number in forward if number not in is_down]
        for number in forward:
            if number in is_down:
                self._lead(number)

    def _length(self, number: int) -> int:
        wire = self.wires[number]
        return self.row[wire.target] - self.row[wire.source]

    def _lead(self, number: int) -> None:
        """Makes the places where an arrow passes rows; its label is in the first.

        Of many arrows without label that leave one box, and of many with one that enter one box, the places are shared:
        hundreds of lines beside each other would push all boxes apart.
        """
        wire = self.wires[number]
        path = [wire.source]
        for row in range(self.row[wire.source] + 1, self.row[wire.target]):
            has_label = wire.label is not None and len(path) == 1
            key = None
            if wire.label is None and self.fan_out[wire.source] > FAN:
                key = (wire.source, row)
            elif wire.label is not None and not has_label and self.fan_in[wire.target] > FAN:
                key = (-1 - wire.target, row)
            place = len(self.sizes) if key is None else self.shared.setdefault(key, len(self.sizes))
            if place == len(self.sizes):
                self.sizes.append(wire.label if wire.label is not None and has_label else Size(PASSING, 0))
                self.row.append(row)
                self.rows[row].append(place)
                self.below.append([])
            self._connect(path[-1], place)
            path.append(place)
        self._connect(path[-1], wire.target)
        self.paths[number] = [*path, wire.target]

    def _connect(self, upper: int, lower: int) -> None:
        if (upper, lower) not in self.connected:
            self.connected.add((upper, lower))
            self.below[upper].append(lower)

    # --- columns and heights --------------------------------------------------------------------------

    def _columns(self) -> None:
        self.beside = [0.0] * len(self.sizes)
        """Room to the right of a box that loops of its own need."""
        for number in self.loops:
            wire = self.wires[number]
            self.beside[wire.source] += 2 * TURN + (wire.label.width if wire.label else 0.0)
        passing = [place >= self.boxes for place in range(len(self.sizes))]
        widths = [
            size.width + beside + (GAP_PASSING if is_passing else GAP_BESIDE)
            for size, beside, is_passing in zip(self.sizes, self.beside, passing, strict=True)
        ]
        middles = columns(self.rows, self.below, widths, passing)
        self.x = [round(x - beside / 2, 1) for x, beside in zip(middles, self.beside, strict=True)]
        self.left: list[float] = []
        self.right: list[float] = []
        for row in self.rows:
            edges = self._edges(row) or [
                *self.left[-1:],
                *self.right[-1:],
            ]  # a row is empty whose arrows are all in lanes
            self.left.append(min(edges))
            self.right.append(max(edges))

    def _edges(self, row: list[int]) -> list[float]:
        edges: list[float] = []
        for place in row:
            half = self.sizes[place].width / 2
            edges += (self.x[place] - half, self.x[place] + half + self.beside[place])
        return edges

    def _span(self, number: int) -> tuple[int, int]:
        """Tells which rows (the first, the one after the last) the lane of an arrow passes."""
        wire = self.wires[number]
        source, target = self.row[wire.source], self.row[wire.target]
        return (target, source + 1) if target <= source else (source + 1, target)

    def _heights(self) -> None:
        """Places rows, and in each gap the tracks of arrows that turn into a lane."""
        self.leaving: list[list[int]] = [[] for _ in self.rows]
        self.entering: list[list[int]] = [[] for _ in self.rows]
        for number in self.lanes:
            self.leaving[self.row[self.wires[number].source]].append(number)
            self.entering[self.row[self.wires[number].target]].append(number)
        self.top: list[float] = []
        self.bottom: list[float] = []
        y = MARGIN
        for index, row in enumerate(self.rows):
            y += TRACK * len(self.entering[index]) + (TURN if self.entering[index] and not index else 0.0)
            self.top.append(y)
            y += max((self.sizes[place].height for place in row), default=0.0)
            self.bottom.append(y)
            farthest = max((abs(self.x[place] - self.x[to]) for place in row for to in self.below[place]), default=0.0)
            y += min(GAP_BELOW + farthest / 12, GAP_BELOW_MAX) + TRACK * len(self.leaving[index])
        self.height = (self.bottom[-1] if self.rows else y) + MARGIN
        if self.rows and self.leaving[-1]:
            self.height += TURN + TRACK * len(self.leaving[-1])

    # --- routes -------------------------------------------------------------------------------------

    def _side(self, number: int) -> bool:
        """Tells whether a lane is on the left: where both ends are nearer to it."""
        wire, (first, end) = self.wires[number], self._span(number)
        x = self.x[wire.source] + self.x[wire.target]
        left, right = min(self.left[first:end]), max(self.right[first:end])
        return x - 2 * left < 2 * right - x - 1.0

    def _ports(self) -> None:
        """Tells where arrows leave and enter boxes: beside each other, in the order of where they come from."""
        self.is_left = {number: self._side(number) for number in self.lanes}
        lower: list[list[tuple[float, int]]] = [[] for _ in range(self.boxes)]
        upper: list[list[tuple[float, int]]] = [[] for _ in range(self.boxes)]
        for path in self.paths.values():
            lower[path[0]].append((self.x[path[1]], path[1]))
            upper[path[-1]].append((self.x[path[-2]], path[-2]))
        for number in self.lanes:
            far = float("-inf") if self.is_left[number] else float("inf")
            lower[self.wires[number].source].append((far, -1 - number))
            upper[self.wires[number].target].append((far, -1 - number))
        self.out = self._spread(lower)
        self.into = self._spread(upper)

    def _spread(self, sides: list[list[tuple[float, int]]]) -> dict[tuple[int, int], float]:
        """Returns the port of each box for each place beside it, or for the lane of an arrow (-1 - its number)."""
        found: dict[tuple[int, int], float] = {}
        for box, ends in enumerate(sides):
            places = sorted(set(ends))
            step = min(PORTS, max(self.sizes[box].width - 24, 0.0) / max(len(places) - 1, 1))
            for index, (_, place) in enumerate(places):
                found[box, place] = round(self.x[box] + (index - (len(places) - 1) / 2) * step, 1)
        return found

    def _middle(self, place: int) -> float:
        row = self.row[place]
        return (self.top[row] + self.bottom[row]) / 2

    def result(self) -> Layout:
        routes: dict[int, Route] = {number: self._down(number, path) for number, path in self.paths.items()}
        for number in sorted(self.lanes, key=lambda number: (-self._span(number)[0] + self._span(number)[1], number)):
            routes[number] = self._lane(number)
        used: dict[int, float] = {}
        for number in self.loops:
            routes[number] = self._loop(number, used)
        left = min(self.left, default=0.0) - MARGIN
        right = max(self.right, default=0.0) + MARGIN
        return Layout(
            size=Size(round(right - left, 1), round(self.height, 1)),
            middles=tuple((round(self.x[box] - left, 1), round(self._middle(box), 1)) for box in range(self.boxes)),
            routes=tuple(_shifted(routes[number], left) for number in range(len(self.wires))),
        )

    def _down(self, number: int, path: list[int]) -> Route:
        source, target = path[0], path[-1]
        x = self.out[source, path[1]]
        points = [(x, self._middle(source) + self.sizes[source].height / 2), (x, self.bottom[self.row[source]])]
        for place in path[1:-1]:
            points += [(self.x[place], self.top[self.row[place]]), (self.x[place], self.bottom[self.row[place]])]
        x = self.into[target, path[-2]]
        points += [(x, self.top[self.row[target]]), (x, self._middle(target) - self.sizes[target].height / 2)]
        has_label = self.wires[number].label is not None and len(path) > 2
        label = (self.x[path[1]], self._middle(path[1])) if has_label else None
        return Route(points=tuple(points), label=label)

    def _lane(self, number: int) -> Route:
        wire, (first, end) = self.wires[number], self._span(number)
        width = max(LANE, wire.label.width if wire.label else 0.0)
        if self.is_left[number]:
            outer = min(self.left[first:end]) - LANE - width
            x = outer + width / 2
            self.left[first:end] = [outer] * (end - first)
        else:
            outer = max(self.right[first:end]) + LANE + width
            x = outer - width / 2
            self.right[first:end] = [outer] * (end - first)
        source, target = self.row[wire.source], self.row[wire.target]
        down = self.bottom[source] + TURN / 2 + TRACK * self.leaving[source].index(number)
        up = self.top[target] - TURN - TRACK * self.entering[target].index(number)
        begin, end_x = self.out[wire.source, -1 - number], self.into[wire.target, -1 - number]
        points = (
            (begin, self._middle(wire.source) + self.sizes[wire.source].height / 2),
            (begin, down),
            (x, down),
            (x, up),
            (end_x, up),
            (end_x, self._middle(wire.target) - self.sizes[wire.target].height / 2),
        )
        return Route(points=points, is_lane=True, label=(x, (down + up) / 2) if wire.label else None)

    def _loop(self, number: int, used: dict[int, float]) -> Route:
        """Leads out of a box's right side and back into it; further ones of the box have their room beside it."""
        wire = self.wires[number]
        box, label = wire.source, wire.label.width if wire.label else 0.0
        size, begin = self.sizes[box], used.get(wire.source, 0.0)
        used[box] = begin + 2 * TURN + label
        side, y = self.x[box] + size.width / 2, self._middle(box)
        x = side + begin + TURN + label / 2
        quarter = size.height / 4
        points = ((side, y + quarter), (x, y + quarter), (x, y - quarter), (side, y - quarter))
        return Route(points=points, is_lane=True, label=(x, y) if wire.label else None)


def _shifted(route: Route, left: float) -> Route:
    label = None if route.label is None else (round(route.label[0] - left, 1), round(route.label[1], 1))
    points = tuple((round(x - left, 1), round(y, 1)) for x, y in route.points)
    return Route(points=points, is_lane=route.is_lane, label=label)
