"""Problems of a definition, as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.graph_problem import GraphInvalid, Mark, Problem, quoted, shown


def problem(line: int, column: int) -> Problem:
    return Problem(
        kind="bad_type", message="a list was expected", path=("tasks", "b", "next", 0), mark=Mark(line, column)
    )


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    assert shown(problem(2, 9), "tasks:\n  b:   {next: 1}\n") == (
        "2:9: bad_type at tasks.b.next[0]: a list was expected\n2 |   b:   {next: 1}\n            ^"
    )


@pytest.mark.parametrize(
    ("line", "caret"), [("\ta: x", 4), ("\x1b[1m: x", 7), ("漢字: x", 5), ("e\u0301: x", 4), ("a\u202e: x", 5)]
)
def test_the_caret_is_under_the_place_whatever_the_line_holds(line: str, caret: int) -> None:
    """A tab, wide and combining characters take other widths; a terminal obeys nothing of a stranger's text."""
    head, source, pointer = shown(problem(1, line.index("x") + 1), line).split("\n")
    assert head
    assert source.isprintable()
    assert len(pointer) - 1 - len("1 | ") >= caret - 1


def test_a_long_line_is_shown_around_the_place() -> None:
    """A minified JSON is one line of a mebibyte."""
    _, source, pointer = shown(problem(1, 500_001), "a" * 500_000 + "X" + "b" * 500_000).split("\n")
    assert len(source) < 120
    assert source[len(pointer) - 1] == "X"


@pytest.mark.parametrize("mark", [Mark(), Mark(9, 1)])
def test_a_problem_without_a_place_in_the_text_is_shown_alone(mark: Mark) -> None:
    alone = Problem(kind="no_tasks", message="there is no task", mark=mark)
    assert shown(alone, "a: 1") == str(alone)


@given(st.text(max_size=80), st.integers(0, 5), st.integers(0, 90))
def test_nothing_of_a_text_reaches_the_terminal_as_a_command(text: str, line: int, column: int) -> None:
    for piece in shown(problem(line, column), text).split("\n"):
        assert piece.isprintable()


def test_a_path_is_one_line_whatever_its_keys_hold() -> None:
    odd = Problem(kind="bad_type", message="m", path=("a", "two words", 0, "x\n\x1b", ""))
    assert odd.where == r"""a['two words'][0]['x\n\x1b']['']"""
    assert str(odd).isprintable()


def test_a_quoted_text_is_short() -> None:
    assert len(quoted("x" * 10_000)) < 70


def test_a_report_names_a_hundred_problems_and_counts_the_rest() -> None:
    report = str(GraphInvalid("deploy", [problem(n, 1) for n in range(150)]))
    assert report.endswith("and 50 more")
