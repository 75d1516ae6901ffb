"""Where a command's lines go: standard output, on a terminal or not, as text or as JSON lines.

Payloads pass `render.safe` before they come here; colours are added here alone, so that nobody else has to ask
whether there is a terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from . import render

PLAIN_VALUE_COLUMNS: Final = 400
"""How much of a value a line shows where no terminal gives a width; `--json` shows all."""


class Output:
    """Prints one command's lines.

    Args:
        stream: Standard output if None; looked up at each use, so that tests can replace it.
        is_json: Prints JSON lines and no text.
    """

    def __init__(self, *, is_json: bool = False, stream: TextIO | None = None) -> None:
        self.is_json = is_json
        self._stream = stream
        self._status_columns = 0

    @property
    def stream(self) -> TextIO:
        return self._stream or sys.stdout

    @property
    def is_terminal(self) -> bool:
        return self.stream.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def has_colours(self) -> bool:
        """NO_COLOR counts when it is set to anything but the empty text (no-color.org)."""
        return self.is_terminal and not os.environ.get("NO_COLOR")

    @property
    def width(self) -> int:
        """Columns of the terminal; 0 where there is none, and nothing is cut."""
        return (shutil.get_terminal_size((80, 24)).columns or 80) if self.is_terminal else 0

    def line(self, text: str = "", colour: render.Colour = "plain") -> None:
        """Prints a safe text and flushes: readers of a pipe see each line when it happens."""
        self._clear_status()
        self.stream.write(self.paint(text, colour) + "\n")
        self.stream.flush()

    def json(self, value: object) -> None:
        """Prints a value as one line of JSON."""
        self.line(render.to_json(value))

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
        """Prints rows under headers, or the text `empty` when there is none."""
        if not rows:
            self.line(empty)
            return
        for text in render.table(headers, rows, width=self.width, colours=self.has_colours):
            self.line(text)

    def paint(self, text: str, colour: render.Colour) -> str:
        """Colours a text where this output has colours."""
        return render.paint(text, colour, on=self.has_colours)

    def status(self, text: str) -> None:
        """Shows a passing line below the others on a terminal; the next line replaces it. Elsewhere: nothing."""
        if not self.is_terminal:
            return
        self._clear_status()
        shown = render.cut(text, self.width - 1)
        self.stream.write(self.paint(shown, "dim"))
        self.stream.flush()
        self._status_columns = render.columns(shown)

    def _clear_status(self) -> None:
        if self._status_columns:
            self.stream.write("\r" + " " * self._status_columns + "\r")
            self._status_columns = 0


def complain(text: str) -> None:
    """Prints one safe line on standard error."""
    print(render.safe(text), file=sys.stderr, flush=True)
