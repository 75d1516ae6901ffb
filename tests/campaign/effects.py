"""Effects: the file in which steps note what they do to the world, one line per begin and end.

A line is one write to a file opened for appending: lines of several processes never mix, and a killed process leaves
whole lines. Where a bell is hung, each line rings it too, so that a fault can be aimed at the very moment.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from jetrun.actors import attempt

T = TypeVar("T")

EFFECTS_VARIABLE: Final = "JETRUN_CAMPAIGN_EFFECTS"
BELL_VARIABLE: Final = "JETRUN_CAMPAIGN_BELL"

Phase = Literal["begin", "end", "broke"]


class Line(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One line of the file."""

    phase: Phase
    workflow: str
    run: str
    command: int
    attempt: int
    step: str
    digest: str
    """Of the arguments (begin) or of the value (end)."""
    at_us: int
    pid: int


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Line)


def begin(*args: object) -> None:
    """Notes that the current attempt begins, with these arguments."""
    _note("begin", digest_of(list(args)))


def end(value: T) -> T:
    """Notes that the current attempt has had its effect, and returns the value."""
    _note("end", digest_of(value))
    return value


def broke() -> None:
    """Notes that the current attempt is about to raise."""
    _note("broke", "")


def digest_of(value: object) -> str:
    """Hashes a JSON value whatever its layout was."""
    return blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()


def read_lines(path: Path) -> list[Line]:
    """Reads the file in the order in which it was written; empty where no step has run."""
    if not path.exists():
        return []
    return [_DECODER.decode(raw) for raw in path.read_bytes().splitlines()]


def decode_line(raw: bytes) -> Line:
    """Reads what a bell says."""
    return _DECODER.decode(raw)


def environment(path: Path, bell: Path | None = None) -> dict[str, str]:
    """Makes the environment of a process whose steps shall note."""
    return {EFFECTS_VARIABLE: str(path), **({BELL_VARIABLE: str(bell)} if bell is not None else {})}


def _note(phase: Phase, digest: str) -> None:
    now = attempt()
    line = Line(
        phase=phase,
        workflow=now.workflow,
        run=now.run,
        command=now.command,
        attempt=now.number,
        step=now.step,
        digest=digest,
        at_us=time.time_ns() // 1000,
        pid=os.getpid(),
    )
    raw = _ENCODER.encode(line)
    file = os.open(os.environ[EFFECTS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, raw + b"\n")
    finally:
        os.close(file)
    _ring(raw)


def _ring(raw: bytes) -> None:
    bell = os.environ.get(BELL_VARIABLE, "")
    if bell:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire, contextlib.suppress(OSError):
            wire.setblocking(False)  # nobody may be listening any more
            wire.sendto(raw, bell)


def begins_by_attempt(lines: Sequence[Line]) -> dict[tuple[str, str, int, int], list[Line]]:
    """Groups the begins by run, command and attempt, each in order of time."""
    found: dict[tuple[str, str, int, int], list[Line]] = {}
    for line in lines:
        if line.phase == "begin":
            found.setdefault((line.workflow, line.run, line.command, line.attempt), []).append(line)
    for begins in found.values():
        begins.sort(key=lambda line: line.at_us)
    return found
