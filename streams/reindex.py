"""Reindex: rebuilds INDEX from the last records in LOG (R20). The index is a cache; this is how a lost one comes back.

Runs beside workers: an entry that a worker writes meanwhile is as new as ours or newer, but a run that ends between our
read and our write would stay among the open ones, so what was written as open is read once more afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ..actors.errors import BadLog
from ..actors.names import RunKey, link_id
from ..actors.records import ENDED, LinkMark, Record, Summary, decode_record
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
        key, record = app.read_run(stored.subject), _record_of(stored)
        if key is None or record is None:
            unreadable += 1
            continue
        if record.link is not None:
            await broker.publish(_entry_of_links(app, key, record.link))
            written += 1
        if index_word(record.summary):
            batch.append((key, record.summary))
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
        now = _record_of(stored) if stored is not None else None
        if now is not None and index_word(now.summary) != word:
            removed += await broker.purge(app.index, app.index_of(word, key))
    return removed


def _entry(app: App, key: RunKey, summary: Summary) -> Outgoing:
    fields = {name: getattr(summary, name) for name in summary.__struct_fields__}
    entry = IndexEntry(workflow=key.workflow, run=key.run, **fields)
    return Outgoing(app.index_of(index_word(summary), key), msgspec.json.encode(entry))


def _entry_of_links(app: App, key: RunKey, link: LinkMark) -> Outgoing:
    """Makes the entry by which the janitor cuts off all earlier links of a run: the newest of them stands for all."""
    name = RunKey(key.workflow, link_id(key.run, link.n - 1))
    entry = IndexEntry(
        workflow=key.workflow,
        run=name.run,
        status="continued",
        ended_at_us=link.at_us,
        chain=key.run,
        until_seq=link.seq - 1,
    )
    return Outgoing(app.index_of("ended", name), msgspec.json.encode(entry))


def _record_of(stored: Stored) -> Record | None:
    try:
        return decode_record(stored.payload)
    except BadLog:
        return None
