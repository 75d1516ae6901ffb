"""Reindex: rebuilds INDEX from the last records in LOG (R20). The index is a cache; this is how a lost one comes back.

Runs beside workers: an entry that a worker writes meanwhile is as new as ours or newer, but a run that ends between our
read and our write would stay among the open ones, so what was written as open is read once more afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ..actors.errors import BadLog
from ..actors.names import RunKey
from ..actors.records import ENDED, Summary, decode_record
from .effects import IndexEntry
from .ports import Broker, Outgoing, Stored
from .subjects import App

_BATCH: Final = 500


class Reindexed(msgspec.Struct, frozen=True, kw_only=True):
    """What a reindexing did."""

    written: int
    removed: int
    unreadable: int
    """Logs whose last record is none of ours, or of a newer version."""


def index_word(summary: Summary) -> str:
    """Says under which word the index holds a run; empty for one that has not begun."""
    if summary.status in ENDED:
        return "ended"
    if summary.status == "early":
        return ""
    return "parked" if summary.status == "parked" else "open"


async def reindex(broker: Broker, app: App, on_progress: Callable[[int], None]) -> Reindexed:
    """Writes an entry for each run in LOG and removes those that belong to none. Idempotent.

    Holds one batch in memory, whatever the number of runs. Written in the order of last records: `ended` stays in
    order of ending, which the janitor relies on.
    """
    before = (await broker.stream_state(app.index)).last_seq
    written = removed = unreadable = 0
    batch: list[tuple[RunKey, Summary]] = []
    async for stored in broker.scan(app.log, app.log_of(RunKey("*", "*")), last_per_subject=True):
        key, summary = app.read_run(stored.subject), _summary_of(stored)
        if key is None or summary is None:
            unreadable += 1
            continue
        if index_word(summary):
            batch.append((key, summary))
        if len(batch) >= _BATCH:
            written += len(batch)
            removed += await _write(broker, app, batch)
            batch.clear()
            on_progress(written)
    written += len(batch)
    removed += await _write(broker, app, batch)
    # One message per subject: what still lies below the mark was not written anew, so no log has it there.
    # Details of steps are no entries of runs: they lie one token deeper.
    async for stored in broker.scan(app.index, app.index_of("*", RunKey("*", "*"))):
        if stored.seq > before:
            break
        removed += await broker.purge(app.index, stored.subject)
    return Reindexed(written=written, removed=removed, unreadable=unreadable)


async def _write(broker: Broker, app: App, batch: Sequence[tuple[RunKey, Summary]]) -> int:
    """Writes a batch and takes back entries of runs that have moved on meanwhile; returns how many of those."""
    entries = [_entry(app, key, summary) for key, summary in batch]
    acks = await broker.publish_many(entries)
    for entry, ack in zip(entries, acks, strict=True):
        if ack.code:
            await broker.publish(entry)
    removed = 0
    for key, summary in batch:
        word = index_word(summary)
        if word == "ended":
            continue
        stored = await broker.last(app.log, app.log_of(key))
        now = _summary_of(stored) if stored is not None else None
        if now is not None and index_word(now) != word:
            removed += await broker.purge(app.index, app.index_of(word, key))
    return removed


def _entry(app: App, key: RunKey, summary: Summary) -> Outgoing:
    fields = {name: getattr(summary, name) for name in summary.__struct_fields__}
    entry = IndexEntry(workflow=key.workflow, run=key.run, **fields)
    return Outgoing(app.index_of(index_word(summary), key), msgspec.json.encode(entry))


def _summary_of(stored: Stored) -> Summary | None:
    try:
        return decode_record(stored.payload).summary
    except BadLog:
        return None
