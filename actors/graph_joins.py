"""Joins of a transition graph: for how many each waits, whether that can happen, and what its branches do meanwhile."""

from __future__ import annotations

from typing import Final

from .graph_cycles import components
from .graph_draft import Setting, Wiring
from .graph_findings import Findings
from .graph_model import Group

_STEPS_MAX: Final = 200_000
"""Tasks looked at for warnings, over all joins; a graph with more gets those that were found."""


def groups_of(wiring: Wiring, number: int) -> tuple[Group, ...]:
    """Returns what a task waits for; nothing where it has no join, or nothing leads to it."""
    draft = wiring.drafts[number]
    if draft.join is None:
        return draft.task.join
    before = wiring.predecessors[number]
    if not before:
        return ()
    need = len(before) if draft.join == "all" else draft.join
    return (Group(predecessors=frozenset(wiring.names[each] for each in before), need=need),)


def check_joins(findings: Findings, wiring: Wiring) -> None:
    """Notes joins that cannot be met."""
    for number, draft in enumerate(wiring.drafts):
        if draft.join is None:
            continue
        before = len(wiring.predecessors[number])
        path = (*draft.path, "join")
        if draft.join != "all" and draft.join > max(before, 1):
            text = f"the join waits for {draft.join} tasks, but {before} lead to it; it could never be met"
            findings.error("join_exceeds_inbound", path, text)
        elif not before:
            findings.warning("join_without_inbound", path, "no task leads to this join; leave it out")


class Branches:
    """What lies between each join and its dominator: warnings alone, of a bounded effort.

    Args:
        dominators: Per task, as `immediate_dominators` has them.
    """

    def __init__(self, findings: Findings, wiring: Wiring, dominators: list[int | None]) -> None:
        self._findings = findings
        self._wiring = wiring
        self._dominators = dominators
        self._steps_left = _STEPS_MAX
        self._component = [0] * len(wiring.names)
        for index, members in enumerate(components(wiring.successors)):
            for number in members:
                self._component[number] = index
        self._splits = self._splitting()

    def check(self) -> None:
        """Notes joins to which a branch can come several times, and variables that two branches set."""
        for number in range(len(self._wiring.names)):
            groups = groups_of(self._wiring, number)
            above = self._dominators[number]
            if not groups or above is None:
                continue
            regions = [self._region(before, above, number) for before in self._wiring.predecessors[number]]
            if self._steps_left <= 0:  # the last region is not whole
                return
            if self._wiring.drafts[number].join is not None:
                self._check_ambiguous(number, regions)
            if any(group.need > 1 for group in groups):
                self._check_writes(number, regions)

    def _region(self, start: int, above: int, join: int) -> set[int]:
        """Goes back from a predecessor of a join as far as its dominator, without it."""
        if start == above:
            return set()
        seen = {start}
        stack = [start]
        while stack and self._steps_left > 0:
            self._steps_left -= 1
            for before in self._wiring.predecessors[stack.pop()]:
                if before not in seen and before not in {above, join}:
                    seen.add(before)
                    stack.append(before)
        return seen

    def _splitting(self) -> set[int]:
        """Finds tasks that may be begun several times though no cycle leads to them again."""
        counts = [0] * len(self._wiring.names)
        for source, _, target in self._wiring.inbound():
            counts[target] += self._component[source] != self._component[target]
        return {number for number, count in enumerate(counts) if count > 1 and not groups_of(self._wiring, number)}

    def _check_ambiguous(self, join: int, regions: list[set[int]]) -> None:
        inside = {number for region in regions for number in region}
        splits = [each for each in sorted(inside & self._splits) if self._component[each] != self._component[join]]
        if splits:
            name = self._wiring.names[splits[0]]
            text = (
                f"{name!r} on the way to this join can be begun several times; the join fires once and takes the first"
            )
            path = (*self._wiring.drafts[join].path, "join")
            self._findings.warning(
                "join_ambiguous", path, f"{text}: give {name!r} a join of its own, if that is not meant"
            )

    def _check_writes(self, join: int, regions: list[set[int]]) -> None:
        """Compares what branches set that do not share the task which sets it; once per variable."""
        shared: dict[int, int] = {}
        for region in regions:
            for number in region:
                shared[number] = shared.get(number, 0) + 1
        writer: dict[str, tuple[int, int]] = {}
        noted: set[str] = set()
        for branch, region in enumerate(regions):
            for number in sorted(region):
                for setting in self._settings(number) if shared[number] == 1 else ():
                    first, source = writer.setdefault(setting.name, (branch, number))
                    if first != branch and setting.name not in noted:
                        noted.add(setting.name)
                        self._note_write(join, source, setting)

    def _settings(self, number: int) -> list[Setting]:
        found = [setting for draft in self._wiring.drafts[number].edges for setting in draft.settings]
        self._steps_left -= len(found)
        return found

    def _note_write(self, join: int, source: int, setting: Setting) -> None:
        names = self._wiring.names
        text = f"{names[source]!r} sets {setting.name!r}, too, on another branch to {names[join]!r}"
        self._findings.warning("write_conflict", setting.path, f"{text}; the one that writes last wins")
