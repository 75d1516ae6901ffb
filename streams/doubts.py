"""Doubts: work that may have been done already is asked about before it runs (R8).

A server that was killed forgets acks of its last seconds and fires again what it had fired (seen on 2.15.1), and a
worker may die between its result and its ack. So three kinds of work are doubtful: handed out before, older than this
worker's connection, and retries. All else is new, and runs at once.

The answer spares a repeated side effect; it is not what makes the result right. So nobody waits for it for ever: where no
actor worker answers, the step runs, at least once as promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from logging import INFO, WARNING
from typing import Final

import anyio
import msgspec

from ..actors.errors import BrokerError
from ..actors.limits import ASK_PATIENCE_S
from ..actors.work import Work
from .answers import ATTEMPT, AttemptAnswer, AttemptQuestion
from .ports import Broker, Delivery
from .subjects import App
from .telemetry import log

_ANSWER_S: Final = 5.0
_PAUSE_FIRST_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0
_UNKNOWN_SEQ: Final = 1 << 63


class Doubts:
    """What one step worker knows of the age of its work, and whom it asks."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app
        self._newest: dict[str, int] = {}
        """By queue: all work up to this sequence may have been handed out before."""
        self._stored_before = _UNKNOWN_SEQ
        """Sequence of the newest work of the time before this connection; unknown while it is being read."""
        self._unanswered_until_s = 0.0
        self._connections = 0
        self._is_over = False

    async def begin(self, spawn: Callable[..., object]) -> None:
        """Reads where the stream stands, now and after every reconnect.

        Args:
            spawn: Starts a task in the worker's group.

        Raises:
            NotProvisioned: There is no stream of work.
        """
        self._broker.on_reconnect(lambda: self._begin_again(spawn))
        state = await self._broker.stream_state(self._app.work)
        if not self._connections:
            self._stored_before = state.last_seq

    def end(self) -> None:
        """Stops looking: the worker's tasks end. Idempotent."""
        self._is_over = True

    def is_doubtful(self, queue: str, delivery: Delivery, work: Work) -> bool:
        """Tells whether work may be done already. To be called once for each delivery, in order."""
        newest = max(self._newest.get(queue, 0), self._stored_before)
        if delivery.deliveries > 1 or delivery.seq <= newest:
            return True
        self._newest[queue] = delivery.seq
        return work.attempt > 1

    async def is_open(self, work: Work) -> bool:
        """Asks whether an attempt is still waited for; True where nobody answers within `ASK_PATIENCE_S`."""
        now_s = asyncio.get_running_loop().time
        patient_until_s = now_s() + ASK_PATIENCE_S
        pause_s = _PAUSE_FIRST_S
        while now_s() >= self._unanswered_until_s:
            answer = await self._ask(work)
            if answer is not None:
                self._unanswered_until_s = 0.0
                return answer.is_open
            if not self._broker.is_connected:
                patient_until_s = now_s() + ASK_PATIENCE_S
            elif now_s() + pause_s > patient_until_s:
                # The others that wait do not each lose as much time again.
                self._unanswered_until_s = now_s() + ASK_PATIENCE_S
                log("work.unanswered", WARNING, reason="no actor worker says whether old work is done; it runs")
            await anyio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
        return True

    async def _ask(self, work: Work) -> AttemptAnswer | None:
        question = msgspec.json.encode(AttemptQuestion(command=work.command, attempt=work.attempt))
        try:
            raw = await self._broker.request(self._app.ask(work.key, ATTEMPT), question, timeout_s=_ANSWER_S)
            return None if raw is None else msgspec.json.decode(raw, type=AttemptAnswer)
        except BrokerError as error:
            log("ask.failed", INFO, run=work.key, error=error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # `busy` or `unavailable`: ask again
        return None

    # --- the stream -------------------------------------------------------------------------------
    def _begin_again(self, spawn: Callable[..., object]) -> None:
        if self._is_over:
            return
        self._connections += 1
        self._stored_before = _UNKNOWN_SEQ  # until it is known, everything is doubtful
        spawn(self._look_again, self._connections)

    async def _look_again(self, connection: int) -> None:
        pause_s = _PAUSE_FIRST_S
        while connection == self._connections:
            try:
                state = await self._broker.stream_state(self._app.work)
            except BrokerError as error:
                log("work.state_failed", WARNING, error=error)
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MAX_S)
                continue
            if connection == self._connections:
                self._stored_before = state.last_seq
            return
