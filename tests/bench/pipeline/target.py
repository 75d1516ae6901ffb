"""PipelineTarget: the bare pipeline as something to load: a server, an actor worker, a step worker, a client."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from nats.aio.msg import Msg

from ..children import Child, cpu_by_role
from ..load import Load, drive
from ..server import BenchServer
from . import bodies, layout
from .wire import Wire


class PipelineTarget:
    """The pipeline's processes, from entering to leaving the context."""

    def __init__(self, *, mode: str) -> None:
        self._mode = mode
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="bare-")
        folder = Path(self._folder.name)
        try:
            server = BenchServer(folder, mode=self._mode)
            self._children.append(server)
            self._url = server.wait_url()
            anyio.run(_provision, self._url)
            for role, module in (("actors", "actor"), ("steps", "steps")):
                command = [sys.executable, "-m", f"{__package__}.{module}", self._url]
                self._children.append(Child(role, command, folder=folder))
            for child in self._children[1:]:
                child.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for child in reversed(self._children):
            child.stop()
        self._folder.cleanup()

    def load(self, *, runs: int, in_flight: int, steps: int) -> Load:
        """Puts a load on the pipeline and measures it."""
        return anyio.run(self._load, runs, in_flight, steps, backend_options={"use_uvloop": True})

    async def _load(self, runs: int, in_flight: int, steps: int) -> Load:
        wire = await Wire.connect(self._url)
        client = BareClient(wire)
        await client.listen()
        before = cpu_by_role(self._children)
        load = await drive(client.start_and_wait, runs=runs, in_flight=in_flight, steps=steps)
        after = cpu_by_role(self._children)
        await wire.close()
        return load.with_cpu({role: after[role] - before[role] for role in before})


class BareClient:
    """Starts runs and hears of their end by notice."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._ends: dict[str, asyncio.Event] = {}

    async def listen(self) -> None:
        """Subscribes to all notices, once."""
        await self._wire.subscribe(layout.DONE_ALL, self._on_done)

    async def start_and_wait(self, run: str, steps: int) -> None:
        name = f"chain.{run}"
        end = self._ends[name] = asyncio.Event()
        await self._wire.publish(layout.input_of(name, "start"), bodies.encode(bodies.Start([steps])), _accepted)
        await end.wait()

    async def _on_done(self, notice: Msg) -> None:
        self._ends.pop(notice.subject.split(".", 3)[3]).set()


async def _accepted(_: int) -> None:
    """The PubAck of a start: the run will happen, its end is what the client waits for."""


async def _provision(url: str) -> None:
    wire = await Wire.connect(url)
    await layout.provision(wire)
    await wire.close()
