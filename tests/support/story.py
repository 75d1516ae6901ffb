"""What tests read in a run's log."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing, suppress
from typing import Any

import anyio

from jetrun.client import Client, Event, RunHandle, RunNotFound

WAIT_S = 20.0


def scheduled(events: Iterable[Event]) -> list[str]:
    """Names the steps in the order in which they were asked for."""
    return [event.data["name"] for event in events if event.kind == "step.scheduled"]


def kinds(events: Iterable[Event]) -> list[str]:
    """Lists what kinds of events there were, in order."""
    return [event.kind for event in events]


async def wait_event(run: RunHandle[Any], kind: str, name: str = "") -> Event:
    """Waits for the first event of that kind, and of that step or hook where a name is given."""
    with anyio.fail_after(WAIT_S):
        async with aclosing(run.tail()) as events:
            async for event in events:
                if event.kind == kind and name in ("", event.data.get("name")):
                    return event
    raise AssertionError(f"{run} has ended without {kind} {name}")


async def wait_run_events(client: Client, workflow: str, run: str, kind: str, count: int = 1) -> Event:
    """Waits for so many events of that kind of a run that may be still to come; returns the last one."""
    with anyio.fail_after(WAIT_S):
        async with aclosing(client.tail(workflow=workflow)) as events:
            async for found in events:
                count -= found.run_id == run and found.event.kind == kind
                if not count:
                    return found.event
    raise AssertionError(f"the tail of {workflow} has ended without {kind} of {run}")


async def wait_status(client: Client, run: str, status: str) -> None:
    """Waits until a run, which may not be there yet, has that status."""
    handle = client.get(run)
    with anyio.fail_after(WAIT_S):
        while True:
            with suppress(RunNotFound):
                if (await handle.status()).status == status:
                    return
            await anyio.sleep(0.02)
