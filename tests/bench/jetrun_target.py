"""JetrunTarget: jetrun as something to load. The one file that knows how jetrun is started and spoken to.

Everything as a user would: `wfctl provision`, `wfctl worker actors`, `wfctl worker steps`, the plain client.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Self, TypeVar

import anyio
import msgspec
import nats
from jetrun.client import Client, RunHandle

from . import workload
from .children import Child, Children
from .load import Load, drive
from .server import SYNC_ALWAYS, BenchServer

T = TypeVar("T")

APP = "bench"
MODULE = workload.__name__
TIMERS = f"WF_{APP}_TIMERS"


class JetrunTarget:
    """A server, an actor worker and a step worker, from entering to leaving the block."""

    def __init__(self, *, mode: str) -> None:
        self._mode = mode
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:
            self.children = self._exits.enter_context(Children())
            self.server = BenchServer(self.children.folder, mode=self._mode)
            self.children.adopt(self.server)
            self.url = self.server.wait_url()
            self._provision()
            self.actors, steps = self._start_worker("actors"), self._start_worker("steps")
            for worker in (self.actors, steps):
                worker.wait_ready("ready: ")
            self._exits = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def replace_actors(self) -> None:
        """Drains the actor worker and starts a fresh one, which knows nothing but the logs."""
        self.children.stop(self.actors)
        self.actors = self._start_worker("actors")
        self.actors.wait_ready("ready: ")

    def run(self, measure: Callable[[Client], Awaitable[T]]) -> T:
        """Runs a measurement with a connected client."""

        async def connected() -> T:
            async with await Client.connect(self.url, app=APP) as client:
                return await measure(client)

        return anyio.run(connected, backend_options={"use_uvloop": True})

    def load(self, *, runs: int, in_flight: int, steps: int) -> Load:
        """Puts a load of `chain` runs on jetrun and measures it."""

        async def measure(client: Client) -> Load:
            async def start_and_wait(run: str, steps: int) -> None:
                await (await client.start(workload.chain.call(steps), run_id=run)).result()

            return await drive(start_and_wait, self.children.all, runs=runs, in_flight=in_flight, steps=steps)

        return self.run(measure)

    async def timers(self) -> int:
        """Asks the server how many timers are scheduled."""
        connection = await nats.connect(self.url)
        answer = await connection.request(f"$JS.API.STREAM.INFO.{TIMERS}", timeout=10)
        await connection.close()
        return msgspec.json.decode(answer.data, type=_StreamInfo).state.messages

    def _provision(self) -> None:
        child = self.children.start("provision", self._wfctl("provision", "-m", MODULE))
        child.wait_end()
        self.children.stop(child)

    def _start_worker(self, role: str) -> Child:
        note = ("--crash-note", str(self.children.folder / "crash-note")) if role == "actors" else ()
        return self.children.start(role, self._wfctl("worker", role, "-m", MODULE, "--log-level", "warning", *note))

    def _wfctl(self, *arguments: str) -> list[str]:
        return [*WFCTL, "--url", self.url, "--app", APP, *arguments]


class DevTarget:
    """`wfctl dev`: all of it from one command."""

    def __init__(self, *, mode: str) -> None:
        self._mode = mode

    def __enter__(self) -> Self:
        self.children = Children()
        store = self.children.__enter__().folder / "store"
        sync = ["--sync-always"] if self._mode == SYNC_ALWAYS else []
        self._child = self.children.start("dev", [*WFCTL, "--app", APP, "dev", "-m", MODULE, "--port", "0", "--store", str(store), *sync])
        return self

    def __exit__(self, *_: object) -> None:
        self.children.__exit__()

    def wait_url(self) -> str:
        """Returns the server's address once everything serves."""
        self._child.wait_ready("ready: ")
        line = next(line for line in self._child.output().splitlines() if line.startswith("server: "))
        return line.split()[1].rstrip(",")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client of the bench's app."""
    async with await Client.connect(url, app=APP) as client:
        yield client


WFCTL = [sys.executable, "-P", "-m", "jetrun.cli"]

__all__ = ["APP", "MODULE", "Client", "DevTarget", "JetrunTarget", "RunHandle", "connected"]


class _State(msgspec.Struct):
    messages: int


class _StreamInfo(msgspec.Struct):
    state: _State
