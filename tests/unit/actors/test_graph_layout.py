"""Geometry of pictures: boxes apart from each other, arrows that cross none, the same numbers each time."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors import graph_layout
from jetrun.actors.graph_layers import back_arrows, layers
from jetrun.actors.graph_layout import Layout, Size, Wire, layout
from jetrun.actors.graph_order import _crossings, ordered

SIZES = st.builds(Size, st.integers(20, 300), st.integers(10, 90))
LABELS = st.none() | st.builds(Size, st.integers(10, 260), st.integers(15, 60))


@st.composite
def pictures(draw: st.DrawFn) -> tuple[list[Size], list[Wire]]:
    boxes = draw(st.lists(SIZES, min_size=1, max_size=14))
    ends = st.integers(0, len(boxes) - 1)
    wires = st.builds(lambda source, target, label: Wire(source=source, target=target, label=label), ends, ends, LABELS)
    return boxes, draw(st.lists(wires, max_size=30))


def check(boxes: list[Size], wires: list[Wire], made: Layout) -> None:
    areas = [
        (x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)
        for size, (x, y) in zip(boxes, made.middles, strict=True)
    ]
    for one, other in combinations(areas, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for left, top, right, bottom in areas:
        assert left >= 0
        assert top >= 0
        assert right <= made.size.width
        assert bottom <= made.size.height
    for route in made.routes:
        for (x, y), (other_x, other_y) in pairwise(route.points):
            assert 0 <= x <= made.size.width
            assert 0 <= y <= made.size.height
            for left, top, right, bottom in areas:  # a bend stays in the rectangle of its ends
                is_beside = max(x, other_x) <= left + 0.2 or min(x, other_x) >= right - 0.2
                is_above_or_below = max(y, other_y) <= top + 0.2 or min(y, other_y) >= bottom - 0.2
                assert is_beside or is_above_or_below
    labels = [(number, route.label) for number, route in enumerate(made.routes) if route.label is not None]
    for number, (x, y) in labels:
        size = wires[number].label
        assert size is not None
        for left, top, right, bottom in areas:
            is_beside = x + size.width / 2 <= left or x - size.width / 2 >= right
            assert (
                is_beside
                or y + size.height / 2 <= top
                or y - size.height / 2 >= bottom
                or wires[number].source == wires[number].target
            )
    assert len(made.routes) == len(wires)
    assert sum(wire.label is not None for wire in wires) == len(labels)


@given(pictures())
def test_boxes_stand_apart_and_arrows_cross_none(picture: tuple[list[Size], list[Wire]]) -> None:
    """What lies on something else cannot be read."""
    check(*picture, layout(*picture))


@given(pictures())
def test_arrows_in_lanes_cross_no_box(picture: tuple[list[Size], list[Wire]]) -> None:
    """Where there are too many places, long arrows run beside the picture."""
    before = graph_layout.PLACES_MAX
    graph_layout.PLACES_MAX = 3  # type: ignore[misc]  # the bound of a picture that hypothesis does not draw
    try:
        check(*picture, layout(*picture))
    finally:
        graph_layout.PLACES_MAX = before  # type: ignore[misc]


@given(pictures())
def test_layout_is_the_same_each_time(picture: tuple[list[Size], list[Wire]]) -> None:
    """Pictures are compared, and kept beside the code."""
    assert layout(*picture) == layout(*picture)


@given(pictures())
def test_arrows_lead_downwards_but_those_that_close_a_cycle(picture: tuple[list[Size], list[Wire]]) -> None:
    """Without them there is no cycle, or layers would have no end."""
    boxes, wires = picture
    ends = [(wire.source, wire.target) for wire in wires]
    back = back_arrows(len(boxes), ends)
    forward = [end for number, end in enumerate(ends) if number not in back]
    layer = layers(len(boxes), forward)

    assert all(layer[source] < layer[target] for source, target in forward)
    assert sorted(set(layer)) == list(range(max(layer) + 1))


def test_back_arrows_follow_the_order_of_the_definition() -> None:
    """The task that is written first is the loop's head."""
    assert back_arrows(3, [(0, 1), (1, 2), (2, 0), (1, 1)]) == {2, 3}


def test_a_tree_has_no_crossing() -> None:
    """The simplest of pictures is drawn as anybody would."""
    below = [[1, 2], [5, 3], [4, 6], [], [], [], []]

    assert _crossings(ordered([[0], [2, 1], [3, 4, 5, 6]], below), below) == 0


def test_an_empty_picture_has_a_size() -> None:
    """Nobody is told that a minimum has no argument."""
    assert layout([], []).size.width > 0
