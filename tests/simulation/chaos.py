"""Chaos: kills, freezes, drains and restarts, at random times and aimed at the moments that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import anyio

from campaign.effects import Line
from jetrun.actors.errors import BadMessage
from jetrun.actors.messages import StepResult, decode_body
from jetrun.actors.names import RunKey
from jetrun.actors.records import Record, decode_record
from jetrun.streams.memory import MemoryServer
from jetrun.streams.subjects import App
from support.simloop import SimLoop

from .hosts import Host, Stroke
from .scenario import Scenario
from .trace import Trace

RESTART_S = 3.0
"""The server is away for up to so long."""


class Chaos:
    """What goes wrong with processes during one simulation.

    Args:
        count: Counts what the simulation has come across.
    """

    def __init__(
        self,
        loop: SimLoop,
        server: MemoryServer,
        app: App,
        scenario: Scenario,
        trace: Trace,
        *,
        actors: Sequence[Host],
        steps: Sequence[Host],
        count: Callable[[str], None],
    ) -> None:
        self.downs: list[Stroke] = []
        self._loop = loop
        self._server = server
        self._app = app
        self._violence = scenario.violence
        self._trace = trace
        self._actors = actors
        self._steps = steps
        self._count = count
        self._rng = Random(f"chaos/{scenario.seed}")
        self._aims = Random(f"aims/{scenario.seed}")
        self._is_on = True
        self._decided_by: dict[RunKey, str] = {}

    # --- at random times --------------------------------------------------------------------------
    async def run(self, seconds: float) -> None:
        """Does its worst for a while; nothing new goes wrong after it."""
        violence = self._violence
        async with anyio.create_task_group() as tasks:
            for per_minute, strike in (
                (violence.actor_kills, lambda: self._crash(self._any(self._actors))),
                (violence.step_kills, lambda: self._crash(self._any(self._steps))),
                (violence.freezes, lambda: self._freeze(self._any([*self._actors, *self._steps]))),
                (violence.drains, lambda: self._drain(self._any([*self._actors, *self._steps]))),
                (violence.restarts, self._restart),
            ):
                if per_minute:
                    tasks.start_soon(self._keep, per_minute, strike)
            await anyio.sleep(seconds)
            tasks.cancel_scope.cancel()
        self._is_on = False

    def heal(self) -> None:
        """Brings back whoever is away or frozen."""
        for host in (*self._actors, *self._steps):
            host.thaw()
            host.start()
        if not self._server.is_up:
            self._up()

    async def _keep(self, per_minute: float, strike: Callable[[], None]) -> None:
        while True:
            await anyio.sleep(self._rng.expovariate(per_minute / 60))
            strike()

    def _any(self, hosts: Sequence[Host]) -> Host:
        return self._rng.choice(list(hosts))

    # --- aimed ------------------------------------------------------------------------------------
    def watch_stored(self, stream: str, seq: int, subject: str) -> None:
        """Hears of everything that is stored, before the answer is on its way."""
        if not self._is_on:
            return
        app, violence = self._app, self._violence
        if stream == app.log:
            record = decode_record(self._server.stream(stream).get(seq).payload)  # type: ignore[union-attr]  # just stored
            self._watch_append(subject, record)
        elif stream in (app.work, app.timers) and f".{'fired'}." not in subject:
            self._aim(violence.snipe_effect, lambda: self._actor_of(self._run_of(subject)), "effect")
            self._aim_server("effect")
        elif stream == app.mail and subject.endswith(".step"):
            self._aim(violence.snipe_result, lambda: self._worker_of(stream, seq), "result")
            self._aim_server("result")

    def watch_acked(self, stream: str, run: str) -> None:
        """Hears of every ack that has arrived."""
        if self._is_on and stream == self._app.mail:
            self._aim(self._violence.snipe_ack, lambda: self._actor_of(self._run_of(run)), "ack")

    def watch_line(self, line: Line) -> None:
        """Hears of what steps do."""
        if not self._is_on:
            return
        rate = self._violence.snipe_step_begin if line.phase == "begin" else self._violence.snipe_step_end
        self._aim(rate, lambda: next((h for h in self._steps if h.pid == line.pid), None), f"step {line.phase}")

    def _watch_append(self, subject: str, record: Record) -> None:
        tokens = subject.split(".")
        key = RunKey(tokens[-2], tokens[-1])
        self._decided_by[key] = record.by.partition("/")[0]
        self._aim(self._violence.snipe_append, lambda: self._actor_of(key), "append")
        self._aim_freeze(key)
        self._aim_server("append")

    def _aim(self, rate: float, find: Callable[[], Host | None], window: str) -> None:
        if not rate or self._aims.random() >= rate:
            return
        host = find()
        if host is not None and host.is_alive:
            self._count(f"crash at {window}")
            # Not in the midst of the server's work, and before anything that it has just sent arrives.
            life = host.life
            self._loop.call_soon(lambda: self._crash(host) if host.life == life else None)

    def _aim_freeze(self, key: RunKey) -> None:
        rate = self._violence.snipe_freeze
        host = self._actor_of(key) if rate and self._aims.random() < rate else None
        if host is not None and host.is_alive:
            self._count("frozen at append")
            life = host.life
            self._loop.call_soon(lambda: self._freeze(host) if host.life == life else None)

    def _aim_server(self, window: str) -> None:
        rate = self._violence.snipe_server
        if rate and self._aims.random() < rate and self._server.is_up:
            self._count(f"server killed at {window}")
            self._loop.call_soon(self._restart)

    def _actor_of(self, key: RunKey) -> Host | None:
        worker = self._decided_by.get(key, "")
        return next((host for host in self._actors if host.life == worker), None)

    def _worker_of(self, stream: str, seq: int) -> Host | None:
        stored = self._server.stream(stream).get(seq)
        try:
            body = decode_body("step", "", stored.payload) if stored is not None else None
        except BadMessage:
            return None
        return next((h for h in self._steps if isinstance(body, StepResult) and h.life == body.worker), None)

    @staticmethod
    def _run_of(subject: str) -> RunKey:
        tokens = subject.split(".")
        # work.<queue>.<workflow>.<run>.<command>, retry.<workflow>.<run>.<command>, timer and mail.<p>.<workflow>.<run>.<rest>
        at = 3 if tokens[2] == "retry" else 4
        return RunKey(tokens[at], tokens[at + 1])

    # --- what is done -------------------------------------------------------------------------------
    def _crash(self, host: Host) -> None:
        loses_power = self._rng.random() < self._violence.power_loss
        host.crash(loses_power=loses_power, down_s=self._rng.uniform(0.05, self._violence.down_s))

    def _freeze(self, host: Host) -> None:
        host.freeze(self._rng.uniform(0.5, self._violence.frozen_s))

    @staticmethod
    def _drain(host: Host) -> None:
        host.ask_to_drain()

    def _restart(self) -> None:
        if not self._server.is_up:
            return
        self.downs.append(Stroke(what="down", pid=0, at_us=self._loop.now_us()))
        self._count("server restarted")
        self._server.stop()
        self._loop.call_later(self._rng.uniform(0.1, RESTART_S), self._up)

    def _up(self) -> None:
        if not self._server.is_up:
            self.downs[-1].until_us = self._loop.now_us()
            self._server.start()
