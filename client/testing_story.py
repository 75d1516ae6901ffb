"""The story of an app under test: what has happened to its runs, in the words of `wfctl tail`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..actors.durations import format_us
from ..actors.events import events_of
from ..actors.names import RunKey
from ..actors.records import Record

_LINES_MAX: Final = 200
_LINE_CHARS_MAX: Final = 200


def tell(records: Iterable[tuple[RunKey, Record]], *, start_us: int) -> str:
    """Writes one line for each event, with the time since the start; of a long story the end."""
    lines: list[str] = []
    for key, record in records:
        for event in events_of(record):
            line = f"{key} +{format_us(event.at_us - start_us)} {event.kind} {event.text}".rstrip()
            lines.append(line if len(line) <= _LINE_CHARS_MAX else line[: _LINE_CHARS_MAX - 1] + "…")
    left_out = len(lines) - _LINES_MAX
    if left_out > 0:
        lines = [f"({left_out} earlier events)", *lines[-_LINES_MAX:]]
    return "\n".join(lines)
