"""Held work: one delivered message in a step worker's hands, from its first delivery until its ack."""

from __future__ import annotations

from typing import TypeAlias

from ..actors.work import Work
from .intake import Intake
from .ports import Delivery
from .running_step import RunningStep

Identity: TypeAlias = tuple[int, int]
"""Sequence and time in the stream. The sequence alone is reused by a stream that was damaged or made anew."""


class Held:
    """A row of the table of running deliveries (R18)."""

    __slots__ = (
        "deliveries",
        "identity",
        "intake",
        "is_noted",
        "is_slot_kept",
        "leaves_details",
        "renewed_at_s",
        "reply",
        "running",
        "taken_at_us",
        "work",
    )

    def __init__(self, delivery: Delivery, intake: Intake, taken_at_us: int) -> None:
        self.identity: Identity = (delivery.seq, delivery.at_us)
        self.reply = delivery.reply
        """Handle of the newest delivery; replaced when the message comes again while it runs."""
        self.deliveries = delivery.deliveries
        """How often it had been handed out when it was taken; what comes again while it runs here is no loss."""
        self.intake = intake
        self.taken_at_us = taken_at_us
        self.renewed_at_s = 0.0
        """See `lease.Leased`."""
        self.work: Work | None = None
        """None for a message that cannot be read."""
        self.running: RunningStep | None = None
        """None for work that is answered without running it."""
        self.is_noted = False
        """Its `step_started` notice was sent."""
        self.leaves_details = False
        """Its step is over, and details of its heartbeats are stored."""
        self.is_slot_kept = False
        """Settled, but its code is left running and too much else is: the slot is freed when that ends."""

    @property
    def lease_until_s(self) -> float:
        """See `lease.Leased`."""
        running = self.running
        return 0.0 if running is None or running.voice is None else running.voice.lease_until_s
