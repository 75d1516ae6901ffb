"""docs/graph-requirements.md: every requirement has a row, and what a row claims has a test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "graph-requirements.md"
TODO: Final = "TODO"
IDS: Final = [*(f"A{number}" for number in range(1, 22)), *(f"W{number}" for number in range(1, 39))]


class Row(NamedTuple):
    id: str
    requirement: str
    how: str
    shown: str


def read_rows() -> list[Row]:
    rows: list[Row] = []
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("|") and not line.startswith(("| id |", "|---")):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == 4, line
            rows.append(Row(*cells))
    return rows


ROWS: Final = read_rows()


@cache
def functions_of(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    body = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return path.startswith("tests/") and function.startswith("test_") and function in functions_of(path)


def test_every_requirement_has_one_row() -> None:
    """None is forgotten, none is there twice; in their order, so that whoever looks finds them."""
    assert [row.id for row in ROWS] == IDS
    assert [row.id for row in ROWS if not all(row)] == []


def test_every_test_that_is_named_exists() -> None:
    """A claim whose test has gone, or was renamed, is found here."""
    named = {row.id: re.findall(r"`([^`]+)`", row.shown) for row in ROWS if row.shown != TODO}

    assert [row for row, tests in named.items() if not tests] == []
    assert [test for tests in named.values() for test in tests if not is_test(test)] == []


def test_what_is_no_test_is_found() -> None:
    """A check that takes everything would guard nothing."""
    assert not is_test("tests/unit/test_graph_requirements.py::test_there_is_none")
    assert not is_test("tests/unit/test_graph_requirement.py::test_what_is_no_test_is_found")
    assert not is_test("actors/step.py::step")
