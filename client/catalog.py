"""Catalog: what is there beyond one run: the index of runs, and the dead letters."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final, TypeVar

import msgspec

from ..actors.names import RunKey, check_token
from ..actors.records import Status
from ..streams.dead_letter import DeadLetter
from ..streams.ports import Broker
from ..streams.subjects import App
from .closing import closing
from .status import RunSummary

T = TypeVar("T")

ANY: Final = "*"
_INDEXED: Final[dict[str, str]] = {"running": "open", "paused": "open", "parked": "parked"}
"""Under which word the index holds a status; all others are `ended`."""


class Catalog:
    """Lists of one app, read by scans. The index is a cache and never truth (R20)."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app

    async def runs(
        self, *, status: Status | None = None, workflow: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[RunSummary, None]:
        """Yields at most `limit` runs, those that changed longest ago first."""
        word = ANY if status is None else _INDEXED.get(status, "ended")
        subject = self._app.index_of(word, RunKey(_pattern("workflow name", workflow), ANY))
        count = 0
        async with closing(self._scan(self._app.index, subject, RunSummary)) as summaries:
            async for summary in summaries:
                if count == limit:
                    return
                if status is None or summary.status == status:
                    count += 1
                    yield summary

    async def named(self, run_id: str) -> list[RunSummary]:
        """Finds the runs of that id, whatever their workflow."""
        subject = self._app.index_of(ANY, RunKey(ANY, check_token("run id", run_id)))
        return [summary async for summary in self._scan(self._app.index, subject, RunSummary)]

    def dead(self, *, workflow: str | None = None, run_id: str | None = None) -> AsyncGenerator[DeadLetter, None]:
        """Yields dead letters, oldest first; without a workflow also those whose subject names no run."""
        key = RunKey(_pattern("workflow name", workflow), _pattern("run id", run_id))
        return self._scan(self._app.dead, self._app.dead_of(key), DeadLetter)

    async def _scan(self, stream: str, subject: str, type_: type[T]) -> AsyncGenerator[T, None]:
        decoder = msgspec.json.Decoder(type_)
        async with closing(self._broker.scan(stream, subject)) as scan:
            async for stored in scan:
                try:
                    found = decoder.decode(stored.payload)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue  # written by a newer version, or by somebody else: a list shows what it can read
                yield found


def _pattern(kind: str, name: str | None) -> str:
    return ANY if name is None else check_token(kind, name)
