"""The journal: what a run's log says, code apart. It is enough to append to the log, to recognise what was applied
already, and to answer for the run; deciding needs the execution too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Raw

from .errors import BadLog
from .limits import MESSAGE_IDS_MAX
from .messages import Message, read_body
from .names import RunKey
from .records import ENDED, Folded, Outcome, Parked, Record, StartMark, Status, Summary

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
        self._seen: set[tuple[str, int, int]] = set()
        self._ids: dict[str, None] = {}

    # --- reading --------------------------------------------------------------------------------
    def add(self, record: Record, *, digest: str, seq: int, is_alone: bool = False) -> None:
        """Takes the next record in.

        Args:
            digest: `record_hash` of its stored bytes.
            seq: Its sequence in the stream.
            is_alone: The log holds nothing else: a terminal record is then all that retention has left (R15).

        Raises:
            BadLog: It does not follow the last one.
        """
        is_cut = is_alone and record.outcome is not None
        if not is_cut and (record.k != self.k + 1 or record.prev != self.prev):
            raise BadLog(f"record {record.k} does not follow record {self.k} of {self.key}")
        self.k, self.prev, self.seq = record.k, digest, seq
        self.now_us = record.at_us
        if record.start is not None and self.start is None:
            self.start = record.start
        if record.summary.started_at_us:
            self.started_at_us = record.summary.started_at_us
        if record.messages:
            self._note(record.messages)
        if record.undecided:
            self.backlog.extend(record.messages)
        else:
            if record.messages:
                self.backlog = left_of([*self.backlog, *record.messages], record.kept) if record.kept else []
            self.is_paused = record.summary.status == "paused"
            self.is_open_ended = record.more
        self.summary = record.summary
        self.is_expired = record.expired
        self.parked = record.parked
        self.outcome = record.outcome

    def _note(self, messages: Iterable[Folded]) -> None:
        """Remembers deliveries, and the newest `MESSAGE_IDS_MAX` of their senders' own ids."""
        for folded in messages:
            self._seen.add((folded.source, folded.seq, folded.at_us))
            name = _id_of(folded.body)
            if name:
                self._ids[name] = None
        while len(self._ids) > MESSAGE_IDS_MAX:
            del self._ids[next(iter(self._ids))]

    # --- answers ------------------------------------------------------------------------------------
    @property
    def status(self) -> Status | Literal["early"]:
        """The run's status; `early` before its start."""
        return self.summary.status

    @property
    def has_ended(self) -> bool:
        """Tells whether the terminal record is there."""
        return self.summary.status in ENDED

    @property
    def is_behind(self) -> bool:
        """Tells whether a run that goes on has messages that no decision has applied: the next one does."""
        return bool(self.backlog) and self.summary.status == "running"

    def has_folded(self, message: Message) -> bool:
        """Tells whether this very delivery is in the log (R5)."""
        return (message.source, message.seq, message.at_us) in self._seen

    def has_id(self, message: Message) -> bool:
        """Tells whether a message with the sender's id was folded already."""
        return bool(message.body.id) and message.body.id in self._ids


def in_order(messages: Iterable[MessageT]) -> list[MessageT]:
    """Sorts messages as they are applied: the start first, then as the server accepted them (R12)."""
    return sorted(messages, key=_order)


def left_of(messages: Sequence[MessageT], count: int) -> list[MessageT]:
    """Finds the messages that a decision has left for the next one: the last ones in order."""
    return in_order(messages)[len(messages) - count :] if count else []


def _order(message: Message | Folded) -> tuple[bool, int, int, str]:
    return (message.verb != "start", message.at_us, message.seq, message.source)


class _WithId(msgspec.Struct):
    id: str = ""


_ID: Final = msgspec.json.Decoder(_WithId)


def has_key(body: Raw, key: bytes) -> bool:
    """Tells whether a body may have a key, at the cost of a search: False is certain, a key may be written in escapes.

    Args:
        key: With its quotes.
    """
    raw = bytes(body)
    return key in raw or b"\\u" in raw


def _id_of(body: Raw) -> str:
    return _ID.decode(body).id if has_key(body, b'"id"') else ""


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
