"""Stand-ins for the parts of asyncio that follow memory addresses (R13).

They take their places when this file is imported; outside of workflows they are, or behave as, the standard ones.
`as_completed` makes its tasks from a set of coroutines (seen on 3.11); what `gather` returns is hashed by address, and
`wait` keeps it in a set.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator
from typing import Any, Final

from .loop import STANDARD_AS_COMPLETED, Loop, running_loop

_StandardGathering: Final[Any] = getattr(asyncio.tasks, "_GatheringFuture")  # noqa: B009  not in the stubs


def as_completed(fs: Iterable[Awaitable[Any]], *, timeout: float | None = None) -> Any:
    """Is `asyncio.as_completed`: inside a workflow in the order given, elsewhere the standard one."""
    loop = running_loop()
    if loop is not None:
        return _AsCompleted(fs, timeout, loop)
    return STANDARD_AS_COMPLETED(fs, timeout=timeout)


def adopt_globals(namespace: dict[str, Any]) -> None:
    """Replaces a standard `as_completed` that a module of workflows has imported by name."""
    for name, value in list(namespace.items()):
        if value is STANDARD_AS_COMPLETED:
            namespace[name] = as_completed


class RunGathering(_StandardGathering):  # type: ignore[misc]  # Any to the type checkers
    """What `gather` returns: numbered within its run, hashed by address elsewhere."""

    def __init__(self, children: Any, *, loop: asyncio.AbstractEventLoop) -> None:
        self._number = loop.next_number() if isinstance(loop, Loop) else id(self) >> 4
        _StandardGathering.__init__(self, children, loop=loop)

    def __hash__(self) -> int:
        return self._number


class _AsCompleted:
    """Yields awaitables in the order in which the given ones complete; starts them in the order given."""

    def __init__(self, awaitables: Iterable[Awaitable[Any]], timeout: float | None, loop: Loop) -> None:
        self._done: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue()
        self._todo: dict[asyncio.Future[Any], None] = {}
        for awaitable in awaitables:
            self._todo.setdefault(asyncio.ensure_future(awaitable, loop=loop))
        self._left = len(self._todo)
        for future in self._todo:
            future.add_done_callback(self._on_done)
        self._timer = loop.call_later(timeout, self._on_timeout) if timeout is not None and self._todo else None

    def _on_done(self, future: asyncio.Future[Any]) -> None:
        if self._todo.pop(future, self) is self:
            return
        self._done.put_nowait(future)
        if not self._todo and self._timer is not None:
            self._timer.cancel()

    def _on_timeout(self) -> None:
        for future in self._todo:
            future.remove_done_callback(self._on_done)
            self._done.put_nowait(None)
        self._todo.clear()

    async def _next(self) -> Any:
        future = await self._done.get()
        if future is None:
            raise TimeoutError
        return future.result()

    def __iter__(self) -> Iterator[Coroutine[Any, Any, Any]]:
        return self

    def __next__(self) -> Coroutine[Any, Any, Any]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next()

    def __aiter__(self) -> AsyncIterator[asyncio.Future[Any]]:
        return self

    async def __anext__(self) -> asyncio.Future[Any]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        future = await self._done.get()
        if future is None:
            raise TimeoutError
        return future


asyncio.as_completed = as_completed  # type: ignore[assignment]
asyncio.tasks.as_completed = as_completed  # type: ignore[assignment]
setattr(asyncio.tasks, "_GatheringFuture", RunGathering)  # noqa: B010
