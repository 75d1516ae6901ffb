"""Fleet: who works for an app, and what waits for them. All hearsay: beats are notices, states a moment old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal

import msgspec

from ..actors.errors import NotProvisioned
from ..actors.limits import BEATS_LISTEN_S
from ..streams.ports import Broker
from ..streams.subjects import App


class QueueLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What one step worker does for one queue."""

    concurrency: int
    running: int


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process as its beat tells it."""

    worker: str
    """Its id, unique for each start of a process."""
    kind: Literal["actors", "steps"]
    pid: int = 0
    host: str = ""
    started_at_us: int = 0
    partitions: list[int] = []
    """Of an actor worker: what it owns."""
    queues: dict[str, QueueLoad] = {}
    """Of a step worker: what it pulls."""
    runs: int = 0
    """Of an actor worker: actors in its cache."""
    appends: int = 0
    refused_appends: int = 0
    """Of an actor worker: records that it appended, and those that the fence refused: another had advanced the run."""
    is_leaving: bool = msgspec.field(default=False, name="leaving")
    """Its last beat: it drains and will be gone."""


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in one queue of steps."""

    queue: str
    waiting: int
    """Attempts that no worker has taken."""
    running: int
    """Attempts that are out with a worker."""
    workers: int = 0
    """Live step workers that pull it."""
    concurrency: int = 0
    """Attempts that they can run at once, all together."""


class Fleet:
    """The workers and queues of one app."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app

    async def workers(self, *, listen_s: float = BEATS_LISTEN_S) -> list[Worker]:
        """Listens for a while and returns who is there, by kind and id; who drains is left out."""
        beats: dict[str, Worker] = {}

        def hear(_subject: str, payload: bytes, _reply: str) -> None:
            try:
                beat = msgspec.json.decode(payload, type=Worker)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return  # anybody may publish anything there
            beats[beat.worker] = beat

        subscription = await self._broker.listen(self._app.beat("*"), hear)
        try:
            await asyncio.sleep(listen_s)
        finally:
            await subscription.close()
        there = (beat for beat in beats.values() if not beat.is_leaving)
        return sorted(there, key=lambda beat: (beat.kind, beat.worker))

    async def queues(self, names: Iterable[str], *, listen_s: float = BEATS_LISTEN_S) -> list[QueueState]:
        """Tells what waits in the queues of those names, in any that a live worker pulls, and in `default`."""
        workers = await self.workers(listen_s=listen_s)
        pulled = {queue for worker in workers for queue in worker.queues}
        states = [await self._queue(queue, workers) for queue in sorted({*names, *pulled, "default"})]
        return [state for state in states if state is not None]

    async def _queue(self, queue: str, workers: list[Worker]) -> QueueState | None:
        try:
            state = await self._broker.consumer_state(self._app.work, self._app.queue_consumer(queue))
        except NotProvisioned:
            return None
        loads = [worker.queues[queue] for worker in workers if queue in worker.queues]
        return QueueState(
            queue=queue,
            waiting=state.pending,
            running=state.ack_pending,
            workers=len(loads),
            concurrency=sum(load.concurrency for load in loads),
        )
