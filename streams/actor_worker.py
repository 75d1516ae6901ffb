"""The actor worker: a process that hosts actors. It puts the parts together and holds them while it lives.

Placement decides which partitions it serves, partitions hand letters to turns, turns make decisions durable. Beats tell
the others; a drain hands everything over and loses nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Collection, Coroutine
from typing import Final

import anyio
import anyio.abc
import msgspec

from ..actors.engine import ENGINE_WORKFLOWS
from ..actors.errors import BadLog, BrokerError, NotProvisioned
from ..actors.limits import (
    ACTORS_CACHED_MAX,
    BEAT_S,
    BEATS_MISSED_MAX,
    BLOCKED_MAX_S,
    BLOCKED_WARN_S,
    DRAIN_S,
    EARLY_KEEP_US,
    FORGET_AFTER_US,
    RETENTION_US,
)
from ..actors.messages import Tick, encode_body
from ..actors.names import RunKey
from ..actors.registry import Registry
from .answers import Answers
from .attempts import Attempts
from .crash_note import CrashNote
from .effects import Effects, IndexEntry
from .host import TurnOptions
from .inline_steps import InlineSteps
from .janitor import Janitor
from .leftovers import Leftovers
from .loading import Suspicion
from .open_runs import OpenRuns
from .partition import Partition
from .placement import Beat, Peers
from .ports import Broker, Delivery, Outgoing, Subscription
from .queries import Queries
from .running_step import Catalogue
from .strays import Strays
from .subjects import App
from .telemetry import log
from .turns import Turns
from .watchdog import Watchdog

HELLO_S = 0.1
"""How long a new worker listens before it takes partitions: live ones answer a hello at once."""


STAND_BY_AFTER_S = BEAT_S * BEATS_MISSED_MAX
"""An owner that lives and does not say that it serves a partition for so long may be unable to."""


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
    early_keep_us: int = EARLY_KEEP_US
    retention_us: int = RETENTION_US
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
        catalogue: The steps that it may run inline, where these are not the registry's.
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
        catalogue: Catalogue | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.inline: Final = InlineSteps(broker, app, (catalogue or registry).steps, worker=worker_id)
        self._broker = broker
        self._app = app
        registry = self._registry = registry.with_engine(ENGINE_WORKFLOWS)
        self._options = options
        self._key = key
        self._peers = Peers(worker_id)
        self._started_at_us = broker.now_us()
        self._note = CrashNote(options.note_path)
        self._watchdog = Watchdog(
            self._note, warn_s=options.blocked_warn_s, limit_s=options.blocked_max_s, beat=options.sign_of_life
        )
        self._effects = Effects(broker, app, actors_key=key, partitions=partitions, inline=self.inline)
        self._turns = Turns(
            broker,
            app,
            registry,
            self._effects,
            self._watchdog,
            self,
            TurnOptions(
                by=f"{worker_id}/{secrets.token_hex(4)}",
                cached_max=options.cached_max,
                early_keep_us=options.early_keep_us,
            ),
        )
        self._open_runs = OpenRuns(broker, app, self._effects, summary_of=self._turns.summary_of)
        self._partitions = [
            Partition(number, broker, app, key, on_letters=self._turns.deliver, spawn=self.spawn)
            for number in range(partitions)
        ]
        attempts = Attempts(broker, app, actors_key=key, partitions=partitions)
        self._answers = Answers(broker, app, attempts)
        self._queries = Queries(
            broker,
            app,
            self._turns,
            self._watchdog,
            partitions=partitions,
            serves=lambda number: self._partitions[number].is_claimed,
        )
        self._strays = Strays(broker, app, self._effects, on_strays=self._turns.deliver, is_on_duty=self._is_on_duty)
        self._janitor = Janitor(
            broker,
            app,
            partitions=partitions,
            is_on_duty=self._is_on_duty,
            retention_us=options.retention_us,
            forget_after_us=max(FORGET_AFTER_US, options.retention_us),
        )
        self._leftovers = Leftovers(
            broker,
            app,
            self._effects,
            attempts,
            partitions=partitions,
            queues=registry.queues,
            is_on_duty=self._is_on_duty,
        )
        self._tasks: anyio.abc.TaskGroup | None = None
        self._is_draining = anyio.Event()
        self._is_ready = anyio.Event()
        self._changed = anyio.Event()
        self._placing = anyio.Lock()
        self._leaving: set[int] = set()
        self._free_since: dict[int, float] = {}
        """When this worker had given a partition away, or began without it."""
        for suspect in self._note.suspects:
            reason = (
                "the workflow held the loop until its worker was replaced"
                if suspect.is_blocked
                else f"{suspect.deaths} workers died while they ran its code"
            )
            self._turns.suspects[suspect.key] = Suspicion(
                "blocked" if suspect.is_blocked else "deadly", f"{reason}; change its code, then unpark the run"
            )

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
                subscriptions.append(await self._answers.open(self.spawn))
                subscriptions.append(await self._queries.open(self.spawn))
                self._send_beat(hello=True)
                await anyio.sleep(HELLO_S)
                self._free_since = dict.fromkeys(range(len(self._partitions)), anyio.current_time())
                await self._place()
                await self._strays.open()
                subscriptions.append(self._strays)
                self._is_ready.set()
                self._send_beat()
                log("worker.ready", worker=self.worker_id, app=self._app.name, partitions=len(self._claimed()))
                self.spawn(self._wake_parked)
                tasks.start_soon(self._turns.run)
                tasks.start_soon(self._keep_beating)
                tasks.start_soon(self._keep_placing)
                tasks.start_soon(self._open_runs.run)
                tasks.start_soon(self._strays.run)
                tasks.start_soon(self._janitor.run)
                tasks.start_soon(self._leftovers.run)
                await self._is_draining.wait()
                await self._hand_over()
                tasks.cancel_scope.cancel()
        finally:
            self._tasks = None
            self._watchdog.stop()
            self.inline.close()
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
            await self._strays.close()
            async with self._placing:
                claimed = [p for p in self._partitions if p.is_open]
                async with anyio.create_task_group() as tasks:
                    for partition in claimed:
                        tasks.start_soon(partition.release)
                await self._turns.wait_idle()
                await self._flush()
                async with anyio.create_task_group() as tasks:
                    for partition in claimed:
                        tasks.start_soon(partition.unpin)
        self._send_beat(leaving=True)
        with anyio.move_on_after(1):
            await self._flush()

    async def _flush(self) -> None:
        """Waits until acks have arrived; where the server is away they are lost, and the messages come again elsewhere."""
        try:
            await self._broker.flush()
        except BrokerError as error:
            log("worker.flush_failed", logging.WARNING, worker=self.worker_id, error=error)

    def _is_on_duty(self) -> bool:
        """Tells whether this worker does what one of an app's workers does for all."""
        return self._partitions[0].is_claimed

    # --- beats and placement ------------------------------------------------------------------------------
    def _claimed(self) -> list[int]:
        return [p.number for p in self._partitions if p.is_claimed or p.number in self._leaving]

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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
            await self._place()
            if self._changed.is_set():
                await anyio.sleep(BEAT_S)

    async def _place(self) -> None:
        """Takes, keeps or gives away each partition as the live workers' ranking says.

        Raises:
            NotProvisioned: A consumer is missing at the start; later that is said, and tried again.
        """
        async with self._placing, anyio.create_task_group() as tasks:
            for partition in self._partitions:
                tasks.start_soon(self._try_to_place, partition)
        self._send_beat()

    async def _try_to_place(self, partition: Partition) -> None:
        try:
            await self._place_one(partition)
        except BrokerError as error:
            if isinstance(error, NotProvisioned) and not self._is_ready.is_set():
                raise
            log("placement.failed", logging.WARNING, partition=partition.number, error=error)
            self._changed.set()

    def _is_misplaced(self, partition: Partition) -> bool:
        """Tells whether a partition is served by one who should not, or by nobody."""
        is_contested = self._peers.is_claimed(partition.number)
        role = self._peers.role(partition.number)
        if role == "standby" and not partition.is_open and self._may_stand_by(partition):
            return True
        if role != "owner":
            return partition.is_claimed
        return is_contested != partition.is_contested or not (partition.is_claimed or is_contested)

    async def _place_one(self, partition: Partition) -> None:
        if self._is_draining.is_set():
            return
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
            await self._give_away(partition)
        if role == "standby":
            if self._may_stand_by(partition):
                await partition.open()
        elif partition.is_open:
            await partition.release()

    def _may_stand_by(self, partition: Partition) -> bool:
        """Tells whether to pull behind the owner: not before it pulls itself, or the server would give us its place."""
        is_overdue = anyio.current_time() - self._free_since.get(partition.number, 0.0) > STAND_BY_AFTER_S
        return self._peers.is_claimed(partition.number) or is_overdue

    async def _give_away(self, partition: Partition) -> None:
        """Hands a partition over to a worker that ranks higher; claims it until the last turn has ended."""
        self._leaving.add(partition.number)
        try:
            await partition.release()
            with anyio.move_on_after(self._options.drain_s):
                await self._turns.wait_idle(partition.number)
            self._turns.drop(partition.number)
            await self._broker.flush()
            await partition.unpin()
        finally:
            self._leaving.discard(partition.number)
            self._free_since[partition.number] = anyio.current_time()
        self._send_beat()  # who ranks higher waits for this

    # --- what turns ask for (`host.Host`) ------------------------------------------------------------------
    def spawn(self, function: Callable[..., Coroutine[object, object, None]], /, *args: object) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(function, *args)

    def known_workflows(self) -> Collection[str]:
        return {*self._options.known_workflows, *self._peers.workflows()}

    def on_started(self, key: RunKey, started_at_us: int, *, is_new: bool) -> None:
        self._open_runs.on_started(key, started_at_us, is_new=is_new)

    def on_settled(self, partition: int, delivery: Delivery) -> None:
        """See `host.Host`."""
        self._partitions[partition].settled(delivery)

    def on_ended(self, key: RunKey) -> bool:
        return self._open_runs.on_ended(key)

    # --- parked runs ----------------------------------------------------------------------------------------
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
