"""`testing.rehearse`: rehearsals inside tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetrun.actors import attempt, load_graph, step
from jetrun.actors.graph_problem import GraphInvalid
from jetrun.client import testing

GRAPH = "tasks: {a: {action: x, next: [{do: b}]}, b: {}}"


def test_rehearsal_passes_as_file_text_and_mapping(tmp_path: Path) -> None:
    """Nothing is returned, nothing is printed."""
    (tmp_path / "a.yaml").write_text(GRAPH, "utf-8")
    text = "graph: a.yaml\nexpect: {path: 'a, b'}\n"
    (tmp_path / "rehearsal.yaml").write_text(text, "utf-8")

    testing.rehearse(tmp_path / "rehearsal.yaml")
    testing.rehearse(str(tmp_path / "rehearsal.yaml"))
    testing.rehearse(text, folder=tmp_path)
    testing.rehearse({"graph": {"tasks": {"a": {"action": "x"}}}, "expect": {"path": ["a"]}})
    testing.rehearse(f'{{"graph": "{(tmp_path / "a.yaml").as_posix()}"}}')


def test_difference_is_an_assertion_error_with_the_text_of_the_command() -> None:
    """pytest shows it as it is."""
    with pytest.raises(AssertionError) as raised:
        testing.rehearse(f"graph: {{{GRAPH}}}\nscenarios:\n  x: {{expect: {{path: b}}}}\n  y: {{}}\n")

    assert str(raised.value).splitlines() == [
        "1 of 2 scenarios:",
        "not ok x",
        "  path, wave 1: expected b; got a",
        "  expected path: b",
        "  got path:      a > b",
    ]


def test_rehearsal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A misspelt field is no passing test, nor is a missing file."""
    with pytest.raises(GraphInvalid, match="did you mean 'expect'"):
        testing.rehearse({"graph": {"tasks": {"a": {}}}, "expxt": {}})
    with pytest.raises(FileNotFoundError):
        testing.rehearse(tmp_path / "nowhere.yaml")


LOOP = """
input: [{n: 0}]
tasks:
  start: {next: [{do: "work, side"}]}
  work:
    action: work
    input: {n: "{{ ctx.n }}"}
    delay: 5
    retry: {count: 1, delay: 10}
    next:
      - {when: "{{ succeeded() and ctx.n < 2 }}", publish: [{n: "{{ result() }}"}], do: work}
      - {when: "{{ succeeded() and ctx.n >= 2 }}", do: done}
      - {when: "{{ failed() }}", publish: [{why: "{{ error().message }}"}], do: "side, fail"}
  side: {wait: 1m}
  done: {action: work, with: "n in {{ [ctx.n, 10] }}", input: {n: "{{ item('n') }}"}, next: [{publish: [{all: "{{ result() }}"}]}]}
output: [{n: "{{ ctx.n }}"}, {all: "{{ ctx.all }}"}]
"""


@step
def work(n: int) -> int:
    if n == 0 and attempt().number == 1:
        raise ValueError("not yet")
    return n + 1


async def test_rehearsal_tells_what_a_run_does() -> None:
    """The interpreter is the same; status, output and the order of tasks are those of a run on the engine."""
    graph = load_graph(LOOP, name="loop")
    mocks = [{"activation": 1, "attempt": 1, "error": "not yet"}, {"results": [1, 2, 3]}]
    results = {"work": mocks, "done": {"results": [3, 11]}}

    async with testing.app(graph, work) as app:
        run = await app.client.start(graph.call(), run_id="r-1")
        output = await run.result()
        tasks = [event.data["task"] for event in await run.events() if event.kind == "task.started"]

    assert tasks == ["start", "side", "work", "work", "work", "done"]
    testing.rehearse(
        {
            "graph": graph.definition.value,
            "mock": results,
            "expect": {"output": output, "status": "succeeded", "path": tasks},
        }
    )
