"""The crash note: which run a worker was folding when it died (R16).

A small file mapped into memory: writing it costs a memory copy per fold, and what was written survives the process,
however it ended. It speaks of the process before this one; the supervisor gives the path.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

import msgspec

from ..actors.names import RunKey, is_token

_SIZE: Final = 512
_IDLE: Final = b"-"
_FOLDING: Final = b"F"
_BLOCKED: Final = b"B"


class Suspect(msgspec.Struct, frozen=True):
    """A run that was being folded when a worker died."""

    key: RunKey
    deliveries: int
    is_blocked: bool
    """It held the loop until the worker was replaced."""


class CrashNote:
    """The note of this process.

    Args:
        path: The file; None for a process without supervisor, which keeps no note.
    """

    def __init__(self, path: str | None) -> None:
        self.suspect = read_note(path) if path is not None else None
        self._map: mmap.mmap | None = None
        if path is not None:
            with Path(path).open("w+b") as file:
                file.truncate(_SIZE)
                self._map = mmap.mmap(file.fileno(), _SIZE)
                self._map[0:1] = _IDLE

    def folding(self, key: RunKey, deliveries: int) -> None:
        """Notes the run whose code is about to run."""
        if self._map is not None:
            text = f"{deliveries} {key}\n".encode()
            self._map[1 : 1 + len(text)] = text
            self._map[0:1] = _FOLDING

    def idle(self) -> None:
        """Takes the note back."""
        if self._map is not None:
            self._map[0:1] = _IDLE

    def blocked(self) -> None:
        """Says that the noted run holds the loop; the process is about to be replaced."""
        if self._map is not None:
            self._map[0:1] = _BLOCKED
            self._map.flush()

    @property
    def is_kept(self) -> bool:
        """Tells whether somebody will read the note."""
        return self._map is not None


def read_note(path: str) -> Suspect | None:
    """Reads what the process before left, or None when it was not folding."""
    try:
        raw = Path(path).read_bytes()
    except OSError:
        return None
    if raw[0:1] not in (_FOLDING, _BLOCKED):
        return None
    count, _, name = raw[1:].partition(b"\n")[0].decode(errors="replace").partition(" ")
    workflow, _, run = name.partition("/")
    if not (count.isdigit() and is_token(workflow) and is_token(run)):
        return None
    return Suspect(RunKey(workflow, run), int(count), raw[0:1] == _BLOCKED)


def mark_blocked(path: str) -> None:
    """Says, from outside, that the process was killed because it gave no sign of life."""
    try:
        with Path(path).open("r+b") as file:
            if file.read(1) == _FOLDING:
                file.seek(0)
                file.write(_BLOCKED)
    except OSError:
        return
