"""Steps for the tests of graph runs, and what these ask of a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from jetrun.actors import FatalError, attempt, load_graph, step, workflow
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.graph_workflow import GraphWorkflow
from jetrun.client import Event, RunCancelled, RunFailed, RunHandle
from jetrun.client.testing_app import AppUnderTest


@step(name="core.noop")
def noop(**_: Any) -> None:
    """Does nothing."""


@step
def echo(x: Any = None) -> Any:
    return x


@step
def double(x: int) -> int:
    return x * 2


@step
def flaky(good: int) -> int:
    """Fails until its so-manieth attempt."""
    number = attempt().number
    if number < good:
        raise ValueError(f"attempt {number} is too early")
    return number


@step
def wrong(what: Any = "wrong") -> None:
    raise ValueError(what)


@step
def never() -> None:
    raise FatalError("never")


@step
async def slow(seconds: float = 20.0) -> float:
    """Takes its time; stops when its run is cancelled."""
    await asyncio.sleep(seconds)
    return seconds


@step
def picky(x: int) -> int:
    """Takes even numbers alone."""
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


@step
def large(size: int) -> str:
    return "x" * size


@step
def length(text: str) -> int:
    return len(text)


@step
def read_text(path: str) -> str:
    """Fails for good while the file is not there."""
    try:
        return Path(path).read_text("utf-8")
    except FileNotFoundError as error:
        raise FatalError(f"no file {Path(path).name}") from error


@workflow
async def successor(x: int) -> int:
    return x + 1


STEPS = (noop, echo, double, flaky, wrong, never, slow, picky, large, length, read_text, successor)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a graph run has ended, and when, in the app's seconds."""

    status: str
    output: Any
    error: ErrorInfo | None = None
    at_s: float = 0.0


def graph(text: str, name: str = "flow") -> GraphWorkflow:
    """Makes a registered graph of YAML."""
    return load_graph(text, name=name)


async def ending_of(run: RunHandle[Any]) -> Ending:
    """Waits for a run's end."""
    began_s = asyncio.get_running_loop().time()
    try:
        status, output, error = "succeeded", await run.result(), None
    except RunFailed as failed:
        status, output, error = "failed", failed.output, failed.error
    except RunCancelled as cancelled:
        status, output, error = "cancelled", cancelled.output, None
    return Ending(status=status, output=output, error=error, at_s=round(asyncio.get_running_loop().time() - began_s, 1))


async def ran(app: AppUnderTest, flow: GraphWorkflow, run_id: str = "r1", /, **inputs: Any) -> Ending:
    """Runs a graph to its end."""
    return await ending_of(await app.client.start(flow.call(**inputs), run_id=run_id))


def code_of(ending: Ending) -> str | None:
    """Returns the code of the error that has ended a run."""
    return None if ending.error is None else ending.error.code


def story(events: list[Event], *kinds: str) -> list[str]:
    """Lists the events of these kinds: kind and text."""
    return [f"{event.kind} {event.text}".strip() for event in events if event.kind in kinds]


async def seconds_of(run: RunHandle[Any], *kinds: str) -> list[float]:
    """Lists when the events of these kinds were recorded, in seconds after the first record."""
    events = await run.events()
    return [round((event.at_us - events[0].at_us) / 1e6, 1) for event in events if event.kind in kinds]
