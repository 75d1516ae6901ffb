"""Stops: SIGSTOP of actor workers beyond their lease, SIGTERM of workers, orderly restarts of the server."""

from __future__ import annotations

from random import Random
from typing import Final

import anyio
import anyio.to_thread

from jetrun.actors.limits import MAIL_ACK_WAIT_S

from .crew import now_us, wait_serving
from .faults import Fault, FaultLog, Scene, pause_of, replace
from .watch import Window

BEYOND_LEASE_S: Final = MAIL_ACK_WAIT_S + 1.0
"""The pin is gone after 2 s, the messages in its hands after their ack wait."""

AIM_S: Final = 5.0
NEWS_S: Final = 3.0
"""A worker that has woken up says in its next beats what the fence refused."""

DRAIN_GAP_S: Final = 2.0


async def pause_actors(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    """Stops actor workers at random moments, for a while that may be longer than their lease or not."""
    until = anyio.current_time() + seconds
    while anyio.current_time() < until:
        await anyio.sleep(rng.uniform(0.5, 3))
        worker = rng.choice(scene.crew.of("actors"))
        pid, at_us = worker.pid, now_us()
        if not pid or not worker.is_running:
            continue
        worker.pause()
        try:
            await anyio.sleep(rng.uniform(1.0, BEYOND_LEASE_S + 1))
        finally:
            worker.resume()
        faults.note(pause_of(worker, pid, at_us))


async def pause_until_refused(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    """Stops an actor worker when a hook reaches it, between decision and append, until the fence has refused one."""
    until = anyio.current_time() + seconds
    while anyio.current_time() < until and not sum(scene.watch.refused_appends.values()):
        await anyio.sleep(rng.uniform(0.5, 1.5))
        at_us = now_us()
        shot = await scene.watch.shoot(Window("hook", "actors"), lambda pid: _stop(scene, pid), within_s=AIM_S)
        worker = scene.crew.by_pid(shot.pid) if shot is not None else None
        if shot is None or worker is None:
            continue
        await anyio.sleep(BEYOND_LEASE_S)
        worker.resume()
        faults.note(pause_of(worker, shot.pid, at_us))
        await anyio.sleep(NEWS_S)


async def drain_workers(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    """Tells one worker after the other to end, and starts another in its place: a rolling restart without end."""
    until = anyio.current_time() + seconds
    while anyio.current_time() < until:
        for worker in rng.sample(scene.crew.workers, len(scene.crew.workers)):
            # Who does not serve has been killed a moment ago, and the next one is on its way.
            await wait_serving([worker])
            pid, at_us, life = worker.pid, now_us(), worker.life
            faults.expect([worker])
            worker.terminate()
            code = await replace(scene, faults, worker, life, 0.0)
            faults.note(Fault(kind=worker.kind, what="drain", pid=pid, at_us=at_us, until_us=now_us(), code=code))
            await wait_serving([worker])
            await anyio.sleep(rng.uniform(0.2, DRAIN_GAP_S))


async def restart_server(scene: Scene, faults: FaultLog, rng: Random, seconds: float) -> None:
    """Stops the server in order, and starts it again."""
    until = anyio.current_time() + seconds
    while anyio.current_time() < until:
        await anyio.sleep(rng.uniform(1.0, 4.0))
        async with scene.server_turn:
            pid, at_us = scene.server.pid, now_us()
            await anyio.to_thread.run_sync(scene.server.restart)
        faults.note(Fault(kind="server", what="restart", pid=pid, at_us=at_us, until_us=now_us()))


def _stop(scene: Scene, pid: int) -> bool:
    worker = scene.crew.by_pid(pid)
    if worker is None or not worker.is_running:
        return False
    worker.pause()
    return True
