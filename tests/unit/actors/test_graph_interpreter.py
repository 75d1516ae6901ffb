"""The interpreter of graphs as a function: of a state and an event, and of nothing else; in short pieces."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Final

import msgspec
import pytest

from jetrun.actors import graph_interpreter
from jetrun.actors.graph_events import ActionEnded, Beginning, Cancelled, DelayEnded, GraphEvent
from jetrun.actors.graph_fold import fold
from jetrun.actors.graph_interpreter import Interpreter
from jetrun.actors.graph_moves import Move, decode_moves, encode_moves
from jetrun.actors.graph_state import State
from support.graph_steps import graph

FLOW: Final = graph("""
input: [n]
tasks:
  s: {next: [{do: [a, b]}]}
  a: {action: "double x={{ ctx.n }}", retry: {count: 1, delay: 5, jitter: true, when: "{{ failed() }}"}, next: [{publish: [{a: "{{ result() }}"}], do: j}]}
  b: {with: "x in {{ [1, 2] }}", action: "double x={{ item('x') }}", next: [{publish: [{b: "{{ result() }}"}], do: j}]}
  j: {join: all, next: [{publish: [{at: "{{ timestamp() }}"}]}]}
output: {a: "{{ ctx.a }}", b: "{{ ctx.b }}", at: "{{ ctx.at }}"}
""").graph
EVENTS: Final[list[GraphEvent]] = [
    Beginning(input={"n": 1}),
    ActionEnded(id=2, status="failed"),
    ActionEnded(id=3, index=1, status="succeeded", result=4),
    DelayEnded(id=2),
    ActionEnded(id=3, index=0, status="succeeded", result=2),
    ActionEnded(id=2, status="succeeded", result=7),
]


def played(events: list[GraphEvent]) -> tuple[list[list[Move]], State]:
    """Takes events in, one a second."""
    interpreter = Interpreter(FLOW, State(), run={"id": "r1"})
    moves = [interpreter.advance(event, now_us=n * 1_000_000)[0] for n, event in enumerate(events)]
    return moves, interpreter.state


def test_equal_states_and_events_make_equal_moves() -> None:
    """W35: no clock, no chance, no I/O; jitter included."""
    one, state = played(EVENTS)
    other, same = played(copy.deepcopy(EVENTS))

    assert one == other
    assert state == same
    assert state.status == "succeeded"


@pytest.mark.parametrize("count", range(1, len(EVENTS) + 1))
def test_a_state_is_the_fold_of_its_moves_as_the_log_has_them(count: int) -> None:
    """So a replay needs no expression."""
    moves, state = played(EVENTS[:count])

    read = [move for some in moves for move in decode_moves(encode_moves(some))]

    assert fold(FLOW, read) == state


def test_what_an_ended_run_is_told_changes_nothing() -> None:
    """Its end is its last move."""
    interpreter = Interpreter(FLOW, played(EVENTS)[1], run={})
    before = msgspec.json.encode(interpreter.state.latest)

    assert interpreter.advance(Cancelled(), now_us=9) == ([], [])
    assert interpreter.advance(ActionEnded(id=2, status="failed"), now_us=9) == ([], [])
    assert msgspec.json.encode(interpreter.state.latest) == before


def test_an_end_that_comes_twice_counts_once() -> None:
    """Whoever tells it again."""
    events: list[GraphEvent] = [*EVENTS[:3], EVENTS[2], EVENTS[1], *EVENTS[3:]]
    moves, state = played(events)

    assert (moves[3], moves[4]) == ([], [])
    assert state.status == "succeeded"


def test_its_functions_are_short() -> None:
    """W35: below 60 lines each, so that each can be read."""
    folder = Path(graph_interpreter.__file__).parent
    for name in ("interpreter", "fold", "evaluation", "asking", "ending", "run", "work"):
        path = folder / f"graph_{name}.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                assert node.end_lineno - node.lineno < 60, f"{path.name}: {node.name}"
