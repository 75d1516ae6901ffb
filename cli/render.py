"""How things look: escaping, colours, tables, times and spans; nothing here knows what it shows.

The rule that lives here: no control character of a payload ever reaches a terminal or breaks a line. Colours and
fitted tables appear on a terminal alone; what is not a terminal, or has NO_COLOR set, gets plain text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

Colour: TypeAlias = Literal["plain", "bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan"]

_CODES: Final[dict[Colour, str]] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

# C0, DEL, C1, soft hyphen-like fillers, bidi marks and embeddings, line and paragraph separators, the byte order
# mark, interlinear marks, lone surrogates and tags: all that can hide, reorder or break what a person reads.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

STATUS_COLOURS: Final[dict[str, Colour]] = {
    "running": "blue",
    "early": "dim",
    "paused": "yellow",
    "parked": "magenta",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "terminated": "red",
    "continued": "dim",
}


def safe(text: str) -> str:
    r"""Makes a text one line without control characters: `\x1b`, `\u202e`, `\n` are shown as written here."""
    return _UNSAFE.sub(_escape, text)


def safe_json(raw: bytes) -> str:
    r"""Makes JSON one line that a terminal cannot be harmed by, and leaves its meaning as it was.

    JSON may hold control characters between its tokens only, where they mean a space; the others that are unsafe
    can stand in strings alone, where `\uXXXX` means the same.
    """
    return _UNSAFE.sub(_escape_json, raw.decode(errors="backslashreplace"))


def to_json(value: object) -> str:
    """Writes a value as one line of JSON, as `--json` prints it."""
    return safe_json(msgspec.json.encode(value))


def cut(text: str, width: int) -> str:
    """Shortens a text to so many columns; the end says that something is missing."""
    if width <= 0 or columns(text) <= width:
        return text
    kept: list[str] = []
    used = 0
    for character in text:
        used += _columns_of(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def columns(text: str) -> int:
    """Counts the terminal columns of a safe text without colours."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def paint(text: str, colour: Colour, *, on: bool) -> str:
    """Colours a text where colours are on."""
    code = _CODES.get(colour)
    return f"\x1b[{code}m{text}\x1b[0m" if on and code else text


def instant(at_us: int) -> str:
    """Writes a point in time as ISO 8601 in UTC with milliseconds; `-` for none."""
    if at_us <= 0:
        return "-"
    try:
        moment = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{at_us} us"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_us // 1000 % 1000:03d}Z"


def clock(at_us: int) -> str:
    """Writes the time of day in the machine's zone with milliseconds, for lines that follow one another."""
    try:
        moment = datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return f"{at_us} us"
    return f"{moment:%H:%M:%S}.{at_us // 1000 % 1000:03d}"


def span(length_us: int) -> str:
    """Writes a length of time with two units at most: `850ms`, `4.2s`, `3m05s`, `2h10m`, `12d4h`."""
    if length_us < 0:
        return f"-{span(-length_us)}"
    if length_us < 1_000:
        return f"{length_us}us"
    if length_us < 1_000_000:
        return f"{length_us // 1_000}ms"
    if length_us < 60_000_000:
        return f"{length_us / 1_000_000:.1f}s" if length_us < 59_950_000 else "60s"
    seconds = length_us // 1_000_000
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86_400:
        return f"{seconds // 3_600}h{seconds % 3_600 // 60:02d}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3_600}h"


def size(count: int) -> str:
    """Writes a number of bytes in the largest unit that leaves a digit before the point."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the loop returns at its last unit")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, width: int = 0, colours: bool = False) -> list[str]:
    """Lays out rows under headers and returns the lines; cells are made safe here.

    Args:
        width: Columns of the terminal, to which the widest column is cut; 0 cuts nothing.
        colours: Paints the headers, and cells that are a run's status.
    """
    cells = [[safe(cell) for cell in row] for row in rows]
    widths = [max([columns(header), *(columns(row[index]) for row in cells)]) for index, header in enumerate(headers)]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    if width and excess > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] = max(8, widths[widest] - excess)
    lines = [_line([(header, "bold") for header in headers], widths, colours=colours)]
    lines += [
        _line([(cell, STATUS_COLOURS.get(cell, "plain")) for cell in row], widths, colours=colours) for row in cells
    ]
    return lines


def _line(cells: Sequence[tuple[str, Colour]], widths: Sequence[int], *, colours: bool) -> str:
    parts: list[str] = []
    for index, ((text, colour), width) in enumerate(zip(cells, widths, strict=True)):
        shown = cut(text, width)
        padding = "" if index == len(widths) - 1 else " " * (width - columns(shown))
        parts.append(paint(shown, colour, on=colours) + padding)
    return "  ".join(parts).rstrip()


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return " "
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + ((code - 0x10000) >> 10):04x}\\u{0xDC00 + ((code - 0x10000) & 0x3FF):04x}"


def _columns_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
