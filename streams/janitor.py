"""The janitor: ended runs are kept whole for a time, then as their terminal record, then forgotten (R15, R20).

It walks the `ended` entries of INDEX from the front, which is the order of ending, by the server's time of storing: one that
lies in the future holds nobody up and is kept for the retention from when that is seen. It touches a log only when no
message of the run is left in MAIL. LOG itself has no limits: nothing else deletes records. One worker at a time cleans,
the owner of the first partition; two at once would do no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import anyio
import msgspec

from ..actors.errors import BrokerError
from ..actors.limits import FORGET_AFTER_US, RETENTION_US
from ..actors.names import RunKey
from .effects import IndexEntry
from .ports import Broker, Outgoing, Stored
from .subjects import App, partition_of
from .telemetry import log

PASS_EVERY_S: Final = 300.0
CLOCK_AHEAD_US: Final = 60 * 1_000_000
"""How far an entry may lie in the future before it counts as one that a wrong clock has dated."""
_PURGES_PER_S: Final = 100
_VERBS: Final = ("start", "hook.*", "cancel", "terminate", "pause", "resume", "update.*", "step", "child", "timer")


class Janitor:
    """Cleans an app's ended runs.

    Args:
        partitions: The app's number of partitions.
        is_on_duty: Asked before each pass.
        retention_us: How long an ended run's log is kept whole.
        forget_after_us: How long its id stays taken; counted from the end, too.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        *,
        partitions: int,
        is_on_duty: Callable[[], bool],
        retention_us: int = RETENTION_US,
        forget_after_us: int = FORGET_AFTER_US,
    ) -> None:
        assert retention_us <= forget_after_us, "a log is forgotten after it was cut, not before"
        self._broker = broker
        self._app = app
        self._partitions = partitions
        self._is_on_duty = is_on_duty
        self._retention_us = retention_us
        self._forget_after_us = forget_after_us

    async def run(self) -> None:
        """Cleans until cancelled, a pass every `PASS_EVERY_S`."""
        while True:
            await anyio.sleep(PASS_EVERY_S)
            if self._is_on_duty():
                try:
                    await self.clean()
                except BrokerError as error:
                    log("janitor.failed", logging.WARNING, error=error)

    async def clean(self) -> int:
        """Makes one pass; returns how many runs were cut or forgotten. Safe to repeat and to interrupt."""
        now_us = self._broker.now_us()
        cleaned = 0
        async for stored in self._broker.scan(self._app.index, self._app.index_of("ended", RunKey("*", "*"))):
            if stored.at_us > now_us + CLOCK_AHEAD_US:
                await self._redate(stored, now_us)
                continue
            if stored.at_us > now_us - self._retention_us:
                break  # this entry and all behind it are too young for anything
            if await self._clean_one(stored, now_us):
                cleaned += 1
                await anyio.sleep(1 / _PURGES_PER_S)
        if cleaned:
            log("janitor.cleaned", runs=cleaned)
        return cleaned

    async def _redate(self, stored: Stored, now_us: int) -> None:
        """Has an entry count from now on: the server's clock was ahead when it was stored, so that its age is unknown."""
        try:
            entry = msgspec.json.decode(stored.payload, type=IndexEntry)
        except msgspec.DecodeError:
            return
        dated = msgspec.structs.replace(entry, ended_at_us=min(entry.ended_at_us, now_us))
        subject = self._app.index_of("ended", RunKey(entry.workflow, entry.run))
        await self._broker.publish(Outgoing(subject, msgspec.json.encode(dated)))
        log("janitor.redated", logging.WARNING, run=f"{entry.workflow}/{entry.run}", ahead_us=stored.at_us - now_us)

    async def _clean_one(self, stored: Stored, now_us: int) -> bool:
        try:
            entry = msgspec.json.decode(stored.payload, type=IndexEntry)
        except msgspec.DecodeError:
            return False
        if entry.chain:
            return await self._clean_link(entry, now_us)
        key = RunKey(entry.workflow, entry.run)
        is_forgotten = entry.ended_at_us <= now_us - self._forget_after_us
        if entry.is_trimmed and not is_forgotten:
            return False
        if await self._has_mail(key):
            return False
        await self._broker.purge(self._app.index, self._app.details_of(key, "*"))
        await self._broker.purge(self._app.log, self._app.log_of(key), keep=0 if is_forgotten else 1)
        if is_forgotten:
            # Not earlier: the terminal record may name its result there.
            await self._broker.delete_objects(self._app.values, f"{key.workflow}/{key.run}/")
            await self._broker.purge(self._app.index, self._app.index_of("ended", key))
        else:
            await self._put_back(entry)
        return True

    async def _clean_link(self, entry: IndexEntry, now_us: int) -> bool:
        """Cuts off the records of a link whose run goes on: nobody needs them any more, whatever its mailbox holds.

        Large values stay until the run has ended: those of the links that go on may be the same.
        """
        if not entry.is_trimmed:
            log_of = self._app.log_of(RunKey(entry.workflow, entry.chain))
            await self._broker.purge(self._app.log, log_of, to_seq=entry.until_seq)
            await self._put_back(entry)
        elif entry.ended_at_us <= now_us - self._forget_after_us:
            await self._broker.purge(self._app.index, self._app.index_of("ended", RunKey(entry.workflow, entry.run)))
        else:
            return False
        return True

    async def _put_back(self, entry: IndexEntry) -> None:
        trimmed = msgspec.structs.replace(entry, is_trimmed=True)
        subject = self._app.index_of("ended", RunKey(entry.workflow, entry.run))
        await self._broker.publish(Outgoing(subject, msgspec.json.encode(trimmed)))

    async def _has_mail(self, key: RunKey) -> bool:
        partition = partition_of(key.run, self._partitions)
        for verb in _VERBS:
            if "*" in verb:
                if await self._broker.read(self._app.mail, self._app.mailbox(partition, key, verb)):
                    return True
            elif await self._broker.last(self._app.mail, self._app.mailbox(partition, key, verb)) is not None:
                return True
        return False
