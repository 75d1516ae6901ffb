"""The world: server, workers and client of one seed; chaos for a while, then everything heals and has to come to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from random import Random

import anyio
import msgspec

import campaign.run_logs
from campaign import graph_definitions
from campaign.effects import Line
from campaign.plans import Plan
from campaign.run_logs import RunLog, read_remains
from jetrun.actors.engine import ENGINE_WORKFLOWS
from jetrun.actors.limits import PUBLISH_TIMEOUT_S
from jetrun.actors.names import RunKey
from jetrun.actors.records import decode_record
from jetrun.actors.registry import Registry
from jetrun.streams.actor_worker import ActorOptions, ActorWorker
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.memory_faults import Faults
from jetrun.streams.ports import EXPECT_LAST, WRONG_LAST, Outgoing, PubAck
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.subjects import App
from support.simloop import SimLoop

from . import flows
from .chaos import Chaos
from .hosts import Host, Stroke, current_process
from .monitor import Monitor
from .notebook import Notebook, open_notebook
from .probes import Carrying
from .scenario import CHAOS_S, HEAL_S, PARTITIONS, Scenario
from .sender import Sender
from .trace import Trace

APP = App("s")
KEY = b"k" * 32
QUEUES = ("default", "slow")
SETTLE_S = 15.0
"""After all is done: longer than an ack wait, so that what is delivered twice is seen."""

ZOMBIE_S = 20.0
RIVALS_SHARE = 0.6
LAST_MOMENTS_US = (1, 500, 20_000, 150_000, -1, -20_000)
"""Before the deadline, and after it."""

FULL = Registry.of_modules([flows.__name__, graph_definitions.__name__]).with_engine(ENGINE_WORKFLOWS)


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign and a simulation have in common for the invariants that they share: see `campaign.audit.Case`."""

    app: str
    plans: dict[RunKey, Plan]
    acked: set[str]
    lines: list[Line]
    remains: campaign.run_logs.Remains
    deaths: list[str]
    lease_us: int

    def logs(self) -> Iterator[RunLog]:
        yield from self.remains.logs.values()

    def log_of(self, key: RunKey) -> RunLog:
        return self.remains.logs.get(key, RunLog(key=key, entries=[]))

    def log_behind(self, line: Line) -> RunLog:
        return self.log_of(RunKey(line.workflow, line.run))


class Remains(msgspec.Struct, kw_only=True):
    """What one simulation has left, for the invariants."""

    scenario: Scenario
    case: Story
    objects: dict[str, bytes]
    """Large values by hash."""
    strokes: list[Stroke]
    lost: list[tuple[int, str]]
    carried: list[Carrying]
    monitor: Monitor
    is_quiet: bool
    open_runs: list[RunKey]
    quiet_after_s: float
    callbacks: int
    counts: Counter[str]
    trace: Trace


class World:
    """One seed's world."""

    def __init__(self, loop: SimLoop, scenario: Scenario, counts: Counter[str], carried: list[Carrying]) -> None:
        self.counts = counts
        self._carried = carried
        self.trace = Trace(loop.time)
        self._loop = loop
        self._scenario = scenario
        self._is_healed = False
        self._actor_lives = 0
        self._server = MemoryServer(loop.now_us, seed=scenario.seed, faults=msgspec.structs.replace(scenario.faults))
        self._server.provision(APP, QUEUES, partitions=PARTITIONS)
        self._monitor = Monitor(self._server, APP, self.trace, loop.now_us)
        self._server.on_trace = self._monitor.hear
        pids = count(1)
        connect, on_end = self._connect, self._ended
        make = partial(Host, loop, self._server, self.trace, pids=lambda: next(pids), connect=connect, on_end=on_end)
        self._actors = [make(f"actors-{n}", work=self._work_actors) for n in range(1, scenario.actors + 1)]
        self._steps = [make(f"steps-{n}", work=self._work_steps) for n in range(1, scenario.steps + 1)]
        self._notebook = Notebook(loop.now_us, self._whose)
        self._chaos = Chaos(
            loop, self._server, APP, scenario, self.trace, actors=self._actors, steps=self._steps, count=self._count
        )
        self._monitor.chaos = self._chaos
        self._monitor.on_race = self._rival
        self._rivals = Random(f"rivals/{scenario.seed}")
        self._notebook.on_line = self._heard_line
        open_notebook(self._notebook)

    async def live(self) -> Remains:
        """Lives from the first start to the last ack, and says what is left."""
        scenario = self._scenario
        for host in (*self._actors, *self._steps):
            host.start()
        sender = Sender(MemoryBroker(self._server), APP, Random(f"sender/{scenario.seed}"))
        quiet_after_s = 0.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sender.send, scenario.plans)
            await self._chaos.run(CHAOS_S)
            self._heal()
            quiet_after_s = await self._wait_quiet()
            tasks.cancel_scope.cancel()
        return await self._remains(sender, quiet_after_s)

    # --- workers ----------------------------------------------------------------------------------
    async def _work_actors(self, host: Host, broker: MemoryBroker, life: str) -> None:
        is_partial = host is self._actors[0] and not self._is_healed
        self._actor_lives += 1
        changed = graph_definitions.CHANGED_GRAPHS if self._actor_lives % 2 == 0 else {}
        workflows = {**FULL.workflows, **changed}
        known = {n: w for n, w in workflows.items() if not (is_partial and n in self._scenario.partial)}
        worker = ActorWorker(
            broker,
            APP,
            Registry(workflows=known, steps=FULL.steps),
            worker_id=life,
            key=KEY,
            partitions=PARTITIONS,
            options=ActorOptions(
                has_threads=False,
                cached_max=self._scenario.limits.cached_runs,
                known_workflows=frozenset(FULL.workflows),
            ),
        )
        host.drain, host.is_serving = worker.drain, worker._is_ready.is_set
        await worker.run()

    async def _work_steps(self, host: Host, broker: MemoryBroker, life: str) -> None:
        queues: dict[str, int] = dict.fromkeys(QUEUES, self._scenario.concurrency)
        worker = StepWorker(broker, APP, FULL, queues, worker_id=life)
        host.drain, host.is_serving = worker.drain, worker.ready.is_set
        await worker.run()

    # --- life and end ---------------------------------------------------------------------------------
    def _heal(self) -> None:
        self.trace.add("process all healed")
        self._server.faults = Faults(delay_s=min(0.02, self._scenario.faults.delay_s))
        self._is_healed = True
        self._chaos.heal()
        if self._scenario.partial:
            self._actors[0].ask_to_drain()

    async def _wait_quiet(self) -> float:
        """Waits until nothing is left to do and returns how long that took; infinity where it did not come."""
        began = self._loop.time()
        quiet_s = 0.0
        while self._loop.time() - began < HEAL_S:
            await anyio.sleep(0.5)
            quiet_s = quiet_s + 0.5 if self._is_quiet() else 0.0
            if quiet_s >= SETTLE_S:
                return self._loop.time() - began - SETTLE_S
        return float("inf")

    def _is_quiet(self) -> bool:
        streams = (APP.mail, APP.work)
        if any(self._server.stream(stream).state.messages for stream in streams):
            return False
        return not self._open_runs() and not self._server.stream(APP.timers).select(f"wf.{APP.name}.fired.>")

    def _open_runs(self) -> list[RunKey]:
        """Lists what was planned or begun and has not ended."""
        log = self._server.stream(APP.log)
        keys = {plan.key: None for plan in self._scenario.plans}
        lasts = {APP.read_run(stored.subject): stored for stored in log.select(f"wf.{APP.name}.log.>")}
        ended = {key for key, stored in lasts.items() if decode_record(stored.payload).outcome is not None}
        return [key for key in {**keys, **dict.fromkeys(key for key in lasts if key is not None)} if key not in ended]

    async def _remains(self, sender: Sender, quiet_after_s: float) -> Remains:
        hosts = (*self._actors, *self._steps)
        case = Story(
            app=APP.name,
            plans={plan.key: plan for plan in self._scenario.plans},
            acked=sender.acked,
            lines=self._notebook.lines,
            remains=await read_remains(MemoryBroker(self._server), APP),
            deaths=[death for host in hosts for death in host.deaths],
            lease_us=30_000_000,
        )
        return Remains(
            scenario=self._scenario,
            case=case,
            objects={name.rpartition("/")[2]: data for name, data in self._server.bucket(APP.values).items()},
            strokes=[*self._chaos.downs, *(stroke for host in hosts for stroke in host.strokes)],
            lost=self._monitor.lost,
            carried=self._carried,
            monitor=self._monitor,
            is_quiet=quiet_after_s < HEAL_S,
            open_runs=self._open_runs(),
            quiet_after_s=quiet_after_s,
            callbacks=self._loop.callbacks_run,
            counts=self.counts,
            trace=self.trace,
        )

    def refused(self, host: Host) -> None:
        """Takes note of an append that the fence has refused."""
        if self._scenario.faults.refusal_false or self._is_healed:
            return  # it may have been stored
        self._count("append refused")
        if self._loop.time() - host.thawed_at_s < ZOMBIE_S:
            self._count("zombie append refused")

    # --- inside -----------------------------------------------------------------------------------
    def _connect(self, host: Host) -> MemoryBroker:
        return _Watched(self, host, self._server, clock_skew_us=self._scenario.skew_us)

    def _rival(self, key: RunKey, due_at_us: int) -> None:
        """Sends the hook that is waited for at the last moment: a deadline is beaten or not, but never lost."""
        if self._rivals.random() < RIVALS_SHARE:
            left_us = due_at_us - self._rivals.choice(LAST_MOMENTS_US) - self._loop.now_us()
            body = msgspec.json.encode({"id": f"rival-{due_at_us}", "payload": 7})
            hook = Outgoing(APP.input(key, "hook", "go"), body)
            self._loop.call_later(
                max(0, left_us) / 1e6, lambda: self._server.accept(hook) if self._server.is_up else None
            )

    def _ended(self, life: str) -> None:
        for carrying in self._carried:
            if carrying.worker == life:
                carrying.ended_s = min(carrying.ended_s, self._loop.time())

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def _whose(self) -> int:
        name = current_process()
        return next((host.pid for host in (*self._steps, *self._actors) if host.life == name), 0)

    def _heard_line(self, line: Line) -> None:
        self.trace.add(f"step {line.phase} {line.workflow}.{line.run}.{line.command}/{line.attempt} by {line.pid}")
        self._chaos.watch_line(line)


class _Watched(MemoryBroker):
    """A connection that counts the appends which the fence refuses, and those of a worker that was paused before."""

    def __init__(self, world: World, host: Host, server: MemoryServer, *, clock_skew_us: int) -> None:
        super().__init__(server, clock_skew_us=clock_skew_us)
        self._world = world
        self._host = host

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout_s: float = PUBLISH_TIMEOUT_S) -> list[PubAck]:
        acks = await super().publish_many(messages, timeout_s=timeout_s)
        for message, ack in zip(messages, acks, strict=True):
            is_append = message.subject.startswith(f"wf.{APP.name}.log.")
            if is_append and ack.code == WRONG_LAST and (message.headers or {}).get(EXPECT_LAST, "0") != "0":
                self._world.refused(self._host)
        return acks
