"""JetrunTarget: jetrun as something to load. The one file that knows how jetrun is started and spoken to.

Everything as a user would: `wfctl provision`, `wfctl worker actors`, `wfctl worker steps`, the plain client.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Self, TypeVar

import anyio
import msgspec
import nats

from jetrun.client import Client

from . import workload
from .children import Child, Children
from .load import Load, drive
from .server import SYNC_ALWAYS, BenchServer

__all__ = ["Client", "DevTarget", "JetrunTarget"]

T = TypeVar("T")

APP = "bench"
MODULE = workload.__name__
TIMERS = f"WF_{APP}_TIMERS"
WFCTL = (sys.executable, "-P", "-m", "jetrun.cli")


class JetrunTarget:
    """A server, an actor worker and a step worker, from entering to leaving the block."""

    def __init__(self, *, mode: str) -> None:
        self._mode = mode
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:
            self.children = self._exits.enter_context(Children())
            server = BenchServer(self.children.folder, mode=self._mode)
            self.children.adopt(server)
            self.url = server.wait_url()
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
        return _run(self.url, measure)

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
    """`wfctl dev`: the same from one command, on an embedded server of its own."""

    def __init__(self, *, mode: str) -> None:
        self._mode = mode
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:
            children = self._exits.enter_context(Children())
            sync = ("--sync-always",) if self._mode == SYNC_ALWAYS else ()
            flags = ("-m", MODULE, "--port", "0", "--store", str(children.folder / "store"), *sync)
            child = children.start("dev", [*WFCTL, "--app", APP, "dev", *flags])
            child.wait_ready("ready: ")
            line = next(line for line in child.output().splitlines() if line.startswith("server: "))
            self.url = line.split()[1].rstrip(",")
            self._exits = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def run(self, measure: Callable[[Client], Awaitable[T]]) -> T:
        """Runs a measurement with a connected client."""
        return _run(self.url, measure)


def _run(url: str, measure: Callable[[Client], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with await Client.connect(url, app=APP) as client:
            return await measure(client)

    return anyio.run(connected, backend_options={"use_uvloop": True})


class _State(msgspec.Struct):
    messages: int


class _StreamInfo(msgspec.Struct):
    state: _State
