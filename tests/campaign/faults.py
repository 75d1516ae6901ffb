"""Faults: kill -9 of workers and of the server, half of them aimed at a moment that the watch has heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final, Literal

import anyio
import anyio.to_thread
import msgspec

from jetrun.streams.server import EmbeddedServer

from .crew import Crew, Worker, now_us, strike
from .watch import WINDOWS, Kind, Shot, Watch, Window

KILLS_PER_MINUTE: Final = 25
"""Of each kind; some find nobody to kill and do not count."""

AIMED_SHARE: Final = 0.6
AIM_S: Final = 4.0
DOWN_S: Final = 0.5
DEATH_LOOK_S: Final = 0.2
PAUSED_S: Final = (4.0, 13.0)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done to a process."""

    kind: Kind
    what: Literal["kill", "pause"]
    pid: int
    at_us: int
    until_us: int = 0
    """When a server answered again, or a paused worker went on."""
    window: str = ""
    """The moment that it was aimed at; empty for a random one."""
    shot: Shot | None = None


class Faults:
    """Kills for a while, then stops.

    Args:
        seconds: How long.
        kinds: Among `actors`, `steps`, `server` and `pauses` (SIGSTOP of an actor worker beyond its lease).
    """

    def __init__(
        self, crew: Crew, server: EmbeddedServer, watch: Watch, rng: Random, *, seconds: float, kinds: Sequence[str]
    ) -> None:
        self.done: list[Fault] = []
        self.deaths: list[str] = []
        """Workers that ended although nobody had killed them, with their last words."""
        self._crew = crew
        self._server = server
        self._watch = watch
        self._rng = rng
        self._seconds = seconds
        self._kinds = kinds
        self._killed: set[str] = set()

    async def run(self) -> None:
        """Does its worst; on return every process is up again."""
        async with anyio.create_task_group() as watching:
            watching.start_soon(self._watch_deaths)
            async with anyio.create_task_group() as tasks:
                for kind in self._kinds:
                    tasks.start_soon(self._pauses if kind == "pauses" else self._kills, kind)
            for worker in self._crew.workers:
                await worker.wait_ready()
            watching.cancel_scope.cancel()

    def save(self, path: Path) -> None:
        """Writes what was done, one fault per line."""
        path.write_bytes(b"".join(msgspec.json.encode(fault) + b"\n" for fault in self.done))

    # --- inside ----------------------------------------------------------------------------------
    async def _watch_deaths(self) -> None:
        while True:
            await anyio.sleep(DEATH_LOOK_S)
            for worker in self._crew.workers:
                if not worker.is_running and worker.name not in self._killed:
                    self.deaths.append(f"{worker.name} ended by itself: {worker.output()[-1500:]}")
                    worker.start()

    async def _kills(self, kind: Kind) -> None:
        rng = Random(f"{kind}/{self._rng.random()}")
        gap_s = 60 / KILLS_PER_MINUTE
        until = anyio.current_time() + self._seconds
        next_at = anyio.current_time() + rng.uniform(0.3, gap_s)
        while next_at < until:
            await anyio.sleep_until(next_at)
            next_at += gap_s * rng.uniform(0.6, 1.4)
            shot: Shot | None = None
            if rng.random() < AIMED_SHARE:
                window = Window(rng.choice(WINDOWS[kind]), kind)
                left_s = max(0.1, min(AIM_S, until - anyio.current_time()))
                self._killed |= {worker.name for worker in self._crew.workers if worker.kind == kind}
                shot = await self._watch.shoot(window, self._strike, within_s=left_s)
            if kind == "server":
                await self._kill_server(shot, rng)
            else:
                await self._kill_worker(kind, shot, rng)

    def _strike(self, pid: int) -> bool:
        return strike(pid or self._server.pid)

    async def _kill_server(self, shot: Shot | None, rng: Random) -> None:
        at_us, pid = now_us() if shot is None else shot.at_us, self._server.pid
        if shot is None:
            strike(pid)
        await anyio.sleep(rng.uniform(0, DOWN_S))
        await anyio.to_thread.run_sync(self._server.restart)
        self._note("server", pid, at_us, shot, until_us=now_us())

    async def _kill_worker(self, kind: Kind, shot: Shot | None, rng: Random) -> None:
        workers = [worker for worker in self._crew.workers if worker.kind == kind]
        worker = rng.choice(workers) if shot is None else self._crew.by_pid(shot.pid)
        assert worker is not None, "who was shot was one of ours"
        self._killed |= {worker.name for worker in workers}
        if worker.is_running or shot is not None:
            pid, at_us = (worker.pid, now_us()) if shot is None else (shot.pid, shot.at_us)
            if shot is None:
                worker.kill()
            self._watch.forget(pid)
            self._note(kind, pid, at_us, shot)
            await worker.replace(rng.uniform(0, DOWN_S))
        self._killed -= {worker.name for worker in workers}

    async def _pauses(self, _kind: Kind) -> None:
        rng = Random(f"pauses/{self._rng.random()}")
        until = anyio.current_time() + self._seconds
        while anyio.current_time() < until:
            await anyio.sleep(rng.uniform(0.5, 3))
            worker: Worker = rng.choice(self._crew.of("actors"))
            pid, at_us = worker.pid, now_us()
            if not pid or not worker.is_running:
                continue
            worker.pause()
            await anyio.sleep(rng.uniform(*PAUSED_S))
            worker.resume()
            self.done.append(Fault(kind="actors", what="pause", pid=pid, at_us=at_us, until_us=now_us()))

    def _note(self, kind: Kind, pid: int, at_us: int, shot: Shot | None, *, until_us: int = 0) -> None:
        window = "" if shot is None else shot.window
        fault = Fault(kind=kind, what="kill", pid=pid, at_us=at_us, until_us=until_us, window=window, shot=shot)
        self.done.append(fault)
