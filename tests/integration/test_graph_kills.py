"""Graphs whose workers are killed amid joins, items, retries, timers and children: `kill -9`, real processes, a real server."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import aclosing
from typing import Any, NamedTuple

import anyio
import pytest

from jetrun.client import Client, Event, RunHandle
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App
from support.ack_wait import shorten_ack_wait
from support.graph_flows import JOINS, KILLED, output_of
from support.processes import Child, Processes

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MODULE = "support.graph_flows"
WAIT_S = 90.0
ENDS = {"task.succeeded", "task.failed", "task.timeout", "task.cancelled", "task.skipped"}


class Strike(NamedTuple):
    """Who is killed, and when."""

    kind: str
    """Of the event at which it happens."""
    task: str
    actors: bool
    steps: bool


ACK_WAIT_S = 4.0
"""After which the work of a killed step worker is handed out again."""

# Step workers are killed twice in all: an attempt is given up after it was lost four times, and one that is handed out
# while nobody hosts its run, so that its doubts are not answered, may lose its lease of so short an `ack_wait` as well.
STRIKES = [
    Strike("graph.began", "", actors=True, steps=False),
    Strike("task.items", "items", actors=True, steps=False),
    Strike("task.item", "items", actors=False, steps=True),
    Strike("step.retrying", "", actors=True, steps=False),
    Strike("child.started", "", actors=True, steps=False),
    Strike("task.succeeded", "pause", actors=True, steps=False),
    Strike("task.started", "meet", actors=True, steps=False),
    Strike("task.started", "all", actors=True, steps=True),
]
RUNS_EACH = 2
"""Runs begun before each strike; the older ones are somewhere else in the graph when it comes."""


class Crew:
    """One actor worker and one step worker; whoever is killed is followed by another one."""

    def __init__(self, processes: Processes, url: str, app: App) -> None:
        self._processes = processes
        self._where = ("--url", url, "--app", app.name, "-m", MODULE)
        self.actors: Child
        self.steps: Child

    async def begin(self) -> None:
        assert await self._start("provision").wait_ended() == 0
        self.actors, self.steps = self._start("worker", "actors"), self._start("worker", "steps")
        for worker in (self.actors, self.steps):
            await worker.wait_line("^ready: ")

    def strike(self, strike: Strike) -> None:
        if strike.actors:
            self._kill(self.actors)
            self.actors = self._start("worker", "actors")
        if strike.steps:
            self._kill(self.steps)
            self.steps = self._start("worker", "steps")

    def _kill(self, worker: Child) -> None:
        """kill -9 for the worker and for its supervisor."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.kill()

    def _start(self, *arguments: str) -> Child:
        return self._processes.start_wfctl(*arguments, *self._where)


async def test_graphs_outlive_the_kill_of_any_worker_at_any_moment(
    nats_url: str, app: App, processes: Processes
) -> None:
    """Each activation has one outcome in the log, each join fires once, the output is right, and every run ends."""
    crew = Crew(processes, nats_url, app)
    await crew.begin()
    broker = await JetStream.connect(nats_url, name="test")
    await shorten_ack_wait(broker, app, seconds=ACK_WAIT_S)
    await broker.close()
    runs: list[RunHandle[Any]] = []
    async with await Client.connect(nats_url, app=app.name) as client:
        with anyio.fail_after(WAIT_S):
            async with aclosing(client.tail(workflow="killed")) as events:
                for strike in STRIKES:
                    names = {f"r-{len(runs) + n}" for n in range(RUNS_EACH)}
                    for name in sorted(names):
                        runs.append(await client.start(KILLED.call(n=len(runs)), run_id=name))
                    async for found in events:
                        event = found.event
                        if (
                            found.run_id in names
                            and event.kind == strike.kind
                            and event.data.get("task", "") == strike.task
                        ):
                            break
                    crew.strike(strike)
            for n, run in enumerate(runs):
                assert await run.result() == output_of(n)
                check(await run.events(), JOINS)
                for child in await run.children():
                    check(await client.get(f"{child.workflow}/{child.run_id}").events(), {"j": 1})


def check(events: list[Event], joins: dict[str, int]) -> None:
    """Reads a log from its first record: what happened once stands in it once."""
    kinds = Counter(event.kind for event in events)
    assert (kinds["graph.began"], kinds["graph.finished"], kinds["run.completed"]) == (1, 1, 1)
    moves = [event.data for event in events if event.kind.startswith("task.")]
    ended = Counter(event.data["id"] for event in events if event.kind in ENDS)
    began = {move["id"] for move in moves if move["move"] == "started"}
    assert ended == dict.fromkeys(began, 1)
    items = Counter((move["id"], move["index"]) for move in moves if move["move"] == "item")
    assert set(items.values()) <= {1}
    fired = Counter(move["task"] for move in moves if move["move"] == "started" and move.get("attempt", 1) == 1)
    assert {join: fired[join] for join in joins} == joins
    scheduled = [event.n for event in events if event.kind == "step.scheduled"]
    completed = Counter(event.n for event in events if event.kind == "step.completed")
    assert completed == dict.fromkeys(scheduled, 1)
