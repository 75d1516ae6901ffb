"""Immediate dominators and cycles, compared with their definitions on small graphs."""

from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_cycles import components, cycle_in, knots
from jetrun.actors.graph_dominators import immediate_dominators, postorder

SIZE = 7
graphs = st.lists(st.lists(st.integers(0, SIZE - 1), max_size=4, unique=True), min_size=SIZE, max_size=SIZE)


def reach(successors: list[list[int]], entries: list[int], without: int | None = None) -> set[int]:
    seen = {entry for entry in entries if entry != without}
    stack = list(seen)
    while stack:
        for target in successors[stack.pop()]:
            if target not in seen and target != without:
                seen.add(target)
                stack.append(target)
    return seen


@given(graphs, st.lists(st.integers(0, SIZE - 1), max_size=3, unique=True))
def test_a_dominator_is_on_every_way(successors: list[list[int]], entries: list[int]) -> None:
    """A join's instances are told apart by its dominator: a wrong one mixes the rounds of a loop."""
    found = immediate_dominators(successors, entries)
    reachable = reach(successors, entries)
    strict = {
        node: {other for other in reachable - {node} if node not in reach(successors, entries, other)}
        for node in reachable
    }
    for node in range(SIZE):
        if node not in reachable:
            assert found[node] is None
        elif not strict[node]:
            assert found[node] == -1
        else:
            # The immediate one is the strict dominator that all others dominate.
            assert found[node] == max(strict[node], key=lambda each: len(strict[each]))


@given(graphs)
def test_components_are_what_leads_to_each_other(successors: list[list[int]]) -> None:
    ways = [reach(successors, [node]) for node in range(SIZE)]
    expected = {frozenset(b for b in range(SIZE) if b in ways[a] and a in ways[b]) for a in range(SIZE)}
    assert {frozenset(each) for each in components(successors)} == expected


@given(graphs)
def test_a_cycle_is_one(successors: list[list[int]]) -> None:
    for knot in knots(successors):
        cycle = cycle_in(successors, knot)
        assert cycle[0] == min(knot)
        assert len(set(cycle)) == len(cycle)
        for source, target in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert target in successors[source]


def test_a_chain_of_ten_thousand_takes_no_stack() -> None:
    """Recursion would end at a depth that a definition's author decides."""
    successors = [[number + 1] for number in range(9_999)] + [[0]]

    assert len(knots(successors)) == 1
    assert postorder(successors, [0])[-1] == 0
    assert immediate_dominators(successors, [0])[9_999] == 9_998
