"""What a pass over a graph's definition has found: problems with their places, in the order of the definition.

The rule that lives here and nowhere else: a problem is sorted by its place in the definition, whether that was a text
or not, and says what the nearest right name is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from .graph_expression import Expression
from .graph_kinds import KINDS
from .graph_problem import Path, Problem, Severity, quoted
from .graph_shape import is_list, is_mapping
from .graph_source import Document

_HINTS_MAX: Final = 50
_CANDIDATES_MAX: Final = 500
"""Names for which the nearest one is looked up, and among how many: it takes some 10 µs for each of these."""

_HINT_CHARS_MAX: Final = 64
"""Longer names are compared in quadratic time."""

_WARNINGS_MAX: Final = 10_000
"""Warnings kept; errors are all kept."""

_FEW: Final = 20
"""Candidates that are looked through more often: the fields of a task."""

_LOOKUPS_MAX: Final = 1_000
"""How often, of few or many: a text of 1 MiB has room for 90,000 unknown fields, which took 5 s."""


class Findings:
    """Collects problems of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.parsed: dict[str, Expression] = {}
        """By source: most tasks have the same few conditions, and parsing one takes 200 µs."""
        self.parsed_bytes = 0
        self._problems: list[Problem] = []
        self._seen: set[tuple[str, Path, str]] = set()
        self._hints_left = _HINTS_MAX
        self._lookups_left = _LOOKUPS_MAX
        self._warning_count = 0

    def error(self, kind: str, path: Path, message: str) -> None:
        """Notes what makes the definition useless."""
        self._add(kind, path, message, "error", is_key=False)

    def error_at_key(self, kind: str, path: Path, message: str) -> None:
        """Notes an error of a field's name, not of its value."""
        self._add(kind, path, message, "error", is_key=True)

    def warning(self, kind: str, path: Path, message: str) -> None:
        """Notes what is probably not meant, though a run has a meaning."""
        if self._warning_count < _WARNINGS_MAX:
            self._warning_count += 1
            self._add(kind, path, message, "warning", is_key=False)

    def nearest(self, name: str, candidates: Iterable[str]) -> str:
        """Returns `; did you mean 'x'?`, or nothing where no candidate is near."""
        lower = name.lower()
        if not self._hints_left or not self._lookups_left or len(name) > _HINT_CHARS_MAX:
            return ""
        self._lookups_left -= 1
        near = [each for each in candidates if abs(len(each) - len(name)) <= 3]
        self._hints_left -= len(near) > _FEW
        near.sort(key=lambda each: each[:1].lower() != lower[:1])
        names = {each.lower(): each for each in near[:_CANDIDATES_MAX]}
        close = difflib.get_close_matches(lower, names, n=1)
        return f"; did you mean {names[close[0]]!r}?" if close else ""

    def errors(self) -> list[Problem]:
        """Lists the errors by place."""
        return [problem for problem in self.problems() if problem.severity == "error"]

    def warnings(self) -> list[Problem]:
        """Lists the warnings by place."""
        return [problem for problem in self.problems() if problem.severity == "warning"]

    def problems(self) -> list[Problem]:
        """Lists everything by place; at the same place in the order in which it was found."""
        orders: dict[int, dict[str, int]] = {}
        return sorted(self._problems, key=lambda problem: _place(self.document.value, problem.path, orders))

    def _add(self, kind: str, path: Path, message: str, severity: Severity, *, is_key: bool) -> None:
        assert kind in KINDS, kind
        if (kind, path, message) in self._seen:
            return
        self._seen.add((kind, path, message))
        mark = self.document.mark(path, key=is_key)
        self._problems.append(Problem(kind=kind, message=message, path=path, mark=mark, severity=severity))


def shown(value: object) -> str:
    """Writes a value of a definition for a message, in one line of bounded length."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case _:
            return quoted(str(value)).strip("'")


def _place(value: object, path: Path, orders: dict[int, dict[str, int]]) -> tuple[int, ...]:
    """Numbers each part of a path by its position. `orders` remembers those of mappings, by `id` while the value lives."""
    place: list[int] = []
    for part in path:
        if is_mapping(value) and isinstance(part, str):
            order = orders.get(id(value))
            if order is None:
                order = orders[id(value)] = {key: index for index, key in enumerate(value)}
            place.append(order.get(part, -1))
            value = value.get(part)
        elif is_list(value) and isinstance(part, int) and 0 <= part < len(value):
            place.append(part)
            value = value[part]
        else:
            place.append(-1)
            value = None
    return tuple(place)
