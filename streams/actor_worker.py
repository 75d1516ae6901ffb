"""The actor worker: a process that hosts actors. It puts the parts together and holds them while it lives.

Placement decides which partitions it serves, partitions hand letters to turns, turns make decisions durable. Beats tell
the others; a drain hands everything over and loses nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Sequence

import anyio
import anyio.abc
import msgspec

from ..actors.errors import BadLog, BrokerError
from ..actors.limits import (
    ACTORS_CACHED_MAX,
    BEAT_S,
    BEATS_MISSED_MAX,
    BLOCKED_MAX_S,
    BLOCKED_WARN_S,
    DRAIN_S,
    SUSPECT_DELIVERIES,
)
from ..actors.messages import Tick, encode_body
from ..actors.names import RunKey
from ..actors.records import ENDED, Summary
from ..actors.registry import Registry
from .answers import Answers
from .crash_note import CrashNote
from .effects import Effects, IndexEntry
from .janitor import Janitor
from .letters import read_stray
from .partition import Partition
from .placement import Beat, Peers
from .ports import Broker, Delivery, Outgoing, Subscription
from .subjects import App
from .telemetry import log
from .turns import Turns
from .watchdog import Watchdog

HELLO_S = 0.1
"""How long a new worker listens before it takes partitions: live ones answer a hello at once."""

_OPEN_AFTER_S = 1.0
"""A run this old gets its entry among the open ones (R20): most never need it."""

_OPEN_BATCH = 500


class ActorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What may differ between actor workers.

    Args:
        known_workflows: Names that provisioning knows: their runs are parked where this worker lacks the code.
        note_path: The crash note that a supervisor keeps, None without one.
        sign_of_life: Called about twice a second from the watchdog's thread.
        has_threads: False in simulations: no watchdog.
    """

    cached_max: int = ACTORS_CACHED_MAX
    known_workflows: frozenset[str] = frozenset()
    blocked_warn_s: float = BLOCKED_WARN_S
    blocked_max_s: float = BLOCKED_MAX_S
    drain_s: float = DRAIN_S
    note_path: str | None = None
    sign_of_life: Callable[[], None] | None = None
    has_threads: bool = True


class ActorWorker:
    """Hosts the actors of an app's partitions, as many as rendezvous hashing gives it among the live workers.

    Args:
        registry: All workflows of the app; a subset is another app (R17).
        worker_id: A subject token, unique among live workers.
        key: The actors' secret (`provision.app_facts`).
        partitions: The app's number of partitions.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        registry: Registry,
        *,
        worker_id: str,
        key: bytes,
        partitions: int,
        options: ActorOptions = ActorOptions(),  # noqa: B008  # frozen
    ) -> None:
        self.worker_id = worker_id
        self._broker = broker
        self._app = app
        self._registry = registry
        self._options = options
        self._key = key
        self._peers = Peers(worker_id)
        self._started_at_us = broker.now_us()
        self._note = CrashNote(options.note_path)
        self._watchdog = Watchdog(
            self._note, warn_s=options.blocked_warn_s, limit_s=options.blocked_max_s, beat=options.sign_of_life
        )
        self._effects = Effects(broker, app, actors_key=key, partitions=partitions)
        self._turns = Turns(
            broker,
            app,
            registry,
            self._effects,
            self._watchdog,
            by=f"{worker_id}/{secrets.token_hex(4)}",
            cached_max=options.cached_max,
            spawn=self._spawn,
            known_workflows=self._known_workflows,
            on_started=self._on_started,
            on_ended=self._on_ended,
        )
        self._partitions = [
            Partition(number, broker, app, key, on_letters=self._turns.deliver, spawn=self._spawn)
            for number in range(partitions)
        ]
        self._answers = Answers(broker, app)
        self._janitor = Janitor(broker, app, partitions=partitions, is_on_duty=lambda: self._partitions[0].is_claimed)
        self._young: OrderedDict[RunKey, tuple[float, int]] = OrderedDict()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._is_draining = anyio.Event()
        self._is_ready = anyio.Event()
        self._changed = anyio.Event()
        self._placing = anyio.Lock()
        if self._note.suspect is not None and (
            self._note.suspect.is_blocked or self._note.suspect.deliveries >= SUSPECT_DELIVERIES
        ):
            reason = (
                "the workflow held the loop until its worker was replaced"
                if self._note.suspect.is_blocked
                else "its worker died while it was folded, more than once"
            )
            self._turns.suspects[self._note.suspect.key] = f"{reason}; change its code, then unpark the run"

    # --- life ---------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serves until drained.

        Raises:
            NotProvisioned: A stream or consumer is missing.
        """
        subscriptions: list[Subscription] = []
        if self._options.has_threads:
            self._watchdog.start()
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                subscriptions.append(await self._broker.listen(self._app.beat("*"), self._on_beat))
                subscriptions.append(await self._answers.open(self._spawn))
                self._send_beat(hello=True)
                await anyio.sleep(HELLO_S)
                await self._place()
                subscriptions.append(
                    await self._broker.consume(self._app.mail, self._app.strays_consumer, self._on_strays)
                )
                self._is_ready.set()
                self._send_beat()
                log("worker.ready", worker=self.worker_id, app=self._app.name, partitions=len(self._claimed()))
                self._spawn(self._wake_parked)
                tasks.start_soon(self._turns.run)
                tasks.start_soon(self._keep_beating)
                tasks.start_soon(self._keep_placing)
                tasks.start_soon(self._keep_index)
                tasks.start_soon(self._janitor.run)
                await self._is_draining.wait()
                await self._hand_over()
                tasks.cancel_scope.cancel()
        finally:
            self._tasks = None
            self._watchdog.stop()
            for subscription in subscriptions:
                with anyio.move_on_after(1, shield=True):
                    await subscription.close()
            stats = self._turns.stats
            log(
                "worker.stopped",
                worker=self.worker_id,
                messages=stats.messages,
                appends=stats.appends,
                refused_appends=stats.refused_appends,
                loads=stats.loads,
                dead=stats.dead,
            )

    async def wait_ready(self) -> None:
        """Waits until the worker serves its partitions."""
        await self._is_ready.wait()

    def drain(self) -> None:
        """Asks the worker to hand over and end; idempotent."""
        self._is_draining.set()

    @property
    def refused_appends(self) -> int:
        """Appends that the fence refused since the start."""
        return self._turns.stats.refused_appends

    async def _hand_over(self) -> None:
        """Stops pulling, finishes turns, gives the pins up (R6)."""
        with anyio.move_on_after(self._options.drain_s):
            async with self._placing:
                claimed = [p for p in self._partitions if p.is_open]
                async with anyio.create_task_group() as tasks:
                    for partition in claimed:
                        tasks.start_soon(partition.release)
                await self._turns.wait_idle()
                await self._broker.flush()
                async with anyio.create_task_group() as tasks:
                    for partition in claimed:
                        tasks.start_soon(partition.unpin)
        self._send_beat(leaving=True)
        with anyio.move_on_after(1):
            await self._broker.flush()

    def _on_strays(self, deliveries: Sequence[Delivery]) -> None:
        self._turns.deliver([read_stray(self._app, delivery) for delivery in deliveries])

    def _spawn(self, function: Callable[..., Coroutine[object, object, None]], *args: object) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(function, *args)

    def _known_workflows(self) -> Collection[str]:
        return {*self._options.known_workflows, *self._peers.workflows()}

    # --- beats and placement ------------------------------------------------------------------------------
    def _claimed(self) -> list[int]:
        return [p.number for p in self._partitions if p.is_claimed]

    def _send_beat(self, *, hello: bool = False, leaving: bool = False) -> None:
        stats = self._turns.stats
        beat = Beat(
            worker=self.worker_id,
            kind="actors",
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at_us=self._started_at_us,
            partitions=[] if leaving else self._claimed(),
            runs=self._turns.cached,
            appends=stats.appends,
            refused_appends=stats.refused_appends,
            workflows=sorted(self._registry.workflows),
            hello=hello,
            leaving=leaving,
        )
        self._broker.notify(self._app.beat(self.worker_id), msgspec.json.encode(beat))

    def _on_beat(self, _subject: str, payload: bytes, _reply: str) -> None:
        try:
            beat = msgspec.json.decode(payload, type=Beat)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if beat.worker == self.worker_id or beat.kind != "actors":
            return
        if beat.hello:
            self._send_beat()
        if self._peers.heard(beat, anyio.current_time()):
            self._changed.set()

    async def _keep_beating(self) -> None:
        before = anyio.current_time()
        while True:
            await anyio.sleep(BEAT_S)
            now = anyio.current_time()
            if now - before > BEAT_S * BEATS_MISSED_MAX:
                # The process was paused: others have taken over, whatever this one remembers.
                log("worker.paused", logging.WARNING, worker=self.worker_id, seconds=round(now - before, 1))
                for partition in self._partitions:
                    partition.lose()
                self._changed.set()
            before = now
            self._send_beat()
            if any(self._is_misplaced(partition) for partition in self._partitions):
                self._changed.set()
            silent = self._peers.forget_silent(anyio.current_time())
            if silent:
                log("peers.silent", workers=",".join(silent))
                self._changed.set()

    async def _keep_placing(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            try:
                await self._place()
            except BrokerError as error:
                log("placement.failed", logging.WARNING, error=error)
                await anyio.sleep(BEAT_S)
                self._changed.set()

    async def _place(self) -> None:
        """Takes, keeps or gives away each partition as the live workers' ranking says."""
        async with self._placing, anyio.create_task_group() as tasks:
            for partition in self._partitions:
                tasks.start_soon(self._place_one, partition)
        self._send_beat()

    def _is_misplaced(self, partition: Partition) -> bool:
        """Tells whether a partition is served by one who should not, or by nobody."""
        is_contested = self._peers.is_claimed(partition.number)
        if self._peers.role(partition.number) != "owner":
            return partition.is_claimed
        return is_contested != partition.is_contested or not (partition.is_claimed or is_contested)

    async def _place_one(self, partition: Partition) -> None:
        role = self._peers.role(partition.number)
        is_contested = self._peers.is_claimed(partition.number)
        if role == "owner":
            if partition.is_claimed and partition.is_contested and not is_contested:
                partition.lose()  # the other was handed messages meanwhile
            partition.is_contested = is_contested
            if partition.is_claimed:
                return
            if is_contested:
                await partition.open()  # served when the other gives up its pin
            else:
                await partition.acquire()
            return
        if partition.is_claimed:
            await partition.release()
            with anyio.move_on_after(self._options.drain_s):
                await self._turns.wait_idle(partition.number)
            self._turns.drop(partition.number)
            await self._broker.flush()
            await partition.unpin()
        if role == "standby":
            await partition.open()
        elif partition.is_open:
            await partition.release()

    # --- index ---------------------------------------------------------------------------------------------
    def _on_started(self, key: RunKey, started_at_us: int) -> None:
        if key not in self._young:
            self._young[key] = (anyio.current_time() + _OPEN_AFTER_S, started_at_us)

    def _on_ended(self, key: RunKey) -> bool:
        """Tells whether the run may have entries among the open or parked."""
        return self._young.pop(key, None) is None

    async def _keep_index(self) -> None:
        """Writes runs that have lasted into the index; what is lost in a crash, `wfctl reindex` restores."""
        while True:
            await anyio.sleep(_OPEN_AFTER_S / 2)
            now = anyio.current_time()
            batch: list[Outgoing] = []
            keys: list[RunKey] = []
            while self._young and len(batch) < _OPEN_BATCH:
                key, (due, started_at_us) = next(iter(self._young.items()))
                if due > now:
                    break
                del self._young[key]
                summary = self._turns.summary_of(key)
                if not isinstance(summary, Summary):
                    summary = Summary(status="running", started_at_us=started_at_us)
                if summary.status not in ENDED:
                    keys.append(key)
                    batch.append(self._effects.index_entry("open", key, summary))
            if batch:
                try:
                    await self._broker.publish_many(batch)
                except BrokerError as error:
                    log("index.failed", logging.WARNING, error=error)
                for key in keys:
                    summary = self._turns.summary_of(key)
                    if isinstance(summary, Summary) and summary.status in ENDED:
                        await self._broker.purge(self._app.index, self._app.index_of("open", key))

    async def _wake_parked(self) -> None:
        """Tries parked runs again at the start of a worker: its code may be what they wait for (R3)."""
        try:
            async for stored in self._broker.scan(self._app.index, self._app.index_of("parked", RunKey("*", "*"))):
                entry = msgspec.json.decode(stored.payload, type=IndexEntry)
                key = RunKey(entry.workflow, entry.run)
                if key.workflow in self._registry.workflows:
                    await self._effects.publish(
                        Outgoing(self._app.input(key, "timer"), encode_body(Tick(wake="parked")))
                    )
        except (BrokerError, BadLog, msgspec.DecodeError) as error:
            log("parked.scan_failed", logging.WARNING, error=error)
