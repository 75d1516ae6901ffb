"""Problems of a graph's definition: what is wrong, where, and what to do. All of them are reported in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from .errors import DefinitionError

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


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a definition."""

    kind: str
    """A stable word, listed in docs/graphs.md: `undefined_target`, `duplicate_key`."""
    message: str
    """One line: what is wrong, then what to do."""
    path: Path = ()
    mark: Mark = NO_MARK
    severity: Severity = "error"

    @property
    def where(self) -> str:
        """Writes the path as a person does: `tasks.build.next[0].do`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
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
