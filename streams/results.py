"""Results: makes the outcomes of held work durable; only then may the work be acked (R18).

What ends in the same pass of the loop is published together. What the server does not store (full, no leader, no
answer) is published again with bounded pauses, for as long as it takes: the step is not run again, its lease is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from logging import WARNING
from typing import Final, NamedTuple

import anyio
from anyio.abc import TaskGroup

from ..actors.errors import BrokerError, PayloadTooLarge
from ..actors.limits import RESULT_PAUSE_FIRST_S, RESULT_PAUSE_MAX_S
from ..actors.messages import Ref
from .held import Held
from .ports import UNKNOWN, Broker, Outgoing, PubAck
from .telemetry import log

MESSAGE_TOO_LARGE: Final = 10054
"""Refused for good: the message exceeds the stream's `max_msg_size`."""


class Report(NamedTuple):
    """What is published for one held message."""

    held: Held
    outgoing: Outgoing


class Results:
    """Publishes reports until each is stored.

    Args:
        on_stored: Called on the loop with held work whose reports are durable.
        instead: Makes a smaller report for one that is refused as too large for good.
    """

    def __init__(
        self,
        broker: Broker,
        tasks: TaskGroup,
        on_stored: Callable[[Sequence[Held]], None],
        instead: Callable[[Report], Outgoing],
    ) -> None:
        self._broker = broker
        self._tasks = tasks
        self._on_stored = on_stored
        self._instead = instead
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Report] = []
        self._troubled = 0
        """Reports that were refused and are tried again."""

    def add(self, held: Held, outgoing: Outgoing) -> None:
        """Publishes a report together with all others of this pass of the loop."""
        if not self._waiting:
            self._loop.call_soon(self._send_waiting)
        self._waiting.append(Report(held, outgoing))

    def add_stored_apart(
        self, held: Held, bucket: str, prefix: str, data: bytes, finish: Callable[[Ref], Outgoing]
    ) -> None:
        """Stores a large value under `<prefix>/<sha256>` first, then publishes the report that names it."""
        self._tasks.start_soon(self._store, held, bucket, prefix, data, finish)

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._tasks.cancel_scope.cancel_called:
            return  # the worker is leaving: what is not stored yet is done again elsewhere
        self._tasks.start_soon(self._send, waiting)

    async def _send(self, reports: list[Report]) -> None:
        pause_s = RESULT_PAUSE_FIRST_S
        troubled = 0
        while True:
            acks = await self._publish([report.outgoing for report in reports])
            stored: list[Held] = []
            rest: list[Report] = []
            refusal = PubAck(0)
            for report, ack in zip(reports, acks, strict=True):
                if ack.code == 0:
                    stored.append(report.held)
                    continue
                refusal = ack
                is_final = ack.code == MESSAGE_TOO_LARGE
                rest.append(Report(report.held, self._instead(report)) if is_final else report)
            if stored:
                self._on_stored(stored)
            self._tell_trouble(len(rest) - troubled, refusal)
            troubled = len(rest)
            if not rest:
                return
            reports = rest
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESULT_PAUSE_MAX_S)

    async def _publish(self, messages: list[Outgoing]) -> list[PubAck]:
        try:
            return await self._broker.publish_many(messages)
        except BrokerError as error:
            if len(messages) == 1:
                return [PubAck(0, MESSAGE_TOO_LARGE if isinstance(error, PayloadTooLarge) else UNKNOWN, str(error))]
            # One message is to blame (its size, its permission): alone it does not hold up the others.
            return [(await self._publish([message]))[0] for message in messages]

    async def _store(
        self, held: Held, bucket: str, prefix: str, data: bytes, finish: Callable[[Ref], Outgoing]
    ) -> None:
        ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
        pause_s = RESULT_PAUSE_FIRST_S
        troubled = 0
        while True:
            try:
                await self._broker.put_object(bucket, f"{prefix}/{ref.sha256}", data)
                break
            except BrokerError as error:
                self._tell_trouble(1 - troubled, PubAck(0, UNKNOWN, str(error)))
                troubled = 1
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, RESULT_PAUSE_MAX_S)
        self._tell_trouble(-troubled, PubAck(0))
        self.add(held, finish(ref))

    def _tell_trouble(self, more: int, refusal: PubAck) -> None:
        """Logs the first refusal, and that none is left: an outage is two lines."""
        if more and not self._troubled:
            log("results.refused", WARNING, count=more, code=refusal.code, description=refusal.description)
        elif more and not self._troubled + more:
            log("results.stored_again", WARNING)
        self._troubled += more
