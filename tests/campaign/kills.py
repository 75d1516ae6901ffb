"""Kills: kill -9 of workers and of the server, most of them aimed at a moment that the watch has heard."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random
from typing import Final

import anyio
import anyio.to_thread

from .crew import Worker, now_us, strike
from .faults import Fault, FaultLog, Scene, replace
from .watch import WINDOWS, Fire, Kind, Shot, Window

KILLS_PER_MINUTE: Final = 25
"""Of each kind; some find nobody to kill and do not count."""

AIMED_SHARE: Final = 0.75
"""More than the half that has to hit: a moment that does not come in time makes a random kill."""

AIM_S: Final = 4.0
DOWN_S: Final = 0.5


async def kill_actors(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    await _kill_workers("actors", scene, faults, rng, seconds)


async def kill_steps(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    await _kill_workers("steps", scene, faults, rng, seconds)


async def kill_server(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    """Kills the server and starts it again at once, or half a second later."""

    def fire(_pid: int) -> bool:
        return not scene.server_turn.locked() and strike(scene.server.pid)

    async for left_s in _moments(rng, seconds):
        shot = await _aim("server", scene, rng, left_s, fire)
        async with scene.server_turn:
            at_us, pid = now_us() if shot is None else shot.at_us, scene.server.pid
            if shot is None:
                strike(pid)
            await anyio.sleep(rng.uniform(0, DOWN_S))
            await anyio.to_thread.run_sync(scene.server.restart)
        faults.note(_kill("server", pid, at_us, shot, until_us=now_us()))


async def _kill_workers(kind: Kind, scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    workers = [worker for worker in scene.crew.workers if worker.kind == kind]
    async for left_s in _moments(rng, seconds):
        faults.expect(workers)
        shot, hit = await _aim_at_workers(kind, scene, rng, left_s)
        worker, life = hit or _life_of(rng.choice(workers))
        faults.settle(other for other in workers if other is not worker)
        if shot is None and not worker.is_running:
            faults.settle([worker])
            continue
        pid, at_us = (worker.pid, now_us()) if shot is None else (shot.pid, shot.at_us)
        if shot is None:
            worker.kill()
        scene.watch.forget(pid)
        faults.note(_kill(kind, pid, at_us, shot))
        await replace(scene, faults, worker, life, rng.uniform(0, DOWN_S))


async def _aim_at_workers(
    kind: Kind, scene: Scene, rng: Random, left_s: float
) -> tuple[Shot | None, tuple[Worker, int] | None]:
    """Aims, and tells who was hit: a moment later, somebody else may work there."""
    hit: list[tuple[Worker, int]] = []

    def fire(pid: int) -> bool:
        worker = scene.crew.by_pid(pid)
        # Nobody's: of a worker that is taking over and has not said who it is, or of one that is gone and replaced.
        if worker is None or not worker.is_running or not strike(pid):
            return False
        hit.append(_life_of(worker))
        return True

    shot = await _aim(kind, scene, rng, left_s, fire)
    return shot, hit[0] if hit else None


def _life_of(worker: Worker) -> tuple[Worker, int]:
    return worker, worker.life


async def _aim(kind: Kind, scene: Scene, rng: Random, left_s: float, fire: Fire) -> Shot | None:
    if rng.random() >= AIMED_SHARE:
        return None
    return await scene.watch.shoot(Window(rng.choice(WINDOWS[kind]), kind), fire, within_s=min(AIM_S, left_s))


async def _moments(rng: Random, seconds: float) -> AsyncGenerator[float, None]:
    """Yields the seconds that are left, about `KILLS_PER_MINUTE` times a minute."""
    gap_s = 60 / KILLS_PER_MINUTE
    until = anyio.current_time() + seconds
    next_at = anyio.current_time() + rng.uniform(0.3, gap_s)
    while next_at < until:
        await anyio.sleep_until(next_at)
        # Counted from the plan, not from the deed: a kill that had to wait is followed by the next one sooner.
        next_at += gap_s * rng.uniform(0.6, 1.4)
        yield max(0.1, until - anyio.current_time())


def _kill(kind: Kind, pid: int, at_us: int, shot: Shot | None, *, until_us: int = 0) -> Fault:
    window = "" if shot is None else shot.window
    return Fault(kind=kind, what="kill", pid=pid, at_us=at_us, until_us=until_us, window=window, shot=shot)
