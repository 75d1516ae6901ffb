"""Faults: what can go wrong between a process and the twin, each with its rate; all off unless asked for.

The rates are plain numbers that a simulation draws per seed and may change while it runs (chaos, then heal). What each
one imitates was seen on servers: see the notes of the fields.
"""

from __future__ import annotations

from random import Random

import msgspec


class Faults(msgspec.Struct, kw_only=True):
    """Rates from 0 to 1 and spans in seconds. Mutable: a change holds from the next message on."""

    request_lost: float = 0.0
    """A publish never arrives; the publisher learns nothing."""
    ack_lost: float = 0.0
    """A publish is stored, and its answer is lost."""
    commit_late: float = 0.0
    """A publish is stored up to `commit_late_s` later, and not answered: a leader that was cut off."""
    commit_late_s: float = 8.0
    call_lost: float = 0.0
    """A question that is no publish (a read, a purge) or its answer is lost: the rate of each way."""
    refusal_false: float = 0.0
    """A publish is stored and still answered 10071: a stale leader speaks first (three nodes)."""
    refusal_transient: float = 0.0
    """A fenced publish is not stored and answered 10164 (three nodes)."""
    delivery_doubled: float = 0.0
    """A delivery comes a second time at once, with the first one still out."""
    delivery_ack_lost: float = 0.0
    """An ack or in-progress of a delivery never arrives."""
    notice_lost: float = 0.0
    """A notice does not reach one of its listeners."""
    read_stale: float = 0.0
    """A direct read is answered as of up to `read_stale_s` ago: a replica that lags."""
    read_stale_s: float = 2.0
    reconnect_s: float = 0.0
    """A client finds a restarted server again within this time."""
    timer_late_s: float = 0.25
    """Schedules fire up to this late, never early. The server wakes every 250 ms; after a change of leader 7 s were seen."""
    timer_doubled: float = 0.0
    """A schedule fires twice."""
    delay_s: float = 0.0
    """Every message takes up to this long, drawn anew for each. Order holds per publisher and stream, per consumer and per
    subscription only, as on a server whose parts work side by side."""


class Dice:
    """The seeded draws of one server; a rate of zero draws nothing, so that faults which are off change no trace."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  # reproducible on purpose

    def hits(self, rate: float) -> bool:
        return rate > 0 and self.random.random() < rate

    def span_s(self, span_max_s: float) -> float:
        return self.random.random() * span_max_s if span_max_s > 0 else 0.0
