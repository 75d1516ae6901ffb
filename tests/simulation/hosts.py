"""Hosts: places where workers live, one after the other, as simulated processes that crash, freeze, drain and end."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import msgspec

from jetrun.actors.errors import BrokerError
from jetrun.streams.memory import MemoryBroker, MemoryServer
from support import simloop
from support.simloop import Process, SimLoop

from .trace import Trace

AGAIN_S = 1.0
"""A worker that has ended by itself is started again after this time, as a supervisor would."""

SILENCE_S = 10.0
"""So long the server serves the connection of a machine that has lost its power."""


class Stroke(msgspec.Struct, kw_only=True):
    """Something that was done to a process."""

    what: str
    """`crash`, `freeze`, `drain`, `death` or `down` (of the server)."""
    pid: int
    at_us: int
    until_us: int = 0
    """When it was over; 0 while it is not."""


class Host:
    """One place for a worker; each life is a process with an id of its own.

    Args:
        pids: Gives out process ids.
        connect: Opens the life's connection.
        on_end: Hears of the end of each life.
        work: Makes a worker and runs it to its end; gets the life's broker and name, and hands its `drain` on first.
    """

    def __init__(
        self,
        loop: SimLoop,
        server: MemoryServer,
        trace: Trace,
        name: str,
        *,
        pids: Callable[[], int],
        connect: Callable[[Host], MemoryBroker],
        on_end: Callable[[str], None],
        work: Callable[[Host, MemoryBroker, str], Awaitable[None]],
    ) -> None:
        self.name = name
        self.life = ""
        self.pid = 0
        self.strokes: list[Stroke] = []
        self.deaths: list[str] = []
        self.thawed_at_s = -1e9
        self.is_serving: Callable[[], bool] = lambda: False
        """Set by the worker: what serves does not give up for a server that does not answer."""
        self.drain: Callable[[], None] | None = None
        """Set by the worker; None while nobody lives here, or drains."""
        self._loop = loop
        self._server = server
        self._trace = trace
        self._pids = pids
        self._connect = connect
        self._on_end = on_end
        self._work = work
        self._process: Process | None = None
        self._broker: MemoryBroker | None = None
        self._lives = 0
        self._is_resting = False

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    @property
    def is_frozen(self) -> bool:
        return self._process is not None and self._process.is_frozen

    def start(self) -> None:
        """Begins a life; does nothing where one is lived."""
        if self._process is not None:
            return
        self._lives += 1
        self.pid = self._pids()
        self.life = f"{self.name}-{self._lives}"
        self._process = self._loop.process(self.life)
        self._trace.add(f"process {self.life} started")
        self._process.spawn(self._live(self._process, self.life))

    def crash(self, *, loses_power: bool, down_s: float) -> None:
        """Ends the life as kill -9 does, or as a machine does that loses its power; another one begins after a while."""
        process = self._process
        if process is None:
            return
        self._trace.add(f"process {self.life} crashed{' with its machine' if loses_power else ''}")
        self._note("crash")
        process.crash()
        if self._broker is not None:
            if loses_power:
                _lose_unsent(self._broker)
                self._loop.call_later(SILENCE_S, self._broker.kill)
            else:
                self._broker.kill()
        self._rest(down_s)

    def freeze(self, span_s: float) -> None:
        """Stops it as SIGSTOP does, for so long."""
        process = self._process
        if process is None or process.is_frozen:
            return
        self._trace.add(f"process {self.life} frozen for {span_s:.1f} s")
        self._note("freeze")
        process.freeze()
        self._loop.call_later(span_s, self._thaw, process)

    def thaw(self) -> None:
        """Goes on; does nothing where nothing is frozen."""
        if self._process is not None:
            self._thaw(self._process)

    def ask_to_drain(self) -> None:
        """Asks for the worker's end as SIGTERM does; another life begins soon after it."""
        if self.drain is not None and not self.is_frozen:
            self._trace.add(f"process {self.life} asked to drain")
            self._note("drain")
            drain, self.drain = self.drain, None
            assert self._process is not None
            self._process.run(drain)

    # --- inside ----------------------------------------------------------------------------------
    async def _live(self, process: Process, life: str) -> None:
        self._broker = broker = self._connect(self)
        words = "drained"
        try:
            await self._work(self, broker, life)
            await broker.close()
        except Exception as error:
            if not process.is_alive or self._loop.is_closed():
                return  # what is thrown into the coroutines of the dead
            words = f"died: {_short(error)}"
            self._note("death")
            if self.is_serving() or not _is_brokers(error):
                self.deaths.append(f"{life} {words}")
                self._trace.lines.extend(traceback.format_exception(error))
            broker.kill()
        self._trace.add(f"process {life} {words}")
        process.crash()
        # The next life is no child of this one.
        asyncio.get_running_loop().call_soon(self._rest, AGAIN_S, context=self._server._context)

    def _rest(self, down_s: float) -> None:
        self._process = self._broker = self.drain = None
        self.is_serving = lambda: False
        self._on_end(self.life)
        for stroke in self.strokes:
            if stroke.pid == self.pid and not stroke.until_us:
                stroke.until_us = self._loop.now_us()
        self._loop.call_later(down_s, self.start)

    def _thaw(self, process: Process) -> None:
        if process is self._process and process.is_frozen:
            self._trace.add(f"process {self.life} thawed")
            self.thawed_at_s = self._loop.time()
            for stroke in self.strokes:
                if stroke.pid == self.pid and stroke.what == "freeze" and not stroke.until_us:
                    stroke.until_us = self._loop.now_us()
            process.thaw()

    def _note(self, what: str) -> None:
        self.strokes.append(Stroke(what=what, pid=self.pid, at_us=self._loop.now_us()))


def current_process() -> str:
    """Names the life of which the running code is a part."""
    process = simloop._process.get()
    return process.name if process is not None else ""


def _lose_unsent(broker: MemoryBroker) -> None:
    for lane in broker._link._up.values():
        lane.clear()


def _is_brokers(error: BaseException) -> bool:
    """Tells whether a worker gave up because of its server: a supervisor starts it again."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_brokers(part) for part in error.exceptions)
    return isinstance(error, BrokerError)


def _short(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_short(part) for part in error.exceptions)
    return f"{type(error).__name__}: {error}"[:300]
