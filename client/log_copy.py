"""Log copies: the logs of runs outside of the server, as `wfctl runs export` writes them, or read for a replay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..actors.errors import BadLog
from ..actors.fold import command_refs, refs_of
from ..actors.journal import message_of
from ..actors.messages import Ref
from ..actors.names import RunKey
from ..actors.records import Record, decode_record
from ..streams.ports import Broker
from ..streams.subjects import App
from .claims import Claims
from .reader import Chain


class LogCopy:
    """The log of one run with the large values that it names."""

    def __init__(self, key: RunKey, app: str = "") -> None:
        self.key = key
        self.app = app
        """Where the run was; empty for exports that do not say it."""
        self.records: list[Record] = []
        self.objects: dict[str, bytes] = {}

    @property
    def is_whole(self) -> bool:
        """Tells whether it begins as a run or a link does: retention cuts the logs of ended runs."""
        return bool(self.records) and (self.records[0].k == 1 or self.records[0].continued is not None)


class _Line(msgspec.Struct, frozen=True):
    """A line of an export: a record with its hash, or a large value."""

    workflow: str
    run: str
    app: str = ""
    hash: str = ""
    record: msgspec.Raw = msgspec.Raw()
    sha256: str = ""
    value: msgspec.Raw = msgspec.Raw()


def parse_copies(lines: Iterable[bytes], *, where: str) -> list[LogCopy]:
    """Reads an export, of one run or of several one after the other.

    Args:
        where: What the error shall call the file.

    Raises:
        BadLog: A line is no line of an export, or a record is missing; names the line.
    """
    copies: dict[tuple[str, RunKey], LogCopy] = {}
    ends: dict[tuple[str, RunKey], str] = {}
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
            record = decode_record(bytes(line.record)) if line.hash else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadLog) as error:
            reason = f"{where}, line {number}: {error}; give what `wfctl runs export` has printed"
            raise BadLog(reason) from error
        key = RunKey(line.workflow, line.run)
        place = (line.app, key)
        copy = copies.setdefault(place, LogCopy(key, line.app))
        if record is None:
            copy.objects[line.sha256] = bytes(line.value)
            continue
        if copy.records and (record.k != copy.records[-1].k + 1 or record.prev != ends[place]):
            last = copy.records[-1].k
            raise BadLog(f"{where}, line {number}: record {record.k} of {key} does not follow record {last}")
        copy.records.append(record)
        ends[place] = line.hash
    return list(copies.values())


async def copy_log(broker: Broker, app: App, key: RunKey) -> LogCopy:
    """Reads a run's log from the server, without what does not belong to it (R4), and the values that its messages name.

    Raises:
        BadLog: A value is gone or damaged, or a record is of a newer version.
    """
    copy, chain, claims = LogCopy(key, app.name), Chain(), Claims(broker, app)
    for stored in await broker.read(app.log, app.log_of(key)):
        record = chain.accept(stored.payload)
        if record is not None:
            copy.records.append(record)
    for ref in (ref for record in copy.records for ref in _refs_of(record)):
        if ref is not None and ref.sha256 not in copy.objects:
            copy.objects[ref.sha256] = await claims.get(key, ref)
    return copy


def _refs_of(record: Record) -> Iterator[Ref | None]:
    """Names the large values that a replay of a record needs."""
    yield from (refs_of(message_of(folded)) for folded in (*record.messages, *record.carried))
    yield from command_refs(record)
    if record.continued is not None:
        yield record.continued.ref
