"""Open runs: which runs get an entry among the open ones of the INDEX stream, and which may have left one (R20).

Most runs end before anybody would list them: only one that has lasted gets its entry, and only one that may have an
entry pays for the purge at its end. A cache, never truth: what is lost in a crash, `wfctl reindex` restores.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import anyio
from msgspec.structs import replace

from ..actors.errors import BadLog, BrokerError
from ..actors.names import RunKey
from ..actors.records import ENDED, Summary, decode_record
from .effects import Effects
from .ports import EXPECT_LAST, UNKNOWN, WRONG_LAST, Broker, PubAck
from .subjects import App
from .telemetry import log

OPEN_AFTER_S: Final = 1.0
"""A run this old gets its entry."""

_BATCH: Final = 500
_RETRY_S: Final = 1.0


class _Young(NamedTuple):
    """A run that has not lasted yet."""

    due: float
    started_at_us: int
    is_new: bool
    """Nobody can have written an entry: this worker has seen all of its life."""


class OpenRuns:
    """The runs of one worker that wait for their entry.

    Args:
        summary_of: Tells a cached run's summary, None for one that is not cached.
    """

    def __init__(
        self, broker: Broker, app: App, effects: Effects, *, summary_of: Callable[[RunKey], Summary | None]
    ) -> None:
        self._broker = broker
        self._app = app
        self._effects = effects
        self._summary_of = summary_of
        self._young: OrderedDict[RunKey, _Young] = OrderedDict()

    def on_started(self, key: RunKey, started_at_us: int, *, is_new: bool) -> None:
        """Hears of a run that has begun, or goes on here.

        Args:
            is_new: The whole log was written by this worker, without a break.
        """
        if key not in self._young:
            self._young[key] = _Young(asyncio.get_running_loop().time() + OPEN_AFTER_S, started_at_us, is_new)

    def on_ended(self, key: RunKey) -> bool:
        """Tells whether the run may have left entries, or timers, that its last decision alone does not tell."""
        young = self._young.pop(key, None)
        return young is None or not young.is_new

    async def run(self) -> None:
        """Writes entries until cancelled."""
        while True:
            await anyio.sleep(OPEN_AFTER_S / 2)
            while batch := self._take():
                await self._write(batch)

    def _take(self) -> dict[RunKey, Summary]:
        now = asyncio.get_running_loop().time()
        batch: dict[RunKey, Summary] = {}
        while self._young and len(batch) < _BATCH:
            key, young = next(iter(self._young.items()))
            if young.due > now:
                break
            del self._young[key]
            summary = self._summary_of(key) or Summary(status="running", started_at_us=young.started_at_us)
            if summary.status not in ENDED:
                batch[key] = summary
        return batch

    async def _write(self, batch: dict[RunKey, Summary]) -> None:
        # Only where there is none: one that was replaced comes back when the server is killed after the purge of its
        # replacement (a stream with one message per subject; seen on 2.15.1).
        entries = [
            replace(self._effects.index_entry("open", key, summary), headers={EXPECT_LAST: "0"})
            for key, summary in batch.items()
        ]
        try:
            acks = await self._broker.publish_many(entries)
        except BrokerError as error:
            log("index.failed", logging.WARNING, error=error)
            acks = [PubAck(0, UNKNOWN)] * len(entries)
        async with anyio.create_task_group() as tasks:
            for (key, summary), ack in zip(batch.items(), acks, strict=True):
                if ack.code not in (0, WRONG_LAST):
                    self.on_started(key, summary.started_at_us, is_new=False)
                tasks.start_soon(self._check, key)

    async def _check(self, key: RunKey) -> None:
        """Takes the entry of a run back that has ended.

        Its end can have overtaken the entry, here or at a worker that serves the run meanwhile. Who ends it after
        this look has begun to serve it before, and purges the entry itself.
        """
        while True:
            try:
                last = await self._broker.last_direct(self._app.log, self._app.log_of(key))
                if last is not None and decode_record(last.payload).outcome is not None:
                    self._young.pop(key, None)
                    await self._broker.purge(self._app.index, self._app.index_of("open", key))
            except BadLog:
                return
            except BrokerError as error:
                log("index.failed", logging.WARNING, run=key, error=error)
                await anyio.sleep(_RETRY_S)
            else:
                return
