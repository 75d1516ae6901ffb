"""`wfctl graph rehearse`: rehearsals and definitions, what is printed, and exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from jetrun.cli.main import main

DEFINITION = """\
input: [{n: 1}]
tasks:
  a: {action: x, next: [{when: "{{ succeeded() }}", publish: [{n: "{{ result() }}"}], do: b}, {when: "{{ failed() }}", do: noop}]}
  b: {action: y}
output: [{n: "{{ ctx.n }}"}]
"""
REHEARSAL = """\
graph: ../a.yaml
scenarios:
  good: {mock: {a: {result: 2}}, expect: {path: "a, b", output: {n: 2}}}
  other: {mock: {a: failed}, expect: {path: a, output: {n: 1}}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(DEFINITION, "utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.yaml").write_text(REHEARSAL, "utf-8")
    return tmp_path


def test_rehearsal_finds_its_definition_beside_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever folder the command is called from."""
    assert main(["graph", "rehearse", "tests/a.yaml", "--require-coverage", "100"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok good",
        "ok other",
        "coverage of a.yaml: 2 of 2 tasks, 2 of 2 transitions",
        "2 scenarios, all as expected",
    ]


def test_difference_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; the other scenarios are rehearsed all the same."""
    (folder / "tests" / "a.yaml").write_text(REHEARSAL.replace("n: 2}}}", "n: 3}}}"), "utf-8")

    assert main(["graph", "rehearse", "tests/a.yaml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["not ok good", "  output.n: expected 3, got 2", "ok other"]
    assert lines[-1] == "2 scenarios, 1 not as expected"


def test_missing_coverage_fails_where_it_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    """Three of four are 75 percent."""
    assert main(["graph", "rehearse", "a.yaml", "--require-coverage", "75"]) == 0
    assert main(["graph", "rehearse", "a.yaml", "--require-coverage", "76"]) == 1
    assert "never: tasks.a.next[1]" in capsys.readouterr().out


def test_definition_is_explored(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From standard input, too; without expectations nothing is said to be as expected."""
    options = ["--mock", "a=failed", "--mock", 'b={"result": 1}', "--input", '{"n": 5}']
    for file in ("a.yaml", "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DEFINITION.encode())))
        assert main(["graph", "rehearse", file, *options]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[1:5] == [
            "  note: a mock of task 'b' was never used",
            "  path: a",
            "  status: succeeded",
            '  output: {"n":5}',
        ]
        assert len(out) == 6
    assert main(["graph", "rehearse", "a.yaml", "--start", "b", "--verbose"]) == 0
    assert "task.started     b #1" in capsys.readouterr().out


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each scenario, then one for each definition."""
    assert main(["graph", "rehearse", "tests/a.yaml", "--json", "--verbose"]) == 0
    good, other, coverage = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert (good["file"], good["name"], good["graph"], good["ok"]) == ("tests/a.yaml", "good", "a.yaml", True)
    assert (good["waves"], good["output"], other["path"]) == ([["a"], ["b"]], {"n": 2}, ["a"])
    assert good["story"][0] == {
        "at_us": 0,
        "move": {"move": "began", "variables": {"n": 1}, "tasks": ["a"]},
    }
    assert (coverage["coverage"], coverage["percent"], coverage["missed_transitions"]) == ("a.yaml", 100, [])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere.yaml"], 2, "nowhere.yaml: No such file"),
        (["a.yaml", "--mock", "a"], 2, "write --mock TASK=failed"),
        (["a.yaml", "--mock", "aa=failed"], 2, "the graph has no task 'aa'"),
        (["a.yaml", "--mock", "a=fajled"], 2, "did you mean 'failed'?"),
        (["a.yaml", "--mock", "a={x"], 2, "--mock is not JSON"),
        (["a.yaml", "--input", "[1]"], 2, "--input: input is a list; write a mapping"),
        (["tests/a.yaml", "--start", "a"], 2, "--input, --mock and --start are for definitions"),
        (["-", "-"], 2, "standard input can be read once"),
        (["wrong.yaml"], 1, "wrong.yaml:1:1: unknown_field at grph"),
        (["invalid.yaml"], 1, "invalid.yaml:1:26: undefined_target at tasks.a.next[0].do[0]"),
    ],
)
def test_what_cannot_be_meant_is_told(
    arguments: list[str], code: int, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear line each, no traceback."""
    (folder / "wrong.yaml").write_text("grph: a.yaml\n", "utf-8")
    (folder / "invalid.yaml").write_text("tasks: {a: {next: [{do: [x]}]}}\n", "utf-8")

    assert main(["graph", "rehearse", *arguments]) == code
    assert told in capsys.readouterr().err


def test_texts_of_a_definition_do_not_reach_the_terminal_raw(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Definitions are strangers'."""
    (folder / "evil.yaml").write_text(
        'graph: {tasks: {a: {action: x}}}\nmock: {a: {error: "\\e[2J"}}\nname: "\\e[1m"\n', "utf-8"
    )

    assert main(["graph", "rehearse", "evil.yaml", "--verbose"]) == 0
    assert "\x1b" not in capsys.readouterr().out
