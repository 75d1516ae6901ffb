"""`wfctl graph run`, `show`, `rerun`, `draw --run` and `tail`, with real workers; exit codes and one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest

from jetrun.cli.main import main
from support.fleet import Fleet, running_fleet

pytestmark = pytest.mark.slow

DEPLOY = """
name: deploy
input: [n, {path: ""}]
tasks:
  build: {action: "double x={{ ctx.n }}", next: [{publish: [{built: "{{ result() }}"}], do: [test, lint]}]}
  test: {action: "read_text path={{ ctx.path }}", next: [{when: "{{ succeeded() }}", publish: [{tested: "{{ result() }}"}], do: release}]}
  lint: {with: "x in {{ [1, 2] }}", action: "double x={{ item('x') }}", next: [{do: release}]}
  release: {join: all, wait: 100ms}
output: {built: "{{ ctx.built }}", tested: "{{ default(ctx.tested, none) }}"}
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def graph_fleet(nats_url: str) -> Iterator[Fleet]:
    with running_fleet(nats_url, ["support.graph_steps"]) as fleet:
        yield fleet


@pytest.fixture
def wfctl(graph_fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line against the fleet's app, in this process, where a traceback would be an exception."""

    def run(*argv: str) -> Ended:
        capsys.readouterr()
        code = main(["--url", graph_fleet.url, "--app", graph_fleet.app.name, *argv])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture
def deploy(tmp_path: Path) -> str:
    path = tmp_path / "deploy.yaml"
    path.write_text(DEPLOY, "utf-8")
    return str(path)


def test_a_definition_is_run_to_its_output(wfctl: Run, deploy: str, tmp_path: Path) -> None:
    """No worker knows it; the output alone is on standard output."""
    (tmp_path / "report").write_text("fine")
    given = json.dumps({"n": 4, "path": str(tmp_path / "report")})

    ended = wfctl("graph", "run", deploy, "--input", given, "--wait", "--run-id", "whole")

    assert (ended.code, json.loads(ended.out)) == (0, {"built": 8, "tested": "fine"})
    tail = wfctl("tail", "jetrun-graph/whole")
    assert tail.code == 0
    assert [
        word for word in ("graph.began", "task.started", "task.took", "graph.finished") if word not in tail.out
    ] == []


def test_inputs_come_from_a_file_and_a_run_begins_where_it_is_told(wfctl: Run, deploy: str, tmp_path: Path) -> None:
    """`--input @FILE`, `--start` as often as needed; without `--wait` the run's name."""
    (tmp_path / "input.json").write_text('{"n": 1}')

    ended = wfctl(
        "graph", "run", deploy, "--input", f"@{tmp_path / 'input.json'}", "--start", "lint", "--run-id", "part"
    )
    assert ended == (0, "jetrun-graph/part\n", "")
    # Of the join's two predecessors one arrives.
    waited = wfctl("graph", "run", deploy, "--input", '{"n": 1}', "--start", "lint", "--wait")

    assert waited.code == 1
    assert "join 'release' is partially satisfied" in waited.err


def test_a_run_is_shown_drawn_and_begun_again(wfctl: Run, deploy: str, tmp_path: Path) -> None:
    """What failed is done again, what went well is taken over."""
    given = json.dumps({"n": 4, "path": str(tmp_path / "late")})
    failed = wfctl("graph", "run", deploy, "--input", given, "--wait", "--run-id", "torn")
    shown = wfctl("graph", "show", "jetrun-graph/torn")
    as_json = wfctl("graph", "show", "torn", "--json")
    mermaid = wfctl("graph", "draw", "--run", "jetrun-graph/torn")
    svg = wfctl("graph", "draw", "--run", "torn", "--output", str(tmp_path / "torn.svg"))
    (tmp_path / "late").write_text("late")
    again = wfctl("graph", "rerun", "torn", "--wait", "--run-id", "mended")

    assert failed.code == 1
    assert "task 'test' failed" in failed.err
    assert "no file late" in failed.err
    lines = shown.out.splitlines()
    assert lines[0] == "failed"
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["succeeded", "build"],
        ["failed", "test"],
        ["succeeded", "lint"],
        ["waiting", "release"],
    ]
    assert "items 2/2" in lines[3]
    assert "  built = 8" in lines
    assert json.loads(as_json.out)["tasks"]["test"]["state"] == "failed"
    assert mermaid.code == 0
    assert mermaid.out.startswith("flowchart")
    assert "failed" in mermaid.out
    assert svg.code == 0
    assert ET.parse(tmp_path / "torn.svg").getroot().tag.endswith("svg")
    assert (again.code, json.loads(again.out)) == (0, {"built": 8, "tested": "late"})
    assert wfctl("graph", "show", "mended").out.startswith("succeeded, begun again of torn\n")
    assert wfctl("graph", "show", "torn").out == shown.out


def test_named_tasks_are_begun_again(wfctl: Run, deploy: str, tmp_path: Path) -> None:
    """`--task`, as often as needed."""
    (tmp_path / "report").write_text("one")
    given = json.dumps({"n": 4, "path": str(tmp_path / "report")})
    wfctl("graph", "run", deploy, "--input", given, "--wait", "--run-id", "good")
    (tmp_path / "report").write_text("two")

    again = wfctl("graph", "rerun", "good", "--task", "test", "--task", "release", "--wait", "--run-id", "better")

    assert (again.code, json.loads(again.out)) == (0, {"built": 8, "tested": "two"})
    assert [event["data"]["name"] for event in events_of(wfctl, "better") if event["kind"] == "step.scheduled"] == [
        "read_text"
    ]


def events_of(wfctl: Run, run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in wfctl("tail", f"jetrun-graph/{run}", "--json").out.splitlines()]


@pytest.mark.parametrize(
    ("argv", "code", "line"),
    [
        (["run", "{file}", "--input", "[1]"], 2, "--input is no JSON object"),
        (["run", "{file}", "--input", "{nonsense"], 2, "--input"),
        (["run", "{file}", "--input", "@/nowhere/at.all"], 2, "/nowhere/at.all"),
        (["run", "/nowhere/at.all.yaml"], 2, "/nowhere/at.all.yaml"),
        (["run", "{file}", "--run-id", "a.b"], 2, "run id 'a.b' contains '.'"),
        (["run", "{file}", "--start", "nobody"], 2, "flow.yaml has no task 'nobody'; it has a"),
        (["show", "nobody"], 1, "nobody"),
        (["show", "successor/plain"], 1, "it runs another workflow"),
        (["rerun", "nobody"], 1, "nobody"),
        (["rerun", "done"], 1, "no task of run done has failed, and none is named"),
        (["rerun", "done", "--task", "nobody"], 1, "the graph has no task 'nobody'"),
        (["rerun", "done", "--run-id", "a b"], 2, "contains ' '"),
        (["draw"], 2, "name what to draw"),
        (["draw", "{file}", "--run", "done"], 2, "name what to draw"),
        (["draw", "--run", "nobody"], 1, "nobody"),
    ],
)
def test_misuse_is_one_clear_line(
    wfctl: Run, tmp_path: Path, ended_runs: None, argv: list[str], code: int, line: str
) -> None:
    """Exit code 2 for what cannot be meant, 1 for what cannot be done; nothing on standard output."""
    file = tmp_path / "flow.yaml"
    file.write_text("tasks: {a: {action: core.noop}}")

    ended = wfctl("graph", *(word.replace("{file}", str(file)) for word in argv))

    assert (ended.code, ended.out) == (code, ""), ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert line in ended.err


@pytest.fixture
def ended_runs(wfctl: Run, tmp_path: Path) -> None:
    """A graph's run, `done`, and one that is none, `successor/plain`; there are the same ones for all tests."""
    path = tmp_path / "done.yaml"
    path.write_text("tasks: {a: {wait: 0.01}}")
    assert wfctl("graph", "run", str(path), "--run-id", "done", "--wait").code == 0
    assert wfctl("start", "successor", "1", "--run-id", "plain", "--wait").code == 0


def test_a_definition_that_is_not_valid_is_not_started(wfctl: Run, tmp_path: Path) -> None:
    """All problems, each with its line; no run."""
    path = tmp_path / "bad.yaml"
    path.write_text("tasks:\n  a: {do: b}\n  c: {next: [{do: nobody}]}\n")

    ended = wfctl("graph", "run", str(path), "--run-id", "bad")

    assert (ended.code, ended.out) == (1, "")
    assert "unknown_field" in ended.err
    assert "undefined_target" in ended.err
    assert wfctl("graph", "show", "bad").code == 1


def test_an_input_that_is_not_declared_is_said(wfctl: Run, tmp_path: Path) -> None:
    """It is dropped, as in Orquesta; a mistyped name would else be found out by its consequences."""
    (tmp_path / "flow.yaml").write_text("input: [name]\ntasks: {a: null}")

    ended = wfctl("graph", "run", str(tmp_path / "flow.yaml"), "--input", '{"firstname": 1}', "--wait")

    assert (ended.code, ended.out.strip()) == (0, "null")
    assert "warning: the graph has no input 'firstname'" in ended.err
