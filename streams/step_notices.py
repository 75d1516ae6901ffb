"""Step notices: what a step worker tells on core NATS, and what it is told. Hints, never truth: any of them may be lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ..actors.work import Work
from .intake import Intake


class QueueLoad(msgspec.Struct, frozen=True):
    """A queue in a worker's beat."""

    concurrency: int
    running: int


class StepBeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step worker's sign of life."""

    worker: str
    kind: str
    pid: int
    host: str
    started_at_us: int
    queues: dict[str, QueueLoad]
    leaving: bool = False


class StepStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Says to those who watch the run that a step has begun."""

    kind: str
    command: int
    attempt: int
    name: str
    worker: str
    at_us: int


class StepProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Says to those who watch the run how far a step is."""

    kind: str
    command: int
    attempt: int
    name: str
    worker: str
    at_us: int
    fraction: float | None = None
    """From 0 to 1."""
    text: str = ""


class Stop(msgspec.Struct, frozen=True):
    """Says that the run no longer waits for these commands; None for all."""

    commands: list[int] | None = None


_ENCODER: Final = msgspec.json.Encoder()
_STOP_DECODER: Final = msgspec.json.Decoder(Stop)
_PROGRESS_DECODER: Final = msgspec.json.Decoder(StepProgress)


def encode_notice(notice: StepBeat | StepStarted | StepProgress) -> bytes:
    """Writes a notice as it is sent."""
    return _ENCODER.encode(notice)


def decode_stop(raw: bytes) -> Stop | None:
    """Reads a stop notice; None for anything else."""
    try:
        return _STOP_DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode_progress(raw: bytes) -> StepProgress | None:
    """Reads a notice of progress; None for anything else."""
    try:
        notice = _PROGRESS_DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return notice if notice.kind == "step_progress" else None


def step_started(work: Work, *, worker: str, at_us: int) -> StepStarted:
    """Makes the notice that an attempt has begun."""
    return StepStarted(
        kind="step_started", command=work.command, attempt=work.attempt, name=work.name, worker=worker, at_us=at_us
    )


def step_progress(work: Work, *, worker: str, at_us: int, fraction: float | None, text: str) -> StepProgress:
    """Makes the notice of how far an attempt is."""
    return StepProgress(
        kind="step_progress",
        command=work.command,
        attempt=work.attempt,
        name=work.name,
        worker=worker,
        at_us=at_us,
        fraction=fraction,
        text=text,
    )


def loads(intakes: Iterable[Intake]) -> dict[str, QueueLoad]:
    """Tells each queue's slots and how many are taken."""
    return {intake.queue: QueueLoad(intake.concurrency, intake.running) for intake in intakes}
