"""Headers: a message's header block, read only when somebody asks, and header blocks to send.

A block is `NATS/1.0[ <status>[ <text>]]` and lines `Name: value`. Values sent are checked: a line break in one would
end the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from ..actors.errors import InvalidValue
from .ports import Headers

_VERSION: Final = b"NATS/1.0"
_HIDDEN: Final = frozenset(
    {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"}
)


class RawHeaders(Mapping[str, str]):
    """The headers of a received message; parsed at the first look."""

    __slots__ = ("_parsed", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parsed: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, str]:
        if self._parsed is None:
            self._parsed = {name: value for name, value in _lines(self._raw) if name not in _HIDDEN}
        return self._parsed


NO_HEADERS: Final[Mapping[str, str]] = RawHeaders(b"")


def wrap_headers(raw: bytes) -> Mapping[str, str]:
    """Makes a mapping of a raw block; costs nothing for a message without headers."""
    return RawHeaders(raw) if raw else NO_HEADERS


def find_header(raw: bytes, name: bytes) -> bytes:
    """Reads one header of a raw block without parsing the others; empty when it is not there.

    The last one of that name: the server appends its own after those that the publisher sent (seen on 2.15.1), and
    a publisher may send `Nats-Subject` or `Nats-Sequence` too.
    """
    start = raw.rfind(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return raw[start : raw.find(b"\r\n", start)].strip()


def read_status(raw: bytes) -> tuple[int, str]:
    """Reads the status line of a control message: `(404, "No Messages")`; 0 when there is none."""
    line = raw[: raw.find(b"\r\n")]
    code, _, text = line[len(_VERSION) :].strip().partition(b" ")
    return (int(code), text.decode("utf-8", "replace")) if code.isdigit() else (0, "")


def encode_headers(headers: Headers) -> bytes:
    """Writes a header block.

    Raises:
        InvalidValue: A name or value that would break the block.
    """
    block = "NATS/1.0\r\n"
    for name, value in headers.items():
        _check_name(name)
        if "\r" in value or "\n" in value:
            raise InvalidValue(f"header {name}", "a value cannot hold line breaks")
        block += f"{name}: {value}\r\n"
    return (block + "\r\n").encode()


@lru_cache(maxsize=64)
def _check_name(name: str) -> None:
    """Refuses what is no name. Those in use are few and checked once each: a refusal is not kept."""
    if not name or not name.isascii() or not name.isprintable() or ":" in name or " " in name:
        raise InvalidValue(f"header {ascii(name)[:80]}", "a name is printable ASCII without colon and space")


def _lines(raw: bytes) -> Iterator[tuple[str, str]]:
    for line in raw.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            yield name.strip().decode("ascii", "replace"), value.strip().decode("utf-8", "replace")
