"""The report: what it says about figures must be true, whatever they are."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import Figure, Floor, aligned, as_json, percentile, shown, table
from bench.setting import Setting

THROUGHPUT = Figure(
    case="A",
    name="throughput",
    unit="runs/s",
    values=[2000.0, 900.0, 2100.0],
    baseline=[4000.0, 2000.0, 3000.0],
    floor=Floor(kind="at least", bound=0.5),
)
LATENESS = Figure(case="E", name="lateness p50", unit="ms", values=[149.23])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1), (0.001, 1), (0.991, 100)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    """p99 of a hundred values is the 99th, not something between two that nobody measured."""
    assert percentile([*range(100, 0, -1)], share) == expected


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0.001, 1))
def test_percentile_is_a_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    """A percentile below which too few values lie would flatter the tail."""
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """The ratio of medians would set a slow round of one side against a fast round of the other."""
    assert THROUGHPUT.ratio == 0.5
    assert THROUGHPUT.median == 2000
    assert LATENESS.ratio is None


@pytest.mark.parametrize(
    ("kind", "bound", "is_met"),
    [("at least", 0.5, True), ("at least", 0.51, False), ("at most", 0.5, True), ("at most", 0.49, False)],
)
def test_floor_is_of_the_ratio_where_there_is_a_baseline(kind: str, bound: float, is_met: bool) -> None:
    """A floor on the absolute number would pass on a fast machine and fail on a slow one."""
    floor = msgspec.convert({"kind": kind, "bound": bound}, Floor)

    assert msgspec.structs.replace(THROUGHPUT, floor=floor).is_met is is_met


def test_floor_is_of_the_value_where_there_is_no_baseline() -> None:
    """Memory and idle CPU have bounds of their own."""
    assert msgspec.structs.replace(LATENESS, floor=Floor(kind="at most", bound=150)).is_met is True
    assert msgspec.structs.replace(LATENESS, floor=Floor(kind="at most", bound=149)).is_met is False
    assert LATENESS.is_met is None


def test_table_lines_up_and_names_the_verdict() -> None:
    """The table is read as text in a terminal and as Markdown in a report."""
    missed = msgspec.structs.replace(THROUGHPUT, floor=Floor(kind="at least", bound=0.6))

    lines = table([THROUGHPUT, missed, LATENESS]).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert lines[2].split("|")[1:-1] == [
        " A    ",
        " throughput   ",
        " runs/s ",
        "   2000 ",
        " 900 .. 2100 ",
        "     3000 ",
        "  0.50 ",
        " at least 0.5: met    ",
    ]
    assert lines[3].endswith("at least 0.6: MISSED |")
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == ["E", "lateness p50", "ms", "149", "", "", "", ""]


def test_empty_table_is_its_header() -> None:
    """A bench that was interrupted before its first case still prints."""
    assert aligned(["a", "bb"], [], left={0}).splitlines() == ["| a | bb |", "| - | -: |"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4820.4, "4820"),
        (999.6, "1000"),
        (13.14, "13.1"),
        (0.4836, "0.484"),
        (0.0, "0"),
        (0.00001, "0.00001"),
        (-12.34, "-12.3"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    """Seven digits pretend a precision that a shared machine does not have."""
    assert shown(value) == text


def test_json_holds_every_round_and_what_follows_from_them() -> None:
    """A program that keeps figures needs the rounds, not only their median."""
    answer = msgspec.json.decode(as_json("here", [THROUGHPUT, LATENESS]))

    assert answer["where"] == "here"
    assert answer["figures"][0]["values"] == [2000, 900, 2100]
    assert (answer["figures"][0]["median"], answer["figures"][0]["ratio"], answer["figures"][0]["is_met"]) == (
        2000,
        0.5,
        True,
    )
    assert (answer["figures"][1]["ratio"], answer["figures"][1]["is_met"]) == (None, None)


def test_sides_take_turns_in_going_first() -> None:
    """A machine that gets busier from load to load must not favour one side."""
    assert [*Setting(mode="page cache", rounds=2).sides()] == ["baseline", "jetrun", "jetrun", "baseline"]
