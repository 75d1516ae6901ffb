"""Variables of a graph: which can be set, and which are certain to be, where an expression reads them.

Two sets of variables per task, as bits of a whole number, carried along the edges until nothing changes. *Possible*:
set on some way to the task. *Certain*: set on all of them; at a join the branches that have to arrive are put together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from .graph_cycles import components
from .graph_dominators import postorder
from .graph_draft import EdgeDraft, Setting, Use, Wiring
from .graph_findings import Findings
from .graph_joins import groups_of
from .graph_model import Group

_ROUNDS_MAX: Final = 20
"""Times that what is certain may change at a task, on average; loops within loops take one each."""


class Names:
    """Numbers variables; a set of them is a whole number."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}

    def bit(self, name: str) -> int:
        """Returns a variable's bit."""
        bit = self._bits.get(name)
        if bit is None:
            bit = self._bits[name] = 1 << len(self._bits)
        return bit

    def bits(self, names: Iterable[str]) -> int:
        """Returns a set."""
        bits = 0
        for name in names:
            bits |= self.bit(name)
        return bits

    def known(self) -> list[str]:
        """Lists all variables that anything sets."""
        return list(self._bits)

    def all(self) -> int:
        """Returns the set of all."""
        return (1 << len(self._bits)) - 1

    def has(self, bits: int, name: str) -> bool:
        """Tells whether a variable is in a set; one that nothing sets is in none."""
        return bool(bits & self._bits.get(name, 0))


class Flow:
    """The variables of one definition.

    Args:
        initial: Inputs and variables, in the order in which they are set.
    """

    def __init__(self, findings: Findings, wiring: Wiring, entries: Sequence[int], initial: Sequence[Setting]) -> None:
        self._findings = findings
        self._wiring = wiring
        self._initial = initial
        self._names = Names()
        self._first = self._names.bits(setting.name for setting in initial)
        self._sets: list[list[int]] = [
            [self._names.bits(setting.name for setting in draft.settings) for draft, _ in edges]
            for edges in wiring.edges
        ]
        self._entries = frozenset(entries)
        self._reached = wiring.reachable(list(entries))
        self._inbound: list[list[tuple[int, int]]] = [[] for _ in wiring.names]
        for number, edges in enumerate(wiring.edges):
            for index, (draft, targets) in enumerate(edges):
                for target in () if draft.is_unlikely else targets:
                    self._inbound[target].append((number, index))
        self._order = postorder(wiring.successors, list(entries))[::-1]
        self._joins = [groups_of(wiring, number) for number in range(len(wiring.names))]

    def check(self, output: Sequence[Setting]) -> None:
        """Notes variables that are read where nothing can have set them, or where it is not certain."""
        self._check_settings(self._initial, 0, 0)
        possible, certain = self._possible(), self._certain()
        for number, draft in enumerate(self._wiring.drafts):
            can, must = possible[number], certain[number]
            if number not in self._reached:  # another problem already; what could be set anywhere is let pass
                can = must = self._names.all()
            self._check_uses(draft.uses, can, must)
            for each in draft.edges:
                self._check_edge(each, can, must)
        # The output is made however the run ends: nothing is certain, and a warning at each name would say nothing.
        anything = self._names.all()
        self._check_settings(output, anything, anything)

    def _check_edge(self, draft: EdgeDraft, can: int, must: int) -> None:
        self._check_uses(draft.uses, can, must)
        self._check_settings(draft.settings, can, must)

    def _check_settings(self, settings: Iterable[Setting], can: int, must: int) -> None:
        for setting in settings:
            self._check_uses(setting.uses, can, must)
            bit = self._names.bit(setting.name)
            can |= bit
            must |= bit

    def _check_uses(self, uses: Iterable[Use], can: int, must: int) -> None:
        for use in uses:
            for name in use.names:
                if name.startswith("__") or self._names.has(must, name):
                    continue
                if self._names.has(can, name):
                    text = f"variable {name!r} is set on some ways to here, and not on others; default() takes care of that"
                    self._findings.warning("maybe_undefined", use.path, text)
                else:
                    known = (each for each in self._names.known() if self._names.has(can, each))
                    hint = self._findings.nearest(name, known)
                    text = f"variable {name!r} is not set on any way to here{hint}"
                    self._findings.error("undefined_variable", use.path, text)

    def _possible(self) -> list[int]:
        """Computes what can be set: the same for all tasks of a component, each of which leads to each. Linear time."""
        values = [0] * len(self._wiring.names)
        for members in reversed(components(self._wiring.successors)):
            value = 0
            for number in members:
                value |= self._first if number in self._entries else 0
                for source, edge in self._inbound[number]:
                    if source in self._reached:
                        value |= values[source] | self._sets[source][edge]
            for number in members:
                values[number] = value
        return values

    def _certain(self) -> list[int]:
        """Computes what is certain to be set, from everything downwards until nothing changes.

        Where that takes too long, which graphs can be made for, everything is: warnings alone depend on it.
        """
        everything = self._names.all()
        values = [everything] * len(self._wiring.names)
        queue = deque(number for number in self._order if number in self._reached)
        queued = set(queue)
        steps_left = _ROUNDS_MAX * len(values) + _ROUNDS_MAX
        while queue:
            number = queue.popleft()
            queued.discard(number)
            value = self._certain_at(number, values)
            if value == values[number]:
                continue
            steps_left -= 1
            if steps_left < 0:
                return [everything] * len(values)
            values[number] = value
            for target in self._wiring.successors[number]:
                if target not in queued and target in self._reached:
                    queued.add(target)
                    queue.append(target)
        return values

    def _certain_at(self, number: int, values: list[int]) -> int:
        by_source: dict[int, int] = {}
        for source, edge in self._inbound[number]:
            if source in self._reached:
                value = values[source] | self._sets[source][edge]
                by_source[source] = by_source[source] & value if source in by_source else value
        groups = self._joins[number]
        value = self._joined(groups, by_source) if groups else self._meet(by_source.values())
        return value & self._first if number in self._entries else value

    def _joined(self, groups: tuple[Group, ...], by_source: dict[int, int]) -> int:
        """Puts branches together that must all arrive; of others, what all of them have in common."""
        value = 0
        for group in groups:
            of_group = [bits for source, bits in by_source.items() if self._wiring.names[source] in group.predecessors]
            if group.need >= len(group.predecessors):
                for bits in of_group:
                    value |= bits
            else:
                value |= self._meet(of_group)
        return value

    def _meet(self, values: Iterable[int]) -> int:
        value = self._names.all()
        for each in values:
            value &= each
        return value
