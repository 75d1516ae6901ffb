"""Problems of a graph's definition: what is wrong, where, and what to do. All of them are reported in one pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from .errors import DefinitionError

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_QUOTED_CHARS_MAX: Final = 60
_SHOWN_CHARS_MAX: Final = 100

PROBLEMS_MAX: Final = 100
"""Problems that one report names; the rest are counted."""

Path = tuple[str | int, ...]
"""Where in a definition: keys and indexes from its top."""

Severity = Literal["error", "warning"]


class Mark(msgspec.Struct, frozen=True):
    """A position in a text, both from 1; zeros where the definition was no text."""

    line: int = 0
    column: int = 0


NO_MARK: Final = Mark()


def mark_at(text: str, offset: int) -> Mark:
    """Turns an offset in characters into a position. Lines end with a line feed alone."""
    return Mark(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a definition."""

    kind: str
    """A stable word, listed in docs/graph-definitions.md: `undefined_target`, `duplicate_key`."""
    message: str
    """One line: what is wrong, then what to do."""
    path: Path = ()
    mark: Mark = NO_MARK
    severity: Severity = "error"

    @property
    def where(self) -> str:
        """Writes the path as a person does, on one line: `tasks.build.next[0].do`, `vars[0]["two words"]`."""
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            elif _PLAIN.fullmatch(part):
                text += f".{part}" if text else part
            else:
                text += f"[{quoted(part)}]"
        return text

    def __str__(self) -> str:
        place = f"{self.mark.line}:{self.mark.column}: " if self.mark.line else ""
        where = f" at {self.where}" if self.path else ""
        return f"{place}{self.kind}{where}: {self.message}"


class GraphInvalid(DefinitionError):
    """A graph's definition that cannot work; `problems` has every error that was found, in the order of the text.

    Args:
        name: The graph's name, or the file's.
        problems: Errors alone.
    """

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        shown = [str(problem) for problem in problems[:PROBLEMS_MAX]]
        if len(problems) > PROBLEMS_MAX:
            shown.append(f"and {len(problems) - PROBLEMS_MAX} more")
        super().__init__(f"graph {name!r} is not valid: " + "; ".join(shown))
        self.name = name
        self.problems = tuple(problems)


def quoted(text: str) -> str:
    """Quotes a piece of a definition for a message: one short line, whatever it holds."""
    return repr(text if len(text) <= _QUOTED_CHARS_MAX else text[: _QUOTED_CHARS_MAX - 1] + "…")


def shown(problem: Problem, text: str) -> str:
    """Writes a problem for a terminal, and below it the line of the text with a caret under the place.

    Nothing of the text is obeyed by a terminal: each control character is shown as one `?`, a tab as a space.

    Args:
        text: The definition's, as `graph_source.readable` gives it.
    """
    lines = text.split("\n")
    if not 1 <= problem.mark.line <= len(lines):
        return str(problem)
    line = "".join(_visible(char) for char in lines[problem.mark.line - 1][: problem.mark.column + _SHOWN_CHARS_MAX])
    column = min(max(problem.mark.column - 1, 0), len(line))
    begin = max(0, column - _SHOWN_CHARS_MAX // 2)
    excerpt = line[begin : begin + _SHOWN_CHARS_MAX]
    gutter = f"{problem.mark.line} | "
    blank = " " * (len(gutter) + sum(_width(char) for char in line[begin:column]))
    return f"{problem}\n{gutter}{excerpt.rstrip()}\n{blank}^"


def _visible(char: str) -> str:
    return " " if char == "\t" else char if char.isprintable() else "?"


def _width(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
