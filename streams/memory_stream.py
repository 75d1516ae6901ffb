"""MemoryStream: the messages of one stream of the twin, its fence and its limits.

Owns what is stored and in which order; knows no time of its own, no consumer and no connection. Refusals carry the
server's error codes (seen on 2.15.1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from .definitions import StreamDefinition
from .definitions import Transform as PairOfSubjects
from .memory_subjects import Transform, is_literal, matches
from .ports import EXPECT_LAST, SCHEDULE, SCHEDULE_TARGET, WRONG_LAST, PubAck, Stored, StreamState

EXPECT_LAST_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
MESSAGE_ID: Final = "Nats-Msg-Id"
ROLLUP: Final = "Nats-Rollup"
TTL: Final = "Nats-TTL"
SCHEDULER: Final = "Nats-Scheduler"
SCHEDULE_NEXT: Final = "Nats-Schedule-Next"

TOO_LARGE: Final = PubAck(0, 10054, "message size exceeds maximum allowed")
SUBJECT_FULL: Final = PubAck(0, 10077, "maximum messages per subject exceeded")
STREAM_FULL: Final = PubAck(0, 10077, "maximum bytes exceeded")
ROLLUPS_OFF: Final = PubAck(0, 10111, "rollup not permitted")
TTL_OFF: Final = PubAck(0, 10166, "per-message TTL is disabled")
SCHEDULES_OFF: Final = PubAck(0, 10188, "message schedules is disabled")
PATTERN_INVALID: Final = PubAck(0, 10189, "message schedules pattern is invalid")
TARGET_INVALID: Final = PubAck(0, 10190, "message schedules target is invalid")

MESSAGE_OVERHEAD_BYTES: Final = 30
"""What the server's file store adds to subject, headers and payload."""


class Schedule(NamedTuple):
    """A message that waits for its time."""

    subject: str
    seq: int
    due_at_us: int
    target: str


class MemoryStream:
    """One stream."""

    def __init__(self, definition: StreamDefinition) -> None:
        self.definition = definition
        self.republish = _transform(definition.republish)
        self._transform = _transform(definition.subject_transform)
        # Ordered dictionaries: removing from the front again and again stays cheap.
        self._messages: OrderedDict[int, Stored] = OrderedDict()
        self._subjects: dict[str, OrderedDict[int, None]] = {}
        self._bytes = 0
        self._last_seq = 0
        self._ids: dict[str, tuple[int, int]] = {}
        self.schedules: dict[str, Schedule] = {}
        self.dropped: list[int] = []
        """Sequences that limits, rollups and purges removed since somebody last looked."""

    # --- writing -------------------------------------------------------------------------------
    def takes(self, subject: str) -> bool:
        return "" not in subject.split(".") and any(matches(pattern, subject) for pattern in self.definition.subjects)

    def store(self, subject: str, payload: bytes, headers: Mapping[str, str], at_us: int) -> PubAck:
        """Stores the message, or says with the server's code why not; all checks come before any change."""
        subject = self._transform.apply(subject) if self._transform else subject
        schedule = self._schedule(subject, headers)
        if isinstance(schedule, PubAck):
            return schedule
        refusal = self._refusal(subject, payload, headers)
        if refusal is not None:
            return refusal
        if MESSAGE_ID in headers and (known := self._known(headers[MESSAGE_ID], at_us)):
            return PubAck(known)
        if schedule is not None or headers.get(ROLLUP) == "sub":
            self.purge(subject)
        elif headers.get(ROLLUP) == "all":
            self.purge(">")
        # A plain message on a schedule's subject ends the schedule and leaves both messages (seen on 2.15.1).
        self.schedules.pop(subject, None)
        if schedule is not None:
            self.schedules[subject] = schedule
        self._last_seq += 1
        self._messages[self._last_seq] = message = Stored(subject, payload, self._last_seq, at_us, dict(headers))
        self._subjects.setdefault(subject, OrderedDict())[self._last_seq] = None
        self._bytes += _size(message)
        if MESSAGE_ID in headers:
            self._ids[headers[MESSAGE_ID]] = (self._last_seq, at_us)
        self._discard_old(subject, at_us)
        return PubAck(self._last_seq)

    def remove(self, seq: int) -> bool:
        """Deletes one message; False when it is gone already."""
        message = self._messages.pop(seq, None)
        if message is None:
            return False
        seqs = self._subjects[message.subject]
        del seqs[seq]
        if not seqs:
            del self._subjects[message.subject]
        self._bytes -= _size(message)
        schedule = self.schedules.get(message.subject)
        if schedule is not None and schedule.seq == seq:
            del self.schedules[message.subject]
        return True

    def purge(self, subject: str, keep: int = 0, to_seq: int = 0) -> int:
        seqs = self._seqs_of(subject)
        doomed = seqs[: len(seqs) - keep] if keep else [seq for seq in seqs if not to_seq or seq <= to_seq]
        for seq in doomed:
            self._drop(seq)
        return len(doomed)

    # --- reading -------------------------------------------------------------------------------
    @property
    def last_seq(self) -> int:
        return self._last_seq

    @property
    def state(self) -> StreamState:
        first = next(iter(self._messages), self._last_seq + 1)
        return StreamState(len(self._messages), self._bytes, first, self._last_seq, len(self._subjects), 0)

    def get(self, seq: int) -> Stored | None:
        return self._messages.get(seq)

    def last(self, subject: str) -> Stored | None:
        seqs = self._subjects.get(subject)
        return self._messages[next(reversed(seqs))] if seqs else None

    def select(self, pattern: str, *, from_seq: int = 1, to_seq: int = 0) -> list[Stored]:
        """Returns the messages of a filter in stream order."""
        stop = to_seq or self._last_seq
        return [self._messages[seq] for seq in self._seqs_of(pattern) if from_seq <= seq <= stop]

    def newest(self, pattern: str) -> list[Stored]:
        """Returns the newest message of each subject of a filter, in stream order."""
        seqs = (next(reversed(seqs)) for subject, seqs in self._subjects.items() if matches(pattern, subject))
        return [self._messages[seq] for seq in sorted(seqs)]

    # --- schedules -----------------------------------------------------------------------------
    def fired(self, schedule: Schedule) -> tuple[bytes, dict[str, str]] | None:
        """Returns payload and headers of the message that a due schedule becomes; None when it was replaced or purged."""
        if self.schedules.get(schedule.subject) != schedule:
            return None
        message = self._messages[schedule.seq]
        headers = {
            name: value
            for name, value in message.headers.items()
            if name not in {MESSAGE_ID, TTL} and not name.startswith((SCHEDULE, "Nats-Expected-"))
        }
        return message.payload, {**headers, SCHEDULER: schedule.subject, SCHEDULE_NEXT: "purge"}

    # --- private -------------------------------------------------------------------------------
    def _schedule(self, subject: str, headers: Mapping[str, str]) -> Schedule | PubAck | None:
        if SCHEDULE not in headers:
            return None
        if not self.definition.allow_msg_schedules:
            return SCHEDULES_OFF
        due_at_us = _due_at_us(headers[SCHEDULE])
        if due_at_us is None:
            return PATTERN_INVALID
        target = headers.get(SCHEDULE_TARGET, "")
        if not is_literal(target) or not self.takes(target) or target == subject:
            return TARGET_INVALID
        return Schedule(subject, self._last_seq + 1, due_at_us, target)

    def _refusal(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> PubAck | None:
        definition = self.definition
        size = len(payload) + headers_size(headers)
        if 0 <= definition.max_msg_size < size:
            return TOO_LARGE
        if ROLLUP in headers and not definition.allow_rollup_hdrs:
            return ROLLUPS_OFF
        if TTL in headers:
            return TTL_OFF
        if EXPECT_LAST in headers:
            expected = headers[EXPECT_LAST]
            last = max(self._seqs_of(headers.get(EXPECT_LAST_SUBJECT, subject)), default=0)
            if last != (int(expected) if expected.isdigit() else 0):
                return PubAck(0, WRONG_LAST, f"wrong last sequence: {last}")
        if definition.discard != "new":
            return None
        if definition.discard_new_per_subject and 0 <= definition.max_msgs_per_subject <= len(
            self._subjects.get(subject, ())
        ):
            return SUBJECT_FULL
        if 0 <= definition.max_bytes < self._bytes + size + len(subject) + MESSAGE_OVERHEAD_BYTES:
            return STREAM_FULL
        return None

    def _known(self, message_id: str, at_us: int) -> int:
        """Returns the sequence of the first message of that id within the window, or 0."""
        seq, stored_at_us = self._ids.get(message_id, (0, 0))
        return seq if at_us - stored_at_us < self.definition.duplicate_window // 1000 else 0

    def _discard_old(self, subject: str, at_us: int) -> None:
        definition = self.definition
        while 0 < definition.max_msgs_per_subject < len(self._subjects[subject]):
            self._drop(next(iter(self._subjects[subject])))
        while 0 < definition.max_bytes < self._bytes:
            self._drop(next(iter(self._messages)))
        while definition.max_age and self._messages:
            first = next(iter(self._messages.values()))
            if first.at_us >= at_us - definition.max_age // 1000:
                break
            self._drop(first.seq)

    def _drop(self, seq: int) -> None:
        self.remove(seq)
        self.dropped.append(seq)

    def _seqs_of(self, pattern: str) -> list[int]:
        if (seqs := self._subjects.get(pattern)) is not None:
            return list(seqs)
        return sorted(self._walk(pattern))

    def _walk(self, pattern: str) -> Iterator[int]:
        for subject, seqs in self._subjects.items():
            if matches(pattern, subject):
                yield from seqs


def headers_size(headers: Mapping[str, str]) -> int:
    """Returns the bytes of the header block, 0 without headers."""
    return 12 + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items()) if headers else 0


def _size(message: Stored) -> int:
    return len(message.subject) + len(message.payload) + headers_size(message.headers) + MESSAGE_OVERHEAD_BYTES


def _transform(pair: PairOfSubjects | None) -> Transform | None:
    return Transform(pair.src, pair.dest) if pair is not None else None


def _due_at_us(pattern: str) -> int | None:
    word, _, when = pattern.partition(" ")
    if word != "@at":
        return None
    try:
        due = datetime.fromisoformat(when)
    except ValueError:
        return None
    if due.tzinfo is None:
        return None
    seconds = int(due.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + due.microsecond
