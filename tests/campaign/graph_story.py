"""What a graph run's moves tell, read again without the engine's fold: activations, their pasts, joins, variables.

The engine carries ancestries and forgets what is over; here the whole past of every activation is kept and searched, so that
both agree only where both are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from jetrun.actors.commands import Advance
from jetrun.actors.graph_advance import LargeAdvance
from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_model import ROOT, Graph
from jetrun.actors.graph_moves import (
    Began,
    Broken,
    Delayed,
    Ended,
    Finished,
    ItemEnded,
    ItemsStarted,
    Move,
    Skipped,
    Started,
    Stopped,
    Took,
    decode_moves,
)

from .audit import Case
from .run_logs import RunLog

Seen = dict[str, tuple[int, object]]
"""Variables as a branch sees them: the number of the publish that has set each, and its value."""


class Told(msgspec.Struct, kw_only=True):
    """One activation."""

    id: int
    task: str
    past: frozenset[int]
    sees: Seen
    is_last: bool
    """A sibling of `fail`."""
    has_begun: bool = False
    is_over: bool = False
    items: dict[int, str] = {}


class Meeting(msgspec.Struct, kw_only=True):
    """One instance of a join."""

    arrived: list[int]
    sees: Seen
    is_met: bool = False
    late: int = 0
    """Arrivals when it was met already."""


class GraphStory:
    """Follows the moves of one run, and takes down what does not fit.

    Args:
        graph: The definition that the run began with.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph: Final = graph
        self.problems: list[str] = []
        self.told: dict[int, Told] = {}
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, object] = {}
        self.meetings: dict[tuple[str, int, int], Meeting] = {}
        self.refused = 0
        """Activations that the limits have not let begin."""
        self.after_stop: list[str] = []
        """What began although the run was stopping."""
        self._published = 0
        self._just: tuple[Told, Ended | Skipped] | None = None
        self._stopped: set[str] = set()
        self._finished: Finished | None = None

    @property
    def finished(self) -> Finished | None:
        """How the moves say that the run has ended."""
        return self._finished

    @property
    def withheld(self) -> int:
        """Counts activations that have not begun."""
        return sum(not (one.has_begun or one.is_over) for one in self.told.values())

    def follow(self, move: Move) -> None:
        """Takes one move in."""
        if self._finished is not None:
            self.problems.append(f"{move} follows the end")
        match move:
            case Began():
                self._begin(move)
            case Took():
                self._take(move)
            case Stopped():
                self._stopped.add(move.why)
            case Finished():
                self._finished = move
            case Broken():
                pass
            case _:
                self._follow_one(move)

    def _follow_one(self, move: Skipped | Delayed | Started | ItemsStarted | ItemEnded | Ended) -> None:
        one = self.told.get(move.id)
        if one is None or one.is_over or one.task != move.task:
            self.problems.append(f"{move} is of no activation that is there: {one}")
            return
        match move:
            case Started() | Delayed():
                self._check_stop(one, move)
                one.has_begun = one.has_begun or isinstance(move, Started)
                one.items = {}
            case ItemsStarted():
                if "cancel" in self._stopped:
                    self.after_stop.append(f"{move} follows a cancel")
                for index in range(move.first, move.first + move.count):
                    if index in one.items:
                        self.problems.append(f"{move} begins item {index} again")
                    one.items[index] = "begun"
            case ItemEnded():
                if one.items.get(move.index) != "begun":
                    self.problems.append(f"{move} ends an item that was not under way")
                one.items[move.index] = move.status
            case Skipped() | Ended():
                if isinstance(move, Skipped):
                    self._check_stop(one, move)
                one.is_over = True
                self._just = (one, move)

    def _check_stop(self, one: Told, move: Skipped | Delayed | Started) -> None:
        is_first = not one.has_begun
        if "cancel" in self._stopped or (self._stopped and is_first and not one.is_last):
            self.after_stop.append(f"{move} follows {sorted(self._stopped)}")

    # --- tokens -----------------------------------------------------------------------------------------
    def _begin(self, move: Began) -> None:
        if self.told or self._published:
            self.problems.append(f"{move} is not the first")
        sees = self._publish({}, move.variables)
        for task in move.tasks:
            self._activate(task, sees, frozenset(), is_last=False)

    def _publish(self, sees: Seen, published: dict[str, object]) -> Seen:
        self._published += 1
        self.latest.update(published)
        return {**sees, **{name: (self._published, value) for name, value in published.items()}}

    def _activate(self, task: str, sees: Seen, past: frozenset[int], *, is_last: bool) -> None:
        limits = self.graph.limits
        if self.counts[task] >= limits.iterations or len(self.told) >= limits.activations:
            self.refused += 1
            return
        self.counts[task] += 1
        new = len(self.told) + 1
        self.told[new] = Told(id=new, task=task, past=past, sees=sees, is_last=is_last)

    def _take(self, move: Took) -> None:
        if self._just is None or self._just[0].id != move.id:
            self.problems.append(f"{move} is of an activation that has not just ended")
            return
        one, end = self._just
        edge = self.graph.tasks[one.task].edges[move.edge]
        sees = self._publish(one.sees, move.published) if move.published else one.sees
        for target in edge.targets:
            if self.graph.tasks[target].join:
                self._arrive(target, one, sees)
            else:
                is_last = isinstance(end, Ended) and end.fails
                self._activate(target, sees, one.past | {one.id}, is_last=is_last)

    def _arrive(self, join: str, one: Told, sees: Seen) -> None:
        past = one.past | {one.id}
        dominator = self.graph.dominators.get(join, ROOT)
        meeting = self.meetings.setdefault(
            (join, self._newest(dominator, past), self._newest(join, past)), Meeting(arrived=[], sees=sees)
        )
        if meeting.is_met:
            meeting.late += 1
            return
        meeting.arrived.append(one.id)
        meeting.sees = {
            name: max(meeting.sees.get(name, (-1, None)), sees.get(name, (-1, None)), key=lambda found: found[0])
            for name in {**meeting.sees, **sees}
        }
        tasks = {self.told[n].task for n in meeting.arrived}
        if all(len(group.predecessors & tasks) >= group.need for group in self.graph.tasks[join].join):
            meeting.is_met = True
            pasts = frozenset(meeting.arrived).union(*(self.told[n].past for n in meeting.arrived))
            end = self._just[1] if self._just is not None else None
            self._activate(join, meeting.sees, pasts, is_last=isinstance(end, Ended) and end.fails)

    def _newest(self, task: str, past: frozenset[int]) -> int:
        return max((n for n in past if self.told[n].task == task), default=0)


def advances(log: RunLog, objects: Mapping[str, bytes]) -> Iterator[LargeAdvance]:
    """Yields what each `Advance` of a log holds."""
    for entry in log.entries:
        for command in entry.record.commands:
            if not isinstance(command, Advance):
                continue
            if command.ref is None:
                yield LargeAdvance(command.moves, command.definition)
            else:
                yield msgspec.json.decode(objects[command.ref.sha256], type=LargeAdvance)


def first_definition(log: RunLog, objects: Mapping[str, bytes]) -> bytes:
    """Reads the definition that a run of a registered graph began with; nothing where its log has none."""
    return next((bytes(a.definition) for a in advances(log, objects) if a.definition is not None), b"")


def _definition_of(case: Case, log: RunLog) -> Definition:
    raw = first_definition(log, case.remains.objects)
    if raw:
        return Definition.of_raw(raw)
    given = case.plans[log.key].args[0]
    assert isinstance(given, dict), "a run that brings its definition along"
    return Definition.of(given["definition"])


def stories(case: Case) -> list[tuple[RunLog, GraphStory, list[Move]]]:
    """Follows every graph run of a case from its first move to its last; asked again, it has the answer at hand."""
    if not _known or _known[0][0] is not case:
        _known[:] = [(case, [*_followed(case)])]
    return _known[0][1]


_known: list[tuple[Case, list[tuple[RunLog, GraphStory, list[Move]]]]] = []


def _followed(case: Case) -> Iterator[tuple[RunLog, GraphStory, list[Move]]]:
    for log in case.logs():
        moves = [move for advance in advances(log, case.remains.objects) for move in decode_moves(advance.moves)]
        if moves:
            story = GraphStory(_definition_of(case, log).graph)
            for move in moves:
                story.follow(move)
            yield log, story, moves
