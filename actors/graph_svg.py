"""A graph as an SVG picture that needs nothing but itself: no script, no link, no font, light and dark.

Task names, conditions and values are untrusted: whatever they hold is text, and characters that XML does not allow or
that hide others are left out. Each task says its state in a word; colours only repeat it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from .graph_draw import Arrow, Box, Drawing, TaskLight, columns, drawing_of, merged
from .graph_layout import Layout, Point, Route, Size, Wire, layout
from .graph_model import Graph
from .graph_style import STYLE

LABELS_MAX: Final = 1_500
"""Arrows whose labels are written out; in pictures with more of them, conditions are shown on request (`title`) alone."""
LABEL_LINES: Final = 6
"""Of one arrow; the rest is counted."""

_COLUMN: Final = 0.62
"""Width of a character of a fixed font, in parts of its size: the widest of the common ones has 0.61."""
_NAME_SIZE: Final = 13.0
_LINE_SIZE: Final = 11.0
_NAME_HEIGHT: Final = 19.0
_LINE_HEIGHT: Final = 15.0
_PADDING: Final = 12.0
_BOX_WIDTH_MIN: Final = 96.0
_CORNER: Final = 8.0


def svg(graph: Graph, lights: Mapping[str, TaskLight] | None = None) -> str:
    """Draws a graph; the same graph and lights give the same text, to the byte.

    Args:
        lights: Where the tasks of a run stand, by name; tasks without one are waiting.
    """
    drawing = drawing_of(graph, lights)
    arrows = merged(drawing.arrows)
    is_labelled = sum(any(arrow.labels) for arrow in arrows) <= LABELS_MAX
    labels = [_label_lines(arrow) if is_labelled else [] for arrow in arrows]
    wires = [
        Wire(source=arrow.source, target=arrow.target, label=_label_size(lines) if lines else None)
        for arrow, lines in zip(arrows, labels, strict=True)
    ]
    sizes = [_box_size(box) for box in drawing.boxes]
    placed = layout(sizes, wires)
    parts = [*_head(drawing, placed), '<g class="jr-arrows">']
    for arrow, lines, route in zip(arrows, labels, placed.routes, strict=True):
        parts += _arrow(drawing, arrow, lines, route)
    parts.append("</g>")
    for number, box in enumerate(drawing.boxes):
        parts += _box(box, placed.middles[number], sizes[number])
    return "\n".join([*parts, "</svg>", ""])


def _head(drawing: Drawing, placed: Layout) -> list[str]:
    width, height = _number(placed.size.width), _number(placed.size.height)
    counts: dict[str, int] = {}
    for box in drawing.boxes:
        if box.light is not None:
            counts[box.light.state] = counts.get(box.light.state, 0) + 1
    tasks = sum(box.kind == "task" for box in drawing.boxes)
    states = "; " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) if counts else ""
    text = f"{drawing.description} " if drawing.description else ""
    return [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="jr-graph" role="img" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">'
        ),
        f"<title>{_escaped(f'Graph {drawing.name}')}</title>",
        f"<desc>{_escaped(f'{text}{tasks} tasks, {len(drawing.arrows)} transitions{states}')}</desc>",
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="jr-tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto" markerUnits="userSpaceOnUse"><path class="jr-tip" d="M0 0.5 L10 5 L0 9.5 z"/></marker></defs>'
        ),
        f'<rect class="jr-page" width="{width}" height="{height}"/>',
    ]


# --- boxes ------------------------------------------------------------------------------------------


def _width(text: str, size: float) -> float:
    return columns(text) * size * _COLUMN


def _box_size(box: Box) -> Size:
    if box.kind != "task":
        return Size(round(max(56.0, _width(box.name, _LINE_SIZE) + 2 * _PADDING), 1), 26.0)
    lines = [*box.lines, *filter(None, [box.state_line])]
    width = max(_width(box.name, _NAME_SIZE), *(_width(line, _LINE_SIZE) for line in lines))
    height = 2 * _PADDING - 6 + _NAME_HEIGHT + _LINE_HEIGHT * len(lines)
    return Size(round(max(_BOX_WIDTH_MIN, width + 2 * _PADDING), 1), height)


def _box(box: Box, middle: Point, size: Size) -> list[str]:
    state = "" if box.light is None else f" jr-{box.light.state}"
    x, y = middle[0] - size.width / 2, middle[1] - size.height / 2
    radius = 6.0 if box.kind == "task" else size.height / 2
    parts = [
        f'<g class="jr-{box.kind}{state}">',
        f"<title>{_escaped(box.tips[0])}</title>",
        f"<desc>{_escaped('; '.join(box.tips[1:]) or box.tips[0])}</desc>",
        (
            f'<rect class="jr-box" x="{_number(x)}" y="{_number(y)}" width="{_number(size.width)}" '
            f'height="{_number(size.height)}" rx="{_number(radius)}"/>'
        ),
    ]
    if box.kind != "task":
        parts.append(_text("jr-line", middle[0], middle[1] + 4, box.name))
    else:
        y += _PADDING - 3 + _NAME_SIZE
        parts.append(_text("jr-name", middle[0], y, box.name))
        for line in box.lines:
            y += _LINE_HEIGHT
            parts.append(_text("jr-line", middle[0], y, line))
        if box.state_line:
            parts.append(_text("jr-state", middle[0], y + _LINE_HEIGHT, box.state_line))
    return [*parts, "</g>"]


# --- arrows -----------------------------------------------------------------------------------------


def _label_lines(arrow: Arrow) -> list[str]:
    lines = [line for label in arrow.labels for line in label.split("\n") if line]
    if lines and not all(arrow.labels):
        lines.append("or always")
    if len(lines) > LABEL_LINES:
        lines[LABEL_LINES - 1 :] = [f"and {len(lines) - LABEL_LINES + 1} more"]
    return lines


def _label_size(lines: list[str]) -> Size:
    return Size(round(max(_width(line, _LINE_SIZE) for line in lines) + 8, 1), _LINE_HEIGHT * len(lines) + 4)


def _arrow(drawing: Drawing, arrow: Arrow, lines: list[str], route: Route) -> list[str]:
    source, target = (drawing.boxes[end].tips[0] for end in (arrow.source, arrow.target))
    way = _corners(route.points) if route.is_lane else _bends(route.points)
    said = f"{source} to {target}: {' | '.join(arrow.tips)}"
    parts = [
        '<g class="jr-arrow">',
        f"<title>{_escaped(said)}</title>",
        f'<path class="jr-wire" marker-end="url(#jr-tip)" d="{way}"/>',
    ]
    if route.label is not None and lines:
        x, y = route.label
        size = _label_size(lines)
        parts.append(
            f'<rect class="jr-page" x="{_number(x - size.width / 2)}" y="{_number(y - size.height / 2)}" '
            f'width="{_number(size.width)}" height="{_number(size.height)}"/>'
        )
        first = y - size.height / 2 + _LINE_HEIGHT - 2
        parts += [_text("jr-label", x, first + _LINE_HEIGHT * index, line) for index, line in enumerate(lines)]
    return [*parts, "</g>"]


def _bends(points: tuple[Point, ...]) -> str:
    """Draws straight parts within layers, and between layers bends that leave and enter upright."""
    parts = [f"M{_at(points[0])}"]
    for index, (before, point) in enumerate(pairwise(points)):
        if before == point:
            continue
        if index % 2 == 0 or before[0] == point[0]:
            parts.append(f"L{_at(point)}")
        else:
            middle = (before[1] + point[1]) / 2
            parts.append(f"C{_at((before[0], middle))} {_at((point[0], middle))} {_at(point)}")
    return " ".join(parts)


def _corners(points: tuple[Point, ...]) -> str:
    """Draws straight parts with round corners."""
    parts = [f"M{_at(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        parts.append(f"L{_at(_towards(corner, before, after))} Q{_at(corner)} {_at(_towards(corner, after, before))}")
    parts.append(f"L{_at(points[-1])}")
    return " ".join(parts)


def _towards(corner: Point, one: Point, other: Point) -> Point:
    """Finds where a round corner begins, on the way from it to one of its neighbours."""
    lengths = [abs(end[0] - corner[0]) + abs(end[1] - corner[1]) for end in (one, other)]
    radius = min(_CORNER, *(length / 2 for length in lengths))
    share = radius / lengths[0] if lengths[0] else 0.0
    return (corner[0] + (one[0] - corner[0]) * share, corner[1] + (one[1] - corner[1]) * share)


# --- text -------------------------------------------------------------------------------------------


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{_number(x)}" y="{_number(y)}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


def _at(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
