"""What one event of a graph run can lead to at once: however much it is, the run ends, and the worker's loop is not held."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jetrun.actors.graph_definition import Definition
from jetrun.actors.graph_events import ActionEnded, Beginning
from jetrun.actors.graph_interpreter import Interpreter
from jetrun.actors.graph_moves import Broken, Finished, Move
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.actors.graph_state import State
from jetrun.actors.limits import GRAPH_INSTANT_MAX

MANY = {"iterations": 1_000_000, "activations": 1_000_000}
ROUND = {"when": "{{ succeeded() }}", "do": "a"}
LOOP_S = 2.0
"""Some ten times what these take on an idle machine; quadratic time would be minutes."""


def interpreter(definition: dict[str, Any]) -> Interpreter:
    return Interpreter(Definition.of(definition).graph, State(), run={})


def begun(definition: dict[str, Any], **given: object) -> list[Move]:
    running = interpreter(definition)
    started = time.process_time()
    moves, _ = running.advance(Beginning(input=given), now_us=0)
    assert time.process_time() - started < LOOP_S
    return moves


def end(moves: list[Move]) -> Finished:
    assert isinstance(moves[-1], Finished), "the run would wait for ever"
    return moves[-1]


def test_an_expression_without_value_beside_a_task_that_waits_for_nothing_ends_the_run() -> None:
    """The end of the task that had begun was forgotten: the run waited for it for ever."""
    finished = end(begun({"tasks": {"a": {}, "b": {"run_if": "{{ 1 / 0 > 1 }}"}}}))

    assert finished.status == "failed"
    assert finished.error is not None
    assert finished.error.code == "expression_error"


def test_ten_thousand_tasks_that_wait_for_nothing_succeed() -> None:
    """As many as a definition may have are legal."""
    assert end(begun({"tasks": {f"t{n}": {} for n in range(10_000)}})).status == "succeeded"


def test_a_chain_of_tasks_that_wait_for_nothing_succeeds() -> None:
    """It is one event, however long."""
    chain = {f"t{n}": {"next": [{"do": f"t{n + 1}"}]} for n in range(2_000)}

    assert end(begun({"tasks": {**chain, "t2000": {}}})).status == "succeeded"


@pytest.mark.parametrize("edges", [[ROUND], [ROUND, ROUND], [{**ROUND, "publish": {"n": "{{ ctx.n + 1 }}"}}]])
def test_a_loop_that_waits_for_nothing_ends_the_run(edges: list[dict[str, object]]) -> None:
    """It would hold its worker, or wait for ever for the task at which it was stopped."""
    tasks = {"s": {"next": [{"do": "a"}]}, "a": {"next": edges}}

    finished = end(begun({"limits": MANY, "vars": {"n": 0}, "tasks": tasks}))

    assert finished.status == "failed"
    assert finished.error is not None
    assert finished.error.code == "activation_limit"
    assert f"more than {GRAPH_INSTANT_MAX} activations" in finished.error.message


def test_a_retry_without_delay_of_a_task_that_waits_for_nothing_ends_the_run() -> None:
    """As above; its attempts are no activations."""
    finished = end(begun({"tasks": {"a": {"retry": {"count": 1_000_000, "delay": 0, "when": "{{ succeeded() }}"}}}}))

    assert finished.error is not None
    assert finished.error.code == "activation_limit"


def test_copies_of_many_variables_count() -> None:
    """Each publish copies them: 20,000 times 30,000 of them would hold the worker for a minute."""
    tasks = {"s": {"next": [{"do": "a"}]}, "a": {"next": [{**ROUND, "publish": {"n": 1}}]}}

    finished = end(begun({"limits": MANY, "vars": [{f"v{n}": 1} for n in range(30_000)], "tasks": tasks}))

    assert finished.error is not None
    assert finished.error.code == "activation_limit"


@pytest.mark.parametrize("publishes", [False, True])
def test_a_join_of_five_thousand_takes_linear_time(publishes: bool) -> None:
    """With all arrivals compared anew at each one it took minutes, live and on replay."""
    tasks: dict[str, Any] = {
        f"t{n}": {"next": [{"do": "j", **({"publish": {f"v{n}": 1}} if publishes else {})}]} for n in range(5_000)
    }

    assert end(begun({"tasks": {**tasks, "j": {"join": "all"}}})).status == "succeeded"


def test_joins_that_are_not_met_are_named_in_short() -> None:
    """Thousands of them were written out, in quadratic time, to show ten."""
    forks = {f"a{n}": {"next": [{"do": f"j{n}"}]} for n in range(3_000)}
    failing = {"z": {"next": [{"when": "{{ failed() }}", "do": [f"j{n}" for n in range(3_000)]}]}}
    joins = {f"j{n}": {"join": "all"} for n in range(3_000)}

    finished = end(begun({"tasks": {**forks, **failing, **joins}}))

    assert finished.error is not None
    assert finished.error.code == "join_unreachable"
    assert finished.error.message.count(";") == 9


def test_a_join_names_few_of_those_that_it_misses() -> None:
    """An error's message is for people."""
    tasks: dict[str, Any] = {
        f"t{n}": {"next": [{"when": "{{ failed() }}" if n else "{{ succeeded() }}", "do": "j"}]} for n in range(1_000)
    }

    finished = end(begun({"tasks": {**tasks, "j": {"join": "all"}}}))

    assert finished.error is not None
    assert finished.error.message.endswith("t9, t10 and 989 others would be needed")


def test_what_one_event_publishes_is_bounded() -> None:
    """A variable of 500 KB, published by 1,000 tasks at once, was 500 MB of log."""
    tasks = {f"a{n}": {"next": [{"publish": {"y": "{{ ctx.x }}"}}]} for n in range(1_000)}

    moves = begun({"vars": {"x": "a" * 500_000}, "tasks": tasks})

    assert end(moves).status == "failed"
    assert {move.kind for move in moves if isinstance(move, Broken)} == {"value_limit"}


def test_many_assignments_and_outputs_take_linear_time() -> None:
    """Each saw a copy of all the ones before it."""
    names = [f"v{n}" for n in range(5_000)]
    tasks = {"a": {"next": [{"publish": [{name: "{{ ctx.x }}"} for name in names]}]}}
    output = [{f"o{name}": "{{ ctx.x }}"} for name in names]

    finished = end(begun({"vars": {"x": 1}, "tasks": tasks, "output": output}))

    assert finished.output is not None
    assert len(finished.output) == 5_000


def test_an_assignment_sees_the_ones_before_it_and_nobody_sees_later_ones() -> None:
    """All variables as a value (`ctx()`) are those of that moment."""
    publish = [{"p": "{{ ctx() }}"}, {"q": "{{ ctx() }}"}]

    finished = end(begun({"tasks": {"a": {"next": [{"publish": publish}]}}, "output": {"q": "{{ ctx.q }}"}}))

    assert finished.output == {"q": {"p": {}}}


def test_layers_of_a_dependency_graph_that_all_wait_for_each_other_are_joined_quickly() -> None:
    """What tells instances of a join apart was carried along where nothing runs twice: a second for each hundred steps."""
    width, depth = 30, 15
    steps: dict[str, Any] = {f"s0_{n}": {"step": "x"} for n in range(width)}
    for level in range(1, depth):
        after = [f"s{level - 1}_{n}" for n in range(width)]
        steps |= {f"s{level}_{n}": {"step": "x", "after": after} for n in range(width)}
    running = interpreter({"steps": steps})
    started = time.process_time()
    _, asks = running.advance(Beginning(), now_us=0)
    while asks:
        ask = asks.pop(0)
        asks += running.advance(ActionEnded(id=ask.activation, status="succeeded", result=1), now_us=1)[1]

    assert running.state.status == "succeeded"
    assert time.process_time() - started < LOOP_S


@pytest.mark.slow
def test_all_different_expressions_of_a_definition_are_bounded() -> None:
    """A definition of 1 MiB that is nothing else was parsed for many seconds, on the worker's loop."""
    texts = [f"{{{{ [{f'{n},' * 500}0] }}}}" for n in range(200)]

    with pytest.raises(GraphInvalid, match="all different expressions have more than 262144 bytes"):
        _ = Definition.of({"vars": [{f"v{n}": text} for n, text in enumerate(texts)], "tasks": {"a": {}}}).graph
