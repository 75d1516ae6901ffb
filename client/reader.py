"""Reader: what runs' logs say, in the forms that callers ask for.

Single values use the last record (a subject form of direct get, which permissions can limit to a workflow, R19); whole
logs and tails need the right to read the stream. A message in a log that does not chain was not written by an actor
worker: it is passed over (R4).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from ..actors.errors import BadLog
from ..actors.events import Event, events_of
from ..actors.names import RunKey, chain_of
from ..actors.records import Record, decode_record, record_hash
from ..streams.ports import Broker, Stored
from ..streams.subjects import App
from .closing import closing
from .links import Link, LinkEnd, as_ended, link_of, read_ends


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of one among several runs."""

    workflow: str
    run_id: str
    event: Event


class Chain:
    """Tells a run's records from what else may be stored under its subject, one message after the other."""

    __slots__ = ("_k", "_prev")

    def __init__(self) -> None:
        self._k = 0
        self._prev = ""

    def accept(self, raw: bytes) -> Record | None:
        """Returns the record if it follows the last one, or is the first that retention has left; None otherwise."""
        try:
            record = decode_record(raw)
        except BadLog as error:
            if error.is_newer:
                raise
            return None
        if self._k and (record.k != self._k + 1 or record.prev != self._prev):
            return None
        self._k, self._prev = record.k, record_hash(raw)
        return record


class Reader:
    """Reads the logs of one app."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app

    async def last(self, key: RunKey) -> Record | None:
        """Reads the last record of a run, or of a link of its chain; None where there is none.

        May lag behind the stream's leader by a moment.
        """
        run, number = chain_of(key.run)
        if number:
            end = await self._end_of(RunKey(key.workflow, run), number)
            return None if end is None else end.record if end.is_last else as_ended(end.record)
        stored = await self._broker.last_direct(self._app.log, self._app.log_of(key))
        if stored is None:
            return None
        try:
            return decode_record(stored.payload)
        except BadLog:
            records = await self.log(key)
            return records[-1] if records else None

    async def is_starting(self, key: RunKey) -> bool:
        """Tells whether a start of the run is durable and not yet in the log."""
        return await self._broker.last(self._app.mail, self._app.starts_waiting(key)) is not None

    async def log(self, key: RunKey) -> list[Record]:
        """Reads the records of a run, all that retention has left, or of a link: from the record that has begun it on.

        Raises:
            BadLog: A record is of a newer version.
        """
        run, number = chain_of(key.run)
        from_seq, to_seq = 1, 0
        if number:
            key = RunKey(key.workflow, run)
            end = await self._end_of(key, number)
            if end is None:
                return []
            from_seq, to_seq = end.from_seq, end.to_seq
        chain = Chain()
        stored = await self._broker.read(self._app.log, self._app.log_of(key), from_seq=from_seq, to_seq=to_seq)
        return [record for message in stored if (record := chain.accept(message.payload)) is not None]

    async def links(self, key: RunKey) -> list[Link]:
        """Reads the chain of a run, named by itself or by any link, the oldest link that is kept first."""
        key = RunKey(key.workflow, chain_of(key.run)[0])
        return [link_of(key, end) for end in reversed(await read_ends(self._broker, self._app, key))]

    async def tail(self, key: RunKey) -> AsyncGenerator[Event, None]:
        """Yields a run's events from the first on, without gap into what happens next, link after link; ends with the run.

        Of a link that is over: its own.
        """
        if chain_of(key.run)[1] and await self._is_over(key):
            for kept in await self.log(key):
                for event in events_of(kept):
                    yield event
            return
        key = RunKey(key.workflow, chain_of(key.run)[0])
        chain = Chain()
        async with closing(self._follow(key)) as messages:
            async for message in messages:
                record = chain.accept(message.payload)
                if record is None:
                    continue
                for event in events_of(record):
                    yield event
                if record.outcome is not None:
                    return

    async def _is_over(self, key: RunKey) -> bool:
        record = await self.last(key)
        return record is not None and record.outcome is not None

    async def tail_all(self, workflow: str = "*") -> AsyncGenerator[RunEvent, None]:
        """Yields the events of all runs, of one workflow or any, from the first that is kept on; never ends."""
        chains: dict[RunKey, Chain] = {}
        async with closing(self._follow(RunKey(workflow, "*"))) as messages:
            async for message in messages:
                key = self._app.read_run(message.subject)
                if key is None:
                    continue
                record = chains.setdefault(key, Chain()).accept(message.payload)
                if record is None:
                    continue
                if record.outcome is not None:
                    del chains[key]  # nothing follows: a tail of everything must not grow with what has ended
                for event in events_of(record):
                    yield RunEvent(workflow=key.workflow, run_id=key.run, event=event)

    async def _end_of(self, key: RunKey, number: int) -> LinkEnd | None:
        ends = await read_ends(self._broker, self._app, key, down_to=number)
        return ends[-1] if ends and ends[-1].number == number else None

    def _follow(self, key: RunKey) -> AsyncIterator[Stored]:
        return self._broker.scan(self._app.log, self._app.log_of(key), follow=True)
