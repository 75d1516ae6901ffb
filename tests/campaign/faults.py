"""Faults: what is done to the processes of a campaign, and the record of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from random import Random
from typing import Final, Literal, NamedTuple

import anyio
import msgspec

from jetrun.streams.server import EmbeddedServer

from .crew import Crew, Worker, now_us
from .watch import Kind, Shot, Watch

DEATH_LOOK_S: Final = 0.2
LAST_WORDS: Final = 1500


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done to a process."""

    kind: Kind
    what: Literal["kill", "pause", "drain", "restart"]
    pid: int
    at_us: int
    until_us: int = 0
    """When a server answered again, a paused worker went on, or a drained one had ended."""
    window: str = ""
    """The moment that it was aimed at; empty for a random one."""
    shot: Shot | None = None
    code: int = 0
    """With which exit code a drained worker ended."""


class Scene(NamedTuple):
    """What there is to disturb."""

    crew: Crew
    server: EmbeddedServer
    watch: Watch
    server_turn: anyio.Lock
    """Held by whoever stops or starts the server: it cannot be done twice at a time."""


class FaultLog:
    """What was done so far, and who is being replaced at the moment."""

    def __init__(self) -> None:
        self.done: list[Fault] = []
        self.deaths: list[str] = []
        """Workers that ended although nobody had told or killed them, with their last words."""
        self._expected: dict[str, int] = {}

    def note(self, fault: Fault) -> None:
        """Records a fault."""
        self.done.append(fault)

    def expect(self, workers: Iterable[Worker]) -> None:
        """Says that these may end: whoever expects it starts them again."""
        for worker in workers:
            self._expected[worker.name] = self._expected.get(worker.name, 0) + 1

    def settle(self, workers: Iterable[Worker]) -> None:
        """Takes that back."""
        for worker in workers:
            self._expected[worker.name] -= 1

    def note_deaths(self, crew: Crew) -> None:
        """Records workers that ended by themselves, and starts others in their places."""
        for worker in crew.workers:
            if not worker.is_running and not self._expected.get(worker.name):
                self.deaths.append(f"{worker.name} ended by itself: {worker.output()[-LAST_WORDS:]}")
                worker.start()

    def save(self, path: Path) -> None:
        """Writes what was done, one fault per line."""
        path.write_bytes(b"".join(msgspec.json.encode(fault) + b"\n" for fault in self.done))


Disturb = Callable[[Scene, FaultLog, Random, float], Awaitable[None]]
"""Disturbs a scene for so many seconds; everybody is up again, or soon will be, when it returns."""


async def disturb(scene: Scene, faults: FaultLog, rng: Random, seconds: float, ways: Iterable[Disturb]) -> None:
    """Disturbs in several ways at once; on return every worker serves again."""

    async def one(way: Disturb, own: Random) -> None:
        await way(scene, faults, own, seconds)

    async with anyio.create_task_group() as watching:
        watching.start_soon(_watch_deaths, scene.crew, faults)
        async with anyio.create_task_group() as tasks:
            for way in ways:
                tasks.start_soon(one, way, Random(rng.random()))
        await scene.crew.wait_ready()
        watching.cancel_scope.cancel()


async def _watch_deaths(crew: Crew, faults: FaultLog) -> None:
    while True:
        await anyio.sleep(DEATH_LOOK_S)
        faults.note_deaths(crew)


async def replace(scene: Scene, faults: FaultLog, worker: Worker, life: int, after_s: float) -> int:
    """Waits for the end of a worker that was killed or told, starts another, and returns the exit code.

    Two faults may hit one worker; whoever comes second finds another in its place, and lets that one be.

    Args:
        life: The worker's at the time of the fault.
    """
    code = await worker.wait_ended(life)
    await anyio.sleep(after_s)
    if worker.life == life:
        worker.start()
    faults.settle([worker])
    return code


def pause_of(worker: Worker, pid: int, at_us: int) -> Fault:
    """Makes the record of a pause that ends now."""
    return Fault(kind=worker.kind, what="pause", pid=pid, at_us=at_us, until_us=now_us())
