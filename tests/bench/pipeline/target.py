"""PipelineTarget: the bare pipeline as something to load: a server, an actor worker, a step worker, a client."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from typing import Self

import anyio
from nats.aio.msg import Msg

from ..children import Child, Children
from ..load import Load, drive
from ..server import BenchServer
from . import bodies, layout
from .wire import Wire


class PipelineTarget:
    """The pipeline's processes, from entering to leaving the block."""

    def __init__(self, *, mode: str) -> None:
        self._mode = mode
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with self._exits:
            self.children = self._exits.enter_context(Children())
            server = BenchServer(self.children.folder, mode=self._mode)
            self.children.adopt(server)
            self._url = server.wait_url()
            anyio.run(_provision, self._url)
            workers = [self._start("actors", "actor"), self._start("steps", "steps")]
            for worker in workers:
                worker.wait_ready()
            self._exits = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def load(self, *, runs: int, in_flight: int, steps: int) -> Load:
        """Puts a load on the pipeline and measures it."""
        return anyio.run(self._load, runs, in_flight, steps, backend_options={"use_uvloop": True})

    async def _load(self, runs: int, in_flight: int, steps: int) -> Load:
        wire = await Wire.connect(self._url)
        client = BareClient(wire)
        await client.listen()
        load = await drive(client.start_and_wait, self.children.all, runs=runs, in_flight=in_flight, steps=steps)
        await wire.close()
        return load

    def _start(self, role: str, module: str) -> Child:
        return self.children.start(role, [sys.executable, "-m", f"{__package__}.{module}", self._url])


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
