"""A stage for graphs on a whole engine: steps that begin at once, and end when the test says so, and how.

Nothing is waited for by the clock: what has begun, and what has been folded, is read in the run's log.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any, NamedTuple

import anyio

from jetrun.actors import Step, attempt, step
from jetrun.actors.registry import Registry
from jetrun.client import Client, Event, RunHandle

WAIT_S = 20.0
STEPS = (
    "core.noop",
    "core.echo",
    "core.local",
    "core.fetch",
    "core.process",
    "core.audit",
    "core.work",
    "core.repair",
    "monitoring.check",
)


class Refused(Exception):
    """How a step fails where the test wants it to."""


class Asked(NamedTuple):
    """A step that the graph has asked for."""

    n: int
    """Its command's number."""
    task: str
    item: int | None
    """Its index."""
    execution: int
    """Which one of this task, and item, from 0."""
    arguments: dict[str, Any]


class Stage:
    """Holds what steps of these names run, in the worker of this process."""

    def __init__(self, names: Iterable[str] = STEPS) -> None:
        self._held: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self.registry = Registry.of(*(self._step(name) for name in names))

    def _step(self, name: str) -> Step[..., Any]:
        @step(name=name)
        async def held(*_args: Any, **_kwargs: Any) -> Any:
            return await self._future(attempt().run, attempt().command)

        return held

    def _future(self, run: str, command: int) -> asyncio.Future[Any]:
        key = (run, command)
        if key not in self._held:
            self._held[key] = asyncio.get_running_loop().create_future()
        return self._held[key]

    def close(self) -> None:
        """Lets go of all that is held, so that the worker need not wait for what a failed test has left."""
        for future in self._held.values():
            if not future.done():
                future.cancel()

    def release(self, run: str, command: int, *, result: Any = None, error: str = "") -> None:
        """Has a step end, now or as soon as it begins."""
        future = self._future(run, command)
        if error:
            future.set_exception(Refused(error))
        else:
            future.set_result(result)


class Performance:
    """One run on the stage, as its log tells it."""

    def __init__(self, stage: Stage, run: RunHandle[Any]) -> None:
        self.stage = stage
        self.run = run
        self.events: list[Event] = []
        self._seen = 0

    @classmethod
    async def begin(cls, stage: Stage, client: Client, call: Any, run_id: str) -> Performance:
        """Starts a run, and waits until it has asked for its first steps, or ended."""
        performance = cls(stage, await client.start(call, run_id=run_id))
        await performance._wait("graph.began")
        return performance

    async def end(self, asked: Asked, *, result: Any = None, error: str = "") -> None:
        """Has a step end, and waits until the run has folded that and asked for what follows."""
        self.stage.release(self.run.run_id, asked.n, result=result, error=error)
        await self._wait("step.failed" if error else "step.completed", asked.n)

    async def _wait(self, kind: str, n: int | None = None) -> None:
        with anyio.fail_after(WAIT_S):
            async with aclosing(self.run.tail()) as events:
                async for event in events:
                    if event.kind == kind and n in (None, event.n):
                        break
                else:
                    raise AssertionError(f"the run has ended without {kind} {n}")
        self.events = await self.run.events()

    def asked(self) -> list[Asked]:
        """Lists the steps that were asked for, in order."""
        found: list[Asked] = []
        counts: Counter[str] = Counter()
        for event in self.events:
            if event.kind == "step.scheduled":
                label = event.data["task"]
                task, _, index = label.partition("[")
                item = int(index[:-1]) if index else None
                found.append(Asked(event.n, task, item, counts[label], event.data.get("kwargs", {})))
                counts[label] += 1
        return found

    def new(self) -> list[Asked]:
        """Lists the steps that were asked for since it was asked last."""
        asked = self.asked()
        new, self._seen = asked[self._seen :], len(asked)
        return new

    @property
    def path(self) -> list[str]:
        """Tasks in the order in which they have begun."""
        return [event.data["task"] for event in self.events if event.kind == "task.started"]

    @property
    def finished(self) -> dict[str, Any] | None:
        """How it has ended, in the interpreter's words; None while it goes on."""
        return next((event.data for event in self.events if event.kind == "graph.finished"), None)

    def statuses(self, task: str) -> list[str]:
        """How a task has ended, each time."""
        return [
            event.data["status"]
            for event in self.events
            if event.data.get("move") == "ended" and event.data["task"] == task
        ]
