"""The run's log on JetStream: fenced append, and what an unclear answer means; paged loading (R4, R11).

An error reply is no proof that an append was refused (a stale leader answers first, an ack gets lost, the answers of
one and three nodes differ): after every answer but a plain success the log itself is asked for our record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import anyio
import anyio.lowlevel

from ..actors.actor import Actor
from ..actors.errors import BadLog, BrokerError
from ..actors.names import RunKey
from ..actors.records import LinkMark, Record, decode_record, record_hash
from .ports import EXPECT_LAST, Broker, Outgoing, PubAck, Stored
from .subjects import App
from .telemetry import log

_BACKOFF_FIRST_S: Final = 0.02
_BACKOFF_MAX_S: Final = 2.0
_RECORDS_PER_TURN: Final = 256
"""Records read between two turns of the loop: some 2 ms."""


class RunLog:
    """The logs of one app's runs."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app

    def entry(self, key: RunKey, raw: bytes, after_seq: int) -> Outgoing:
        """Makes the message that appends a record behind the one stored under `after_seq` (0: an empty log)."""
        return Outgoing(self._app.log_of(key), raw, {EXPECT_LAST: str(after_seq)})

    async def append(self, key: RunKey, raw: bytes, after_seq: int) -> int | None:
        """Appends one record durably.

        Returns:
            Its sequence, or None when somebody else advanced the run: drop the actor and load it anew.
        """
        ack = await self._broker.publish(self.entry(key, raw, after_seq))
        return await self.resolve(key, raw, after_seq, ack)

    async def append_all(self, key: RunKey, records: Sequence[bytes], after_seq: int) -> list[int] | None:
        """Appends the parts of a decision one after the other, as `append` does each."""
        seqs: list[int] = []
        for raw in records:
            seq = await self.append(key, raw, seqs[-1] if seqs else after_seq)
            if seq is None:
                return None
            seqs.append(seq)
        return seqs

    async def resolve(self, key: RunKey, raw: bytes, after_seq: int, ack: PubAck) -> int | None:
        """Finds out what an answer to an append means, repeating the append where it was not stored.

        Waits as long as the server cannot be asked; a caller that is cancelled does not know the outcome.
        """
        if ack.code == 0:
            return ack.seq
        delay_s = _BACKOFF_FIRST_S
        while True:
            try:
                found = await self._find(key, raw, after_seq)
            except BrokerError as error:
                log("log.unreachable", run=key, error=error)
                found = None
                is_free = False
            else:
                if found is not None:
                    return found or None
                is_free = True
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_MAX_S)
            if is_free:
                try:
                    ack = await self._broker.publish(self.entry(key, raw, after_seq))
                except BrokerError as error:
                    log("log.append_failed", run=key, error=error)
                    continue
                if ack.code == 0:
                    return ack.seq

    async def _find(self, key: RunKey, raw: bytes, after_seq: int) -> int | None:
        """Looks for our record: its sequence; 0 when another one stands in its place; None when the place is free.

        Ours is what has our bytes. Number and nonce are not enough: who finishes a decision that another worker has begun
        to append writes under its nonce, and a part that is taken for our own breaks the chain behind it.
        """
        last = await self._broker.last(self._app.log, self._app.log_of(key))
        if last is None or last.seq <= after_seq:
            return None if (last.seq if last is not None else 0) == after_seq else 0
        found = await self._broker.read(self._app.log, self._app.log_of(key), from_seq=after_seq + 1, to_seq=last.seq)
        return next((stored.seq for stored in found if stored.payload == raw), 0)

    async def last_seq(self, key: RunKey) -> int:
        """Reads the sequence of the run's last record from the leader; 0 for an empty log."""
        last = await self._broker.last(self._app.log, self._app.log_of(key))
        return last.seq if last is not None else 0

    async def last_record(self, key: RunKey) -> Record | None:
        """Reads the run's last record, from any replica. Raises BadLog when it cannot be read."""
        last = await self._broker.last_direct(self._app.log, self._app.log_of(key))
        return decode_record(last.payload) if last is not None else None

    async def records(self, key: RunKey) -> list[Record]:
        """Reads a run's records from where its link begins, up to the one that the leader has last; what is no record is
        skipped (R4).

        Raises:
            BadLog: A record is of a newer version, or the end of the log is missing.
        """
        records: list[Record] = []
        stored, _ = await self._read(key)
        for count, message in enumerate(stored, 1):
            if not count % _RECORDS_PER_TURN:
                await anyio.lowlevel.checkpoint()
            try:
                records.append(decode_record(message.payload))
            except BadLog as error:
                if error.is_newer:
                    raise
        return records

    async def read_into(self, actor: Actor) -> Record | None:
        """Reads the log into an actor, from where the run's link begins, skipping what does not chain (R4).

        Returns:
            The newest record that holds messages: what its decision owes is carried out before they are acked (R7).

        Raises:
            BadLog: A record is of a newer version, or the end of the log is missing.
        """
        stored, is_link = await self._read(actor.key)
        newest: Record | None = None
        skipped = 0
        for message in stored:
            record = _read_one(actor, message, is_alone=len(stored) == 1, is_link=is_link)
            skipped += record is None
            if record is not None and record.messages:
                newest = record
        actor.journal.seq = stored[-1].seq if stored else 0  # strangers' messages count for the fence
        if skipped:
            log("log.strange_messages", run=actor.key, count=skipped)
        return newest

    async def _read(self, key: RunKey) -> tuple[list[Stored], bool]:
        """Reads what a replay needs: the run's link with the decision that has begun it, or the whole log.

        Returns:
            The messages, and whether they begin with a later link.
        """
        subject = self._app.log_of(key)
        last = await self._broker.last(self._app.log, subject)
        if last is None:
            return [], False
        link = _link_of(last)
        stored = await self._broker.read(self._app.log, subject, from_seq=link.seq if link is not None else 1)
        if link is not None and not _begins(stored, link):
            log("log.link_not_found", logging.WARNING, run=key, link=link.n, seq=link.seq)
            link = None
            stored = await self._broker.read(self._app.log, subject)
        end = stored[-1].seq if stored else 0
        if end < last.seq:
            raise BadLog(f"the log of {key} ends at {end}, its leader has {last.seq}; try again")
        return stored, link is not None


def _link_of(last: Stored) -> LinkMark | None:
    """Reads in a run's last record where its link begins. The record that ends a link belongs to it: whoever carries out
    what is owed at the end of a link needs all of it.
    """
    try:
        return decode_record(last.payload).link
    except BadLog:
        return None


def _begins(stored: Sequence[Stored], link: LinkMark) -> bool:
    """Tells whether a log's part begins as a link does: sequences are no identity, a restored stream has others."""
    try:
        first = decode_record(stored[0].payload) if stored else None
    except BadLog:
        return False
    return first is not None and first.k <= link.k and (first.more or first.continued is not None)


def _read_one(actor: Actor, message: Stored, *, is_alone: bool, is_link: bool) -> Record | None:
    try:
        record = decode_record(message.payload)
        digest = record_hash(message.payload)
        actor.read(record, digest=digest, seq=message.seq, is_alone=is_alone, is_link=is_link)
    except BadLog as error:
        if error.is_newer:
            raise
        return None
    return record
