"""Parts: a decision that is larger than a record is cut into consecutive records, and joined again when it is read (R10).

Safe because deciding is pure: whoever finds only the first parts derives the rest by replay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from .commands import Command
from .limits import RECORD_BYTES_MAX
from .records import ENDED, Record, Summary, encode_record, record_hash

_ENVELOPE_ROOM: Final = 64
"""Bytes by which the numbers of a later part may be longer than those of the first."""

_ENCODER: Final = msgspec.json.Encoder()


def split(record: Record) -> list[tuple[Record, bytes]]:
    """Cuts a record into parts below `RECORD_BYTES_MAX`, all but the last marked `more` (R10)."""
    raw = encode_record(record)
    if len(raw) <= RECORD_BYTES_MAX:
        return [(record, raw)]
    envelope = (
        len(encode_record(msgspec.structs.replace(record, commands=[], messages=[], outcome=None))) + _ENVELOPE_ROOM
    )
    room = RECORD_BYTES_MAX - envelope
    groups: list[list[Command]] = [[]]
    used = sum(len(_ENCODER.encode(m)) + 1 for m in record.messages)
    for command in record.commands:
        size = len(_ENCODER.encode(command)) + 1
        if used + size > room:
            groups.append([])
            used = 0
        groups[-1].append(command)
        used += size
    if record.outcome is not None and used + len(_ENCODER.encode(record.outcome)) > room:
        groups.append([])
    parts: list[tuple[Record, bytes]] = []
    k, prev, last = record.k, record.prev, len(groups) - 1
    for index, commands in enumerate(groups):
        is_first, is_last = index == 0, index == last
        part = msgspec.structs.replace(
            record,
            k=k + index,
            prev=prev,
            commands=commands,
            messages=record.messages if is_first else [],
            fired=record.fired if is_first else [],
            retries=record.retries if is_first else [],
            refused=record.refused if is_first else [],
            outcome=record.outcome if is_last else None,
            summary=record.summary if is_last else _going_on(record.summary),
            more=not is_last,
        )
        raw = encode_record(part)
        parts.append((part, raw))
        prev = record_hash(raw)
    return parts


def _going_on(summary: Summary) -> Summary:
    return summary if summary.status not in ENDED else msgspec.structs.replace(summary, status="running", ended_at_us=0)


def joined(log: Sequence[Record]) -> Iterator[tuple[Record, bool]]:
    """Joins the parts of decisions; tells whether the last one is still open.

    Undecided records between two parts (the run was parked half-way) come before the joined decision.
    """
    open_record: Record | None = None
    for record in log:
        if open_record is not None and not record.undecided:
            record = msgspec.structs.replace(
                open_record,
                commands=[*open_record.commands, *record.commands],
                outcome=record.outcome,
                more=record.more,
                summary=record.summary,
            )
            open_record = None
        if record.more:
            open_record = record
            continue
        yield record, False
    if open_record is not None:
        yield open_record, True
