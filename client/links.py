"""Links: the chain of a run that has continued as new, read backwards from where it is now.

Each link's records name where it begins, and what stands there is the record that ended the link before: a chain of a
thousand links costs a thousand small reads, whatever is in them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ..actors.errors import BadLog
from ..actors.names import RunKey, link_id
from ..actors.records import LinkMark, Outcome, Record, Status, decode_record
from ..streams.ports import Broker
from ..streams.subjects import App


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link of a run's chain."""

    number: int
    """1 for the first."""
    run_id: str
    """Names the link wherever a run can be named. The run's own id always means the link that goes on."""
    status: Status | Literal["early"]
    """`continued` for all but the last."""
    started_at_us: int
    ended_at_us: int = 0
    """0 while it goes on."""
    records: int
    commands: int
    """Number of its last command; numbers go on from link to link."""
    next: str = ""
    """The link that follows."""
    previous: str = ""
    """The link before, also where retention has forgotten it."""


class LinkEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of a link, and where its records stand in the stream."""

    record: Record
    from_seq: int
    to_seq: int
    """0 for the end of the log."""

    @property
    def number(self) -> int:
        return self.record.link.n if self.record.link is not None else 1

    @property
    def is_last(self) -> bool:
        return self.to_seq == 0


async def read_ends(broker: Broker, app: App, key: RunKey, *, down_to: int = 1) -> list[LinkEnd]:
    """Reads the last records of a run's links, the newest first, as far back as retention has left them.

    Args:
        down_to: Stops behind the link of this number.

    Raises:
        BadLog: A record is of a newer version.
    """
    subject = app.log_of(key)
    stored = await broker.last_direct(app.log, subject)
    if stored is None:
        return []
    record, seq, to_seq = decode_record(stored.payload), stored.seq, 0
    if record.continued is not None:
        # The next link has begun with this record, and has none of its own yet.
        begun = LinkMark(
            n=record.continued.link, k=record.k, seq=seq, at_us=record.at_us, commands=record.summary.commands
        )
        summary = msgspec.structs.replace(record.summary, started_at_us=record.at_us)
        new = msgspec.structs.replace(record, link=begun, continued=None, summary=summary)
        ends, to_seq = [LinkEnd(record=new, from_seq=seq, to_seq=0)], seq
    else:
        ends = []
    while True:
        link = record.link
        end = LinkEnd(record=record, from_seq=link.seq if link is not None else 1, to_seq=to_seq)
        ends.append(end)
        if link is None or end.number <= down_to:
            return ends
        found = await _switch_at(broker, app, subject, link)
        if found is None:
            return ends
        record, to_seq = found


async def _switch_at(broker: Broker, app: App, subject: str, link: LinkMark) -> tuple[Record, int] | None:
    """Finds the record that ended the link before, past the first of its parts; None where it is gone."""
    seq, k = link.seq, 0
    while k < link.k:
        stored = await broker.get(app.log, seq)
        seq += 1
        if stored is None or stored.subject != subject:
            if k:
                continue  # another run's, between two parts
            return None
        try:
            record = decode_record(stored.payload)
        except BadLog as error:
            if error.is_newer:
                raise
            return None
        k = record.k
        if record.k == link.k and record.continued is not None:
            return record, stored.seq
    return None


def link_of(key: RunKey, end: LinkEnd) -> Link:
    """Says what a link was."""
    record, number = end.record, end.number
    first_k = record.link.k if record.link is not None else 0
    return Link(
        number=number,
        run_id=link_id(key.run, number),
        status=record.summary.status if end.is_last else "continued",
        started_at_us=record.summary.started_at_us,
        ended_at_us=record.summary.ended_at_us if end.is_last else record.at_us,
        records=record.k - first_k,
        commands=record.summary.commands,
        next="" if end.is_last else link_id(key.run, number + 1),
        previous=link_id(key.run, number - 1) if number > 1 else "",
    )


def as_ended(record: Record) -> Record:
    """Makes of the record that ended a link what a run's last record is: it says so."""
    summary = msgspec.structs.replace(record.summary, status="continued", ended_at_us=record.at_us)
    return msgspec.structs.replace(
        record,
        outcome=Outcome(status="continued", error=record.continued.error if record.continued is not None else None),
        summary=summary,
    )
