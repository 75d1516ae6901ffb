"""The journal: what a run's log says, code apart. It is enough to append to the log, to recognise what was applied
already, and to answer for the run; deciding needs the execution too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeVar

from msgspec import Raw

from .errors import BadLog
from .messages import Message, read_body
from .names import RunKey
from .records import ENDED, Continued, Folded, LinkMark, Outcome, Parked, Record, StartMark, Status, Summary
from .seen import Seen

EMPTY: Final = Summary(status="early")

MessageT = TypeVar("MessageT", Message, Folded)


class Journal:
    """A run's log, read up to `k`."""

    def __init__(self, key: RunKey) -> None:
        self.key = key
        self.k = 0
        self.prev = ""
        self.seq = 0
        """Stream sequence of the last record: what the next append is fenced by."""
        self.start: StartMark | None = None
        self.started_at_us = 0
        self.now_us = 0
        self.summary = EMPTY
        self.status: Status | Literal["early"] = EMPTY.status
        """The run's status; `early` before its start."""
        self.has_ended = False
        """The terminal record is there."""
        self.parked: Parked | None = None
        self.outcome: Outcome | None = None
        self.backlog: list[Folded] = []
        """Messages that no decision has applied yet, in order."""
        self.is_paused = False
        """The last decision left the run on pause; that it is parked meanwhile changes nothing about it."""
        self.is_open_ended = False
        """The last record says `more` and its successor is not there yet."""
        self.is_expired = False
        """Nothing may be appended any more: the log is purged, and whatever comes then begins a new one."""
        self.link: LinkMark | None = None
        """The link of its chain in which the run is; None for the first."""
        self.version = 0
        """Version of the workflow under which the link goes on; 0 before its first decision."""
        self.first_k = 0
        """Number of the record that has begun the link; `k` less this counts the link's records."""
        self.continued: Continued | None = None
        """How the link begins, until its first decision is made."""
        self.seen = Seen()
        self._open_parts: list[tuple[Record, int]] | None = None
        """Of a decision that is not complete, with their sequences."""

    # --- reading --------------------------------------------------------------------------------
    def add(self, record: Record, *, digest: str, seq: int, is_alone: bool = False, is_link: bool = False) -> None:
        """Takes the next record in.

        Args:
            digest: `record_hash` of its stored bytes.
            seq: Its sequence in the stream.
            is_alone: The log holds nothing else: a terminal record is then all that retention has left (R15).
            is_link: It is where the run's link begins; nothing before it was read.

        Raises:
            BadLog: It does not follow the last one.
        """
        is_cut = (is_alone and record.outcome is not None) or (is_link and not self.k)
        if not is_cut and (record.k != self.k + 1 or record.prev != self.prev):
            raise BadLog(f"record {record.k} does not follow record {self.k} of {self.key}")
        if is_cut:
            self.link = record.link
            self.first_k = record.link.k if record.link is not None else 0
        elif record.link is not self.link and not _is_same_link(record.link, self.link):
            raise BadLog(f"record {record.k} of {self.key} belongs to another link than record {self.k}")
        self.k, self.prev, self.seq = record.k, digest, seq
        self.now_us = record.at_us
        if record.start is not None and self.start is None:
            self.start = record.start
        if record.summary.started_at_us:
            self.started_at_us = record.summary.started_at_us
        if record.messages:
            self.seen.note(record.messages)
        if record.undecided:
            self.backlog.extend(record.messages)
        else:
            if record.messages:
                self.backlog = left_of([*self.backlog, *record.messages], record.kept) if record.kept else []
            self.is_paused = record.summary.status == "paused"
            self.is_open_ended = record.more
            self.version = record.version
            if record.more or record.continued is not None or self._open_parts:
                self._follow_links(record, seq)
            else:  # nearly always
                self.continued = None
        self.summary = record.summary
        self.status = status = record.summary.status
        self.has_ended = status in ENDED
        self.is_expired = record.expired
        self.parked = record.parked
        self.outcome = record.outcome

    def _follow_links(self, record: Record, seq: int) -> None:
        """Takes note of a decision, or of a part of one, that may begin a new link."""
        parts = self._open_parts = self._open_parts or []
        parts.append((record, seq))
        if record.more:
            return
        self._open_parts = None
        self.continued = record.continued
        if record.continued is not None:
            self.link = LinkMark(
                attempt=record.continued.attempt,
                n=record.continued.link,
                k=record.k,
                seq=parts[0][1],
                at_us=max(record.at_us, record.continued.due_at_us),
                commands=record.summary.commands,
            )
            self.first_k = record.k
            self.version = 0
            # Between its parts, messages may have been kept undecided: they come after what is carried.
            self.backlog = [*(folded for part, _ in parts for folded in part.carried), *self.backlog]
            self.seen = Seen.unpack(record.continued.seen)
            for part, _ in parts:
                self.seen.note(part.messages)
            self.seen.note(self.backlog)

    # --- answers ------------------------------------------------------------------------------------
    @property
    def rests_until_us(self) -> int:
        """When the next try of the workflow begins, where it has failed and waits for that; else 0."""
        return self.continued.due_at_us if self.continued is not None else 0

    @property
    def has_kept_pause(self) -> bool:
        """Tells whether a pause has come that no decision has applied, and no resume after it."""
        return next((m.verb for m in reversed(self.backlog) if m.verb in ("pause", "resume")), "") == "pause"

    @property
    def is_behind(self) -> bool:
        """Tells whether a run that goes on has messages that no decision has applied: the next one does."""
        return bool(self.backlog) and self.summary.status == "running"

    def has_folded(self, message: Message) -> bool:
        """Tells whether this very delivery is in the log (R5)."""
        return self.seen.has_delivery(message)

    def has_id(self, message: Message) -> bool:
        """Tells whether a message with the sender's id was folded already."""
        return self.seen.has_id(message)


def in_order(messages: Iterable[MessageT]) -> list[MessageT]:
    """Sorts messages as they are applied: the start first, then as the server accepted them (R12)."""
    return sorted(messages, key=_order)


def left_of(messages: Sequence[MessageT], count: int) -> list[MessageT]:
    """Finds the messages that a decision has left for the next one: the last ones in order."""
    return in_order(messages)[len(messages) - count :] if count else []


def _order(message: Message | Folded) -> tuple[bool, int, int, str]:
    return (message.verb != "start", message.at_us, message.seq, message.source)


def _is_same_link(one: LinkMark | None, other: LinkMark | None) -> bool:
    """Compares links by numbers: a stream that was restored elsewhere has other sequences."""
    if one is None or other is None:
        return one is other
    return (one.n, one.k) == (other.n, other.k)


def message_of(folded: Folded) -> Message:
    """Reads a logged message as it was when it was delivered. Raises BadMessage when it is no message any more."""
    raw = bytes(folded.body)
    return Message(
        source=folded.source,
        seq=folded.seq,
        at_us=folded.at_us,
        verb=folded.verb,
        name=folded.name,
        raw=raw,
        body=read_body(folded.verb, folded.name, raw),
    )


def folded_of(message: Message) -> Folded:
    """Writes a message as the log keeps it."""
    return Folded(
        source=message.source,
        seq=message.seq,
        at_us=message.at_us,
        verb=message.verb,
        name=message.name,
        body=Raw(message.raw),
    )
