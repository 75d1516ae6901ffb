"""Appends: decisions made durable, those of many runs at once; what the fence refuses is given back (R4).

One append is in flight per run. A decision without a record is checked against the log instead, before its messages
are acked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from ..actors.actor import Actor
from ..actors.errors import BrokerError, JetrunError
from .ports import UNKNOWN, Broker, PubAck
from .run_log import RunLog
from .slots import Pending
from .subjects import App
from .telemetry import log

_RETRY_S: Final = 0.1


class Appends:
    """The appends of one worker.

    Args:
        give_back: Called with a part whose run another worker has advanced, or may have: it needs another turn.
    """

    def __init__(self, broker: Broker, app: App, *, give_back: Callable[[Pending], None]) -> None:
        self.stored = 0
        """Records appended since the start."""
        self.refused = 0
        """Appends that the fence refused since the start."""
        self._broker = broker
        self._app = app
        self._log = RunLog(broker, app)
        self._give_back = give_back

    async def append(self, pending: Sequence[Pending]) -> list[Pending]:
        """Appends all decisions; returns the parts that are stored or need no record. The others are given back."""
        stored: list[Pending] = []
        single: list[Pending] = []
        for part in pending:
            if part.decision.uploads:
                await self._upload(part)
            if not part.decision.records:
                if await self._is_current(part):
                    stored.append(part)
            elif len(part.decision.records) == 1:
                single.append(part)
            else:
                seqs = await self._log.append_all(part.slot.key, part.decision.records, part.actor.journal.seq)
                self._note(part, seqs, stored)
        if single:
            entries = [self._log.entry(p.slot.key, p.decision.records[0], p.actor.journal.seq) for p in single]
            try:
                acks = await self._broker.publish_many(entries)
            except BrokerError as error:  # some may be stored: each is looked for
                log("log.append_failed", logging.WARNING, error=error)
                acks = [PubAck(0, UNKNOWN)] * len(entries)
            for part, ack in zip(single, acks, strict=True):
                if ack.code == 0:
                    self._note(part, [ack.seq], stored)
                else:
                    seq = await self._log.resolve(part.slot.key, part.decision.records[0], part.actor.journal.seq, ack)
                    self._note(part, None if seq is None else [seq], stored)
        return stored

    async def is_newest(self, actor: Actor) -> bool:
        """Tells whether an actor stands where the leader's log stands. Raises BrokerError when it cannot be asked."""
        return await self._log.last_seq(actor.key) == actor.journal.seq

    def _note(self, part: Pending, seqs: list[int] | None, stored: list[Pending]) -> None:
        if seqs is not None:
            self.stored += len(seqs)
            part.seqs = seqs
            stored.append(part)
            return
        if part.actor.journal.k:
            self.refused += 1
            after = part.actor.journal.seq
            log("append.refused", logging.WARNING, run=part.slot.key, after=after, refused=self.refused)
        self._give_back(part)

    async def _upload(self, part: Pending) -> None:
        prefix = f"{part.slot.key.workflow}/{part.slot.key.run}"
        for digest, data in part.decision.uploads.items():
            while True:
                try:
                    await self._broker.put_object(self._app.values, f"{prefix}/{digest}", data)
                    break
                except JetrunError as error:
                    log("upload.failed", logging.WARNING, run=part.slot.key, error=error)
                    await anyio.sleep(_RETRY_S)

    async def _is_current(self, part: Pending) -> bool:
        """Makes sure that verdicts without a record were given by an actor that stands where the stream stands (R4)."""
        if all(verdict.is_repeat for verdict in part.decision.verdicts):
            return True
        try:
            if await self.is_newest(part.actor):
                return True
        except BrokerError as error:
            log("log.unreachable", logging.WARNING, run=part.slot.key, error=error)
            await anyio.sleep(_RETRY_S)
        self._give_back(part)
        return False
