"""The examples of docs/graph-rehearsal.md: files, commands with what they print, and tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from jetrun.actors.graph_mocks import RULE_FIELDS
from jetrun.actors.graph_scenario_file import EXPECT_FIELDS, FILE_FIELDS
from jetrun.actors.graph_scenario_orquesta import FIELDS, MOCK_FIELDS
from jetrun.cli.main import main

PAGE = (Path(__file__).parents[3] / "docs" / "graph-rehearsal.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return [part.partition("\n```")[0] for part in PAGE.split(f"\n```{language}\n")[1:]]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files."""
    for block in blocks("yaml"):
        first, _, text = block.partition("\n")
        (tmp_path / first.removeprefix("# ")).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", blocks("console"))
def test_command_prints_what_the_page_says(block: str, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader who types it sees the same."""
    command, _, printed = block.partition("\n")

    code = main(shlex.split(command.removeprefix("$ wfctl ")))

    assert capsys.readouterr() == (printed + "\n", "")
    assert code == ("not ok" in printed)


def test_tests_of_the_page_pass(page: Path) -> None:
    """A reader who copies them gets tests that pass."""
    space: dict[str, Any] = {}
    exec("\n".join(blocks("python")), space)
    tests = [each for name, each in space.items() if name.startswith("test_")]

    assert len(tests) == 2
    for test in tests:
        test()


def test_page_names_every_field() -> None:
    """A field that is not there is found by nobody."""
    words = set(re.findall(r"`([a-z_]+)[`:]", PAGE))

    assert {*FILE_FIELDS, *EXPECT_FIELDS, *RULE_FIELDS, *FIELDS} - words == set()
    assert {*MOCK_FIELDS} - words <= {"task_id", "iter_id", "result", "status"}
