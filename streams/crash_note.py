"""The crash note: which run a worker was folding when it died, and how often that has happened (R16).

A small file mapped into memory: writing it costs a memory copy per fold, and what was written survives the process,
however it ended. It speaks of the processes before this one; the supervisor gives the path.

Line 1 is what is being folded: `<state> <deaths> <run>`. The others are runs in whose folds earlier processes have
died, the newest first: a run that kills its worker must be known as such even if another one does so in between.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

import msgspec

from ..actors.limits import SUSPECT_DELIVERIES
from ..actors.names import RunKey, is_token

_IDLE: Final = b"-"
_FOLDING: Final = b"F"
_BLOCKED: Final = b"B"

_LINE_BYTES: Final = 300
"""A state, a number and two tokens of 128 bytes."""

_DEATHS_KEPT_MAX: Final = 16
_SIZE: Final = _LINE_BYTES * (1 + _DEATHS_KEPT_MAX)


class Suspect(msgspec.Struct, frozen=True):
    """A run that was being folded when a worker died."""

    key: RunKey
    deaths: int
    """Workers that died so, one after the other; or deliveries of its message, where these are more."""
    is_blocked: bool
    """It held the loop until the worker was replaced."""


class CrashNote:
    """The note of this process.

    Args:
        path: The file; None for a process without supervisor, which keeps no note.
    """

    def __init__(self, path: str | None) -> None:
        self.suspects: list[Suspect] = []
        """Runs that must not be folded by this process."""
        self._deaths: dict[RunKey, int] = {}
        self._map: mmap.mmap | None = None
        if path is None:
            return
        last, self._deaths = read_note(path)
        self.suspects = [
            Suspect(key, deaths, is_blocked=last is not None and last.key == key and last.is_blocked)
            for key, deaths in self._deaths.items()
            if deaths >= SUSPECT_DELIVERIES or (last is not None and last.key == key and last.is_blocked)
        ]
        with Path(path).open("w+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._map[0:1] = _IDLE
        self._write_deaths()

    def folding(self, key: RunKey, deliveries: int) -> None:
        """Notes the run whose code is about to run."""
        if self._map is not None:
            deaths = max(self._deaths.get(key, 0) + 1, deliveries) if self._deaths else deliveries
            text = f" {deaths} {key.workflow}/{key.run}\n".encode()
            self._map[1 : 1 + len(text)] = text
            self._map[0:1] = _FOLDING  # last: a process that dies in between has noted nothing

    def idle(self) -> None:
        """Takes the note back: the code has come to rest."""
        if self._map is not None:
            self._map[0:1] = _IDLE

    def forgive(self, key: RunKey) -> None:
        """Forgets a run's deaths: it has gone on after all (to replay its log is not enough), or is parked."""
        if self._deaths and self._map is not None and self._deaths.pop(key, 0):
            self._write_deaths()

    def blocked(self) -> None:
        """Says that the noted run holds the loop; the process is about to be replaced."""
        if self._map is not None:
            self._map[0:1] = _BLOCKED
            self._map.flush()

    @property
    def is_kept(self) -> bool:
        """Tells whether somebody will read the note."""
        return self._map is not None

    def _write_deaths(self) -> None:
        assert self._map is not None, "called for a note that is kept"
        lines = b"".join(b"%d %b\n" % (deaths, str(key).encode()) for key, deaths in self._deaths.items())
        self._map[_LINE_BYTES:_SIZE] = lines.ljust(_SIZE - _LINE_BYTES, b"\0")


def read_note(path: str) -> tuple[Suspect | None, dict[RunKey, int]]:
    """Reads what the processes before have left: the run that the last one was folding, and deaths by run."""
    try:
        raw = Path(path).read_bytes()
    except OSError:
        return None, {}
    lines = raw[_LINE_BYTES:].partition(b"\0")[0].splitlines()
    deaths = dict(entry for entry in map(_read_entry, lines) if entry is not None)
    last = _read_entry(raw[1:_LINE_BYTES].partition(b"\n")[0].strip())
    if raw[0:1] not in (_FOLDING, _BLOCKED) or last is None:
        return None, deaths
    key, count = last
    deaths = {key: count, **{other: deaths[other] for other in deaths if other != key}}
    while len(deaths) > _DEATHS_KEPT_MAX:
        deaths.popitem()
    return Suspect(key, count, raw[0:1] == _BLOCKED), deaths


def mark_blocked(path: str) -> None:
    """Says, from outside, that the process was killed because it gave no sign of life."""
    try:
        with Path(path).open("r+b") as file:
            if file.read(1) == _FOLDING:
                file.seek(0)
                file.write(_BLOCKED)
    except OSError:
        return


def _read_entry(line: bytes) -> tuple[RunKey, int] | None:
    count, _, name = line.decode(errors="replace").partition(" ")
    workflow, _, run = name.partition("/")
    if not (count.isdigit() and is_token(workflow) and is_token(run)):
        return None
    return RunKey(workflow, run), int(count)
