"""Parts: a decision that is larger than a record is cut into consecutive records, and joined again when it is read (R10).

Safe because deciding is pure: whoever finds only the first parts derives the rest by replay. What is cut are the lists
of a decision, one after the other; the messages stay together in the first part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from .limits import RECORD_BYTES_MAX
from .records import ENDED, Record, Summary, encode_record, record_hash

_LISTS: Final = ("fired", "retries", "refused", "answers", "commands", "carried")
"""In the order in which parts hold them."""

_ENVELOPE_ROOM: Final = 256
"""Bytes that a later part may have besides: the names of its lists, longer numbers, the hash of its predecessor."""

_ENCODER: Final = msgspec.json.Encoder()


def split(record: Record) -> tuple[list[Record], list[bytes]]:
    """Cuts a record into parts below `RECORD_BYTES_MAX`, all but the last marked `more` (R10).

    Only the first may be larger, by the envelopes of its messages.

    Returns:
        The parts, and each as it is stored.
    """
    raw = encode_record(record)
    if len(raw) <= RECORD_BYTES_MAX:
        return [record], [raw]
    parts: list[Record] = []
    stored: list[bytes] = []
    groups = _groups(record)
    prev, last = record.prev, len(groups) - 1
    for index, group in enumerate(groups):
        part = msgspec.structs.replace(
            record,
            k=record.k + index,
            prev=prev,
            messages=record.messages if index == 0 else [],
            outcome=record.outcome if index == last else None,
            continued=record.continued if index == last else None,
            values=record.values if index == last else {},
            summary=record.summary if index == last else _going_on(record.summary),
            more=index != last,
            **{name: group.get(name, []) for name in _LISTS},
        )
        raw = encode_record(part)
        parts.append(part)
        stored.append(raw)
        prev = record_hash(raw)
    return parts, stored


def missing(whole: Record, found: Record) -> Record:
    """Leaves out of a decision what its parts in the log hold already."""
    rest = {name: getattr(whole, name)[len(getattr(found, name)) :] for name in _LISTS}
    return msgspec.structs.replace(whole, messages=[], **rest)


def joined(log: Sequence[Record]) -> Iterator[tuple[Record, bool]]:
    """Joins the parts of decisions; tells whether the last one is still open.

    Undecided records between two parts (the run was parked half-way) come after the decision: their messages belong to
    the next one.
    """
    whole: Record | None = None
    between: list[Record] = []
    for record in log:
        if whole is None:
            part = record
        elif record.undecided:
            between.append(record)
            continue
        else:
            part = _join(whole, record)
        whole = part if part.more else None
        if whole is None:
            yield part, False
            yield from ((kept, False) for kept in between)
            between.clear()
    if whole is not None:
        yield whole, True
        yield from ((kept, False) for kept in between)


def since_last_link(log: Sequence[Record]) -> Sequence[Record]:
    """Leaves out what belongs to earlier links of the run's chain; one that the last record has ended is not earlier."""
    for index in range(len(log) - 2, -1, -1):
        if log[index].continued is not None:
            return log[index + 1 :]
    return log


def _groups(record: Record) -> list[dict[str, list[Any]]]:
    """Divides the lists, and leaves the outcome, or what a new link begins with, room in the last group."""
    bare = msgspec.structs.replace(record, messages=[], outcome=None, continued=None, **{name: [] for name in _LISTS})
    room = RECORD_BYTES_MAX - len(encode_record(bare)) - _ENVELOPE_ROOM
    groups: list[dict[str, list[Any]]] = [{}]
    used = sum(len(_ENCODER.encode(message)) + 1 for message in record.messages)
    for name in _LISTS:
        for item in getattr(record, name):
            size = len(_ENCODER.encode(item)) + 1
            if used + size > room:
                groups.append({})
                used = 0
            groups[-1].setdefault(name, []).append(item)
            used += size
    end = record.outcome or record.continued
    if end is not None and used + len(_ENCODER.encode(end)) > room:
        groups.append({})
    return groups


def _join(first: Record, second: Record) -> Record:
    lists = {name: [*getattr(first, name), *getattr(second, name)] for name in _LISTS}
    return msgspec.structs.replace(
        first,
        outcome=second.outcome,
        continued=second.continued,
        values=second.values,
        more=second.more,
        summary=second.summary,
        at_us=second.at_us,
        **lists,
    )


def _going_on(summary: Summary) -> Summary:
    return summary if summary.status not in ENDED else msgspec.structs.replace(summary, status="running", ended_at_us=0)
