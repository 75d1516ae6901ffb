"""`testing.rehearse`: rehearsals inside tests."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        testing.rehearse({"graph": {"tasks": {"a": {}}}, "expct": {}})
    with pytest.raises(FileNotFoundError):
        testing.rehearse(tmp_path / "nowhere.yaml")
