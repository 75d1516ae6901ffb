"""Decisions: what a fold comes to, and what it owes the world once its record is durable."""

from __future__ import annotations

import msgspec

from .admission import Verdict
from .commands import Retry, RunStep
from .messages import Message
from .records import Outcome, Parked, Record, Refused


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """What the last decision asks to be carried out; every part is safe to repeat (R7)."""

    steps: list[RunStep] = []
    retries: list[tuple[RunStep, Retry]] = []
    timers: list[tuple[str, int]] = []
    """Names and due times; a command's number is its timer's name."""
    closed_timers: list[int] = []
    closed_steps: list[RunStep] = []
    outcome: Outcome | None = None
    is_start: bool = False
    parked: Parked | None = None
    is_unparked: bool = False
    is_paused: bool = False
    refused: list[Refused] = []


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one fold."""

    records: list[bytes]
    """To append in this order, each fenced by its predecessor; empty when nothing was folded."""
    parts: list[Record]
    folded: list[Message]
    verdicts: list[Verdict]
    """Messages that need no record; ack them after the append, or after R4's look when there is none."""
    rest: list[Message]
    """Messages for the next turn."""
    uploads: dict[str, bytes]
    """Large values by hash: store them before the append."""
