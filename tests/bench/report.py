"""Report: figures as they come out of the rounds, and the one table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that a figure has to meet."""

    kind: Literal["at least", "at most"]
    bound: float

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.kind == "at least" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.kind} {self.bound:g}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity: a value per round, and the baseline's of the same round where there is one."""

    case: str
    name: str
    unit: str
    values: list[float]
    baseline: list[float] = []
    floor: Floor | None = None
    """Of the ratio where there is a baseline, of the value otherwise."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: what a noisy minute does to both sides of a round cancels out."""
        if not self.baseline:
            return None
        return statistics.median(value / base for value, base in zip(self.values, self.baseline, strict=True))

    @property
    def is_met(self) -> bool | None:
        """Tells whether the floor is met; None without one."""
        if self.floor is None:
            return None
        ratio = self.ratio
        return self.floor.is_met(self.median if ratio is None else ratio)


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value that at least this share of the values does not exceed (nearest rank).

    Args:
        values: In any order, not empty.
        share: Between 0 and 1; 0.99 for p99.
    """
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


def table(figures: Sequence[Figure]) -> str:
    """Shows figures as an aligned Markdown table, one row each."""
    header = ["case", "figure", "unit", "median", "rounds", "baseline", "ratio", "floor"]
    return aligned(header, [_row(figure) for figure in figures], left={0, 1, 2, 7})


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: set[int]) -> str:
    """Formats rows as a Markdown table whose columns line up as plain text too.

    Args:
        left: Indices of the columns that hold words; the others hold numbers and are aligned to the right.
    """
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [("-" * width) if index in left else ("-" * (width - 1) + ":") for index, width in enumerate(widths)]
    return "\n".join([line(header), f"| {' | '.join(rule)} |", *map(line, rows)])


def as_json(where: str, figures: Sequence[Figure]) -> bytes:
    """Writes figures for a program to read: one JSON object.

    Args:
        where: What was measured and under which conditions, in words.
    """
    derived = [{"median": figure.median, "ratio": figure.ratio, "is_met": figure.is_met} for figure in figures]
    fields = [{**msgspec.to_builtins(figure), **more} for figure, more in zip(figures, derived, strict=True)]
    return msgspec.json.encode({"where": where, "figures": fields})


def shown(value: float) -> str:
    """Three significant digits, without exponent: 4820, 13.1, 0.48."""
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text


def _row(figure: Figure) -> list[str]:
    ratio = figure.ratio
    verdict = {None: "", True: "met", False: "MISSED"}[figure.is_met]
    return [
        figure.case,
        figure.name,
        figure.unit,
        shown(figure.median),
        f"{shown(min(figure.values))} .. {shown(max(figure.values))}" if len(figure.values) > 1 else "",
        shown(statistics.median(figure.baseline)) if figure.baseline else "",
        "" if ratio is None else f"{ratio:.2f}",
        f"{figure.floor}: {verdict}" if figure.floor else "",
    ]
