"""Graph runs that stop while their log is so long that they should continue as new."""

from __future__ import annotations

import pytest

from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_events import ActionEnded, Beginning, GoOn
from jetrun.actors.graph_interpreter import Interpreter
from jetrun.actors.graph_moves import Finished
from jetrun.actors.graph_state import State

TEXT = """
tasks:
  a: {action: first, next: [{do: [clean, fail]}]}
  clean: {action: clean}
"""


@pytest.mark.parametrize("is_holding", [False, True])
def test_what_fails_a_run_lets_its_siblings_have_their_go(is_holding: bool) -> None:
    """Found by the simulation: a run that began nothing new for its long log ended without `clean`."""
    interpreter = Interpreter(Definition.of(TEXT).graph, State(), run={})
    interpreter.advance(Beginning(), now_us=0)
    interpreter.is_holding = is_holding

    moves, asks = interpreter.advance(ActionEnded(id=1, status="succeeded"), now_us=1)

    assert [ask.task for ask in asks] == ["clean"]
    assert not any(isinstance(move, Finished) for move in moves)


def test_a_run_that_does_not_stop_holds_back_what_would_begin() -> None:
    """Else a busy graph would never come to the quiet moment in which it continues as new."""
    interpreter = Interpreter(Definition.of(TEXT.replace(", fail", "")).graph, State(), run={})
    interpreter.advance(Beginning(), now_us=0)
    interpreter.is_holding = True

    held = interpreter.advance(ActionEnded(id=1, status="succeeded"), now_us=1)[1]
    interpreter.is_holding = False
    begun = interpreter.advance(GoOn(), now_us=2)[1]

    assert not held
    assert [ask.task for ask in begun] == ["clean"]
