"""Invariants of graph runs: what their moves tell has to hold together, and agree with the log around it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from jetrun.actors.commands import RunStep
from jetrun.actors.graph_model import HookAction, StepAction, TimerAction
from jetrun.actors.graph_moves import Delayed, Ended, Finished, ItemsStarted, Move, Skipped, Started, Stopped

from .audit import Case, Invariant
from .graph_story import GraphStory, stories
from .run_logs import RunLog

STATUSES: Final = {"succeeded": "completed", "failed": "failed", "cancelled": "cancelled"}
"""How a run ends whose moves end so."""

_READ: Final = re.compile(r"\{\{ ctx\.(\w+) \}\}")


def moves_fit(case: Case) -> list[str]:
    """Every move is of an activation that the moves before it have led to, under way or about to begin; each ends once."""
    return [f"{log.key}: {problem}" for log, story, _ in stories(case) for problem in story.problems]


def nothing_forgotten(case: Case) -> list[str]:
    """When a run ends by itself, all that was activated has ended, unless the run was stopped."""
    found: list[str] = []
    for log, story, moves in stories(case):
        if story.finished is None:
            continue
        is_stopped = any(isinstance(move, Stopped) for move in moves)
        left = [one for one in story.told.values() if not one.is_over and (one.has_begun or not is_stopped)]
        found += [f"{log.key}: activation {one.id} of {one.task} is open at the end" for one in left]
    return found


def joins_met_once(case: Case) -> list[str]:
    """A join begins once per instance, and only when those that it waits for have arrived."""
    found: list[str] = []
    for log, story, moves in stories(case):
        began = Counter({task: len(ids) for task, ids in _begun(moves).items()})
        met = Counter(join for (join, _, _), meeting in story.meetings.items() if meeting.is_met)
        for name, task in story.graph.tasks.items():
            if task.join and began[name] > met[name]:
                found.append(f"{log.key}: join {name} began {began[name]} times and was met {met[name]} times")
    return found


def _begun(moves: list[Move]) -> dict[str, set[int]]:
    begun: dict[str, set[int]] = {}
    for move in moves:
        if isinstance(move, (Started, Delayed, Skipped)):
            begun.setdefault(move.task, set()).add(move.id)
    return begun


def stopped_stays(case: Case) -> list[str]:
    """Nothing begins when a run is stopping but the siblings of `fail`, and nothing at all once it is cancelled."""
    return [f"{log.key}: {problem}" for log, story, _ in stories(case) for problem in story.after_stop]


def limits_hold(case: Case) -> list[str]:
    """Tasks begin no more often than `limits` says; a run that would is ended for that."""
    found: list[str] = []
    for log, story, moves in stories(case):
        limits = story.graph.limits
        begun = _begun(moves)
        over = [task for task, ids in begun.items() if len(ids) > limits.iterations]
        if over or sum(map(len, begun.values())) > limits.activations:
            found.append(f"{log.key}: tasks {over} began too often")
        if story.refused and not any(isinstance(m, Stopped) for m in moves):
            found.append(f"{log.key}: {story.refused} activations were refused, and the run goes on")
    return found


def ended_as_told(case: Case) -> list[str]:
    """A graph run ends by its last move, with that status, output and error; where it does not, it was ended from outside."""
    found: list[str] = []
    for log, story, moves in stories(case):
        outcome, finished = log.outcome, story.finished
        if finished is None:
            if log.status in ("completed", "failed", "cancelled"):
                found.append(f"{log.key}: {log.status}, and its last move is {moves[-1:]}")
            continue
        if outcome is None or outcome.status != STATUSES[finished.status]:
            found.append(f"{log.key}: its moves say {finished.status}, and it is {log.status}")
            continue
        output = None if outcome.ref is not None else msgspec.json.decode(outcome.result)
        if outcome.ref is None and output != finished.output:
            found.append(f"{log.key}: its moves say {finished.output}, and it has returned {output}")
        if finished.status == "failed" and outcome.error != finished.error:
            found.append(f"{log.key}: its moves say {finished.error}, and it failed for {outcome.error}")
    return found


def asked_in_order(case: Case) -> list[str]:
    """Each attempt of a task that is a step, and each item, has one step in the log, in that order, unless it was given up."""
    found: list[str] = []
    for log, story, moves in stories(case):
        left = [c.task for entry in log.entries for c in entry.record.commands if isinstance(c, RunStep)][::-1]
        dropped = _given_up(log, moves)
        for label, n in _asked(story, moves):
            if left and left[-1] == label:
                left.pop()
            elif n not in dropped:
                found.append(f"{log.key}: {label} of activation {n} has no step; the next one is {left[-1:]}")
                break
        else:
            if left:
                found.append(f"{log.key}: steps {left[::-1]} were asked for by no move")
    return found


def _asked(story: GraphStory, moves: list[Move]) -> Iterator[tuple[str, int]]:
    for move in moves:
        if isinstance(move, (Started, ItemsStarted)) and isinstance(story.graph.tasks[move.task].action, StepAction):
            if isinstance(move, ItemsStarted):
                yield from ((f"{move.task}[{n}]", move.id) for n in range(move.first, move.first + move.count))
            elif move.items is None:
                yield move.task, move.id


def _given_up(log: RunLog, moves: list[Move]) -> set[int]:
    """Lists activations that ended otherwise than by their work: nothing was asked for yet, perhaps."""
    ended = {move.id: move.status for move in moves if isinstance(move, Ended)}
    started = {move.id for move in moves if isinstance(move, Started)}
    return {n for n in started if ended.get(n, "") == "cancelled" or (n not in ended and log.status != "completed")}


def variables_stand(case: Case) -> list[str]:
    """What the output reads is what the moves have published last."""
    found: list[str] = []
    for log, story, moves in stories(case):
        finished = moves[-1] if moves and isinstance(moves[-1], Finished) else None
        for name, value in ((finished.output if finished is not None else None) or {}).items():
            read = next((_READ.fullmatch(str(t.value)) for n, t in story.graph.output if n == name), None)
            if read is not None and story.latest.get(read[1]) != value:
                found.append(f"{log.key}: returns {name} = {value!r}, published was {story.latest.get(read[1])!r}")
    return found


def cancelled_as_said(case: Case) -> list[str]:
    """A graph that lets finish what runs (`on_cancel: allow_finish`) gives up nothing but waits, delays and rests of items."""
    found: list[str] = []
    for log, story, moves in stories(case):
        if story.graph.on_cancel != "allow_finish":
            continue
        phases: dict[int, str] = {}
        for move in moves:
            match move:
                case Delayed():
                    phases[move.id] = "delayed"
                case Started():
                    phases[move.id] = "waits" if _waits(story, move) else "runs"
                case Ended() if move.status == "cancelled" and phases.get(move.id) == "runs":
                    found.append(f"{log.key}: activation {move.id} of {move.task} was given up")
                case _:
                    pass
    return found


def _waits(story: GraphStory, move: Started) -> bool:
    task = story.graph.tasks[move.task]
    return task.items is not None or isinstance(task.action, (TimerAction, HookAction))


GRAPH_INVARIANTS = [
    Invariant("I37", "a graph's moves fit together, and each activation ends once", moves_fit),
    Invariant("I37", "what a graph has activated is over when it ends", nothing_forgotten),
    Invariant("I38", "a join is met once per instance, by its arrivals", joins_met_once),
    Invariant("I39", "nothing begins in a graph that stops but siblings of `fail`", stopped_stays),
    Invariant("I39", "a cancelled graph gives up what its definition says", cancelled_as_said),
    Invariant("I40", "activations are counted and bounded", limits_hold),
    Invariant("I41", "a graph run ends as its last move says", ended_as_told),
    Invariant("I42", "each attempt and each item of a step has one step in the log, in order", asked_in_order),
    Invariant("I43", "variables are what was published last", variables_stand),
]
