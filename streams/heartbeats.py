"""Heartbeats: what a running attempt says of itself, and the details that its successor reads.

The newest details of a step stand in INDEX under a subject of their own, one message each, so that they outlive the
worker that is killed. They are stored at most once in `HEARTBEAT_EVERY_S`: what a killed worker had said since then is
lost. A redelivery or a retry reads them; the worker whose result is the step's last takes them away, the janitor what is
left. A hint for the step, never truth for the engine.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable
from logging import INFO, WARNING
from typing import Final

import anyio
import msgspec

from ..actors.errors import BrokerError
from ..actors.limits import HEARTBEAT_EVERY_S, PROGRESS_EVERY_S
from ..actors.work import Work
from .ports import Broker, Outgoing
from .step_notices import encode_notice, step_progress
from .subjects import App
from .telemetry import log

_TRIES_MAX: Final = 3
_PAUSE_S: Final = 0.5


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The newest details of a step, as they are stored."""

    attempt: int
    details: msgspec.Raw


_KEPT: Final = msgspec.json.Decoder(Kept)


async def read_details(broker: Broker, app: App, work: Work) -> bytes | None:
    """Reads what an earlier attempt, or delivery, of a step has said last; None where it has not, or nobody can tell."""
    for _ in range(_TRIES_MAX):
        try:
            stored = await broker.last(app.index, app.details_of(work.key, work.command))
            return None if stored is None else bytes(_KEPT.decode(stored.payload).details)
        except BrokerError as error:
            log("heartbeat.not_read", WARNING, run=work.key, command=work.command, error=error)
            await anyio.sleep(_PAUSE_S)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
    return None


async def forget_details(broker: Broker, app: App, work: Work) -> None:
    """Takes a step's details away. What cannot be deleted now is left to the janitor."""
    try:
        await broker.purge(app.index, app.details_of(work.key, work.command))
    except BrokerError as error:
        log("heartbeat.not_purged", INFO, run=work.key, command=work.command, error=error)


class Heartbeats:
    """What one running attempt says (`actors.attempt.Voice`); its calls may come from any thread.

    Args:
        worker: Its id, for notices.
        on_silence: Called on the loop when the attempt has said nothing for its `heartbeat_timeout`.
    """

    __slots__ = (
        "_app",
        "_broker",
        "_details",
        "_is_over",
        "_is_told",
        "_last_s",
        "_loop",
        "_on_silence",
        "_progress",
        "_progress_s",
        "_progress_timer",
        "_silence",
        "_store_timer",
        "_stored_s",
        "_storing",
        "_work",
        "_worker",
        "has_stored",
    )

    def __init__(
        self,
        broker: Broker,
        app: App,
        loop: asyncio.AbstractEventLoop,
        work: Work,
        *,
        worker: str,
        on_silence: Callable[[], None],
    ) -> None:
        self.has_stored = False
        """Details of this attempt are, or may be, in INDEX."""
        self._broker = broker
        self._app = app
        self._loop = loop
        self._work = work
        self._worker = worker
        self._on_silence = on_silence
        self._details: bytes | None = None
        """Said, and not stored yet."""
        self._progress: tuple[float | None, str] | None = None
        self._last_s = loop.time()
        self._stored_s = self._progress_s = float("-inf")
        self._is_told = False
        self._is_over = False
        self._storing: asyncio.Task[None] | None = None
        self._silence: TimerHandle | None = None
        self._store_timer: TimerHandle | None = None
        self._progress_timer: TimerHandle | None = None
        if work.heartbeat_us:
            self._listen()

    # --- from the step, in any thread ------------------------------------------------------------
    @property
    def lease_until_s(self) -> float:
        """The loop's time until which the attempt's lease is to be renewed; 0 for as long as it runs."""
        return 0.0 if self._is_over or not self._work.heartbeat_us else self._last_s + 2 * self._work.heartbeat_us / 1e6

    def heartbeat(self, details: bytes | None) -> None:
        """Takes note that the attempt goes on, and of its details."""
        self._last_s = self._loop.time()
        if details is not None and self._work.token:  # a step of a body has none: nobody would read them
            self._details = details
        if details is not None or self._work.heartbeat_us:
            self._tell()

    def progress(self, fraction: float | None, text: str) -> None:
        """Takes note of how far the attempt is; a sign of life, too."""
        self._last_s = self._loop.time()
        self._progress = (fraction, text)
        self._tell()

    def _tell(self) -> None:
        if not self._is_told and not self._is_over:
            self._is_told = True
            self._loop.call_soon_threadsafe(self._hear)

    # --- on the loop -----------------------------------------------------------------------------
    def end(self) -> None:
        """Hears no more of the attempt: its outcome is known. Idempotent."""
        self._is_over = True
        for timer in (self._silence, self._store_timer, self._progress_timer):
            if timer is not None:
                timer.cancel()

    async def flush(self) -> None:
        """Stores what is not stored yet, so that the next attempt finds it. Gives up where the server does not take it."""
        if self._storing is not None:
            await asyncio.wait([self._storing])
        if self._details is not None:
            await self._store()

    @property
    def is_dirty(self) -> bool:
        """Tells whether `flush` has something to do."""
        return self._details is not None or self._storing is not None

    def _hear(self) -> None:
        self._is_told = False
        if self._is_over:
            return
        if self._silence is not None:
            self._silence.cancel()
            self._listen()
        now_s = self._loop.time()
        if self._progress is not None and self._progress_timer is None:
            self._progress_timer = self._loop.call_at(max(now_s, self._progress_s + PROGRESS_EVERY_S), self._show)
        if self._details is not None and self._store_timer is None and self._storing is None:
            self._store_timer = self._loop.call_at(max(now_s, self._stored_s + HEARTBEAT_EVERY_S), self._begin_to_store)

    def _show(self) -> None:
        self._progress_timer = None
        if self._progress is None:
            return
        (fraction, text), self._progress = self._progress, None
        self._progress_s = self._loop.time()
        notice = step_progress(
            self._work, worker=self._worker, at_us=self._broker.now_us(), fraction=fraction, text=text
        )
        self._broker.notify(self._app.note(self._work.key), encode_notice(notice))

    def _begin_to_store(self) -> None:
        self._store_timer = None
        self._storing = self._loop.create_task(self._store(), name=f"heartbeat of {self._work.name}")
        self._storing.add_done_callback(self._stored)

    def _stored(self, _: asyncio.Task[None]) -> None:
        self._storing = None
        self._hear()  # what was said meanwhile

    async def _store(self) -> None:
        details, self._details = self._details, None
        if details is None:
            return
        self._stored_s = self._loop.time()
        self.has_stored = True
        work = self._work
        payload = msgspec.json.encode(Kept(attempt=work.attempt, details=msgspec.Raw(details)))
        try:
            ack = await self._broker.publish(Outgoing(self._app.details_of(work.key, work.command), payload))
        except BrokerError as error:
            log("heartbeat.not_stored", WARNING, run=work.key, command=work.command, error=error)
        else:
            if ack.code:
                log("heartbeat.refused", WARNING, run=work.key, command=work.command, description=ack.description)

    def _listen(self) -> None:
        self._silence = self._loop.call_later(self._work.heartbeat_us / 1e6, self._on_silence)
