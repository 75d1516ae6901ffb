"""Link: what lies between one process and the twin: ordered lanes, delays, cuts, and the end of the process.

Actions travel; nothing is called directly, so that a server never runs inside its caller. Order holds within a lane.
What has been sent arrives even when its sender dies; what a dead or cut end should receive is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from enum import Enum

Action = Callable[[], object]


class LinkState(Enum):
    """How a connection stands."""

    OPEN = "open"
    CUT = "cut"
    """The server is away; what is sent waits for the reconnect, as in a client's buffer."""
    CLOSED = "closed"
    DEAD = "dead"
    """The process is gone."""


class Link:
    """One connection.

    Args:
        server_context: In which the server's half runs, so that the end of a process does not take sent messages along.
        delay_s: Draws the time that the next message takes.
    """

    def __init__(self, server_context: Context, delay_s: Callable[[], float]) -> None:
        self.state = LinkState.OPEN
        self.is_served = True
        """False once the server knows that it is gone."""
        self._server_context = server_context
        self._own_context = copy_context()
        self._delay_s = delay_s
        self._up: dict[str, _Lane] = {}
        self._down: dict[str, _Lane] = {}
        self._kept: list[tuple[str, Action]] = []

    def up(self, lane: str, action: Action) -> None:
        """Sends to the server."""
        if self.state is LinkState.CUT:
            self._kept.append((lane, action))
        elif self.state is LinkState.OPEN:
            found = self._up.get(lane)
            if found is None:
                found = self._up[lane] = _Lane(self._server_context)
            found.send(self._delay_s(), action)

    def down(self, lane: str, action: Action) -> None:
        """Sends to the process."""
        if self.state is not LinkState.OPEN:
            return
        found = self._down.get(lane)
        if found is None:
            found = self._down[lane] = _Lane(self._own_context)
        found.send(self._delay_s(), action)

    @property
    def lanes_up(self) -> list[str]:
        return list(self._up)

    def cut(self) -> None:
        """Loses everything under way, in both directions."""
        for lane in (*self._up.values(), *self._down.values()):
            lane.clear()
        if self.state is LinkState.OPEN:
            self.state = LinkState.CUT
        self.is_served = False

    def tell(self, action: Action) -> None:
        """Lets the process notice something about the connection itself."""
        asyncio.get_running_loop().call_soon(action, context=self._own_context)

    def restore(self) -> None:
        if self.state is LinkState.CUT:
            self.state = LinkState.OPEN
            self.is_served = True
            kept, self._kept = self._kept, []
            for lane, action in kept:
                self.up(lane, action)

    def end(self, state: LinkState) -> None:
        """Closes for good; what was sent up still arrives."""
        self.state = state
        self._kept.clear()
        for lane in self._down.values():
            lane.clear()


class _Lane:
    """Actions in order, each not before its time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._queue: deque[tuple[float, Action]] = deque()
        self._handle: asyncio.Handle | None = None

    def send(self, delay_s: float, action: Action) -> None:
        loop = asyncio.get_running_loop()
        self._queue.append((loop.time() + delay_s if delay_s else 0.0, action))
        if self._handle is None:
            self._arm(loop)

    def clear(self) -> None:
        self._queue.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        at = self._queue[0][0]
        if at:
            self._handle = loop.call_at(at, self._run, context=self._context)
        else:
            self._handle = loop.call_soon(self._run, context=self._context)

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._handle = None
        now = loop.time()
        try:
            # What an action sends on this lane waits for the next round.
            for _ in range(len(self._queue)):
                if not self._queue or self._queue[0][0] > now:
                    break
                self._queue.popleft()[1]()
        finally:
            if self._queue and self._handle is None:
                self._arm(loop)
