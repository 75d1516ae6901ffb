"""Runs that a step starts: it reads a file too long for a log, starts a run for each line, and waits for their ends.

A step has no workflow around it, so it starts runs as any program does, by a client. Their ids are made of the step's
idempotency key: an attempt that comes after a lost one finds the runs which that one has started. They are no children:
none of them ends because this run does.

Try it:
    wfctl dev -m tests.examples.inspections
    echo lift stairs roof > /tmp/sites.txt
    wfctl start inspect_all '"/tmp/sites.txt"' --run-id i-1 --wait
    wfctl runs list --workflow inspection
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from jetrun.actors import attempt, step, workflow
from jetrun.client import Client


@step
async def visit(site: str) -> str:
    """Stands for somebody who goes there."""
    return f"{site} is safe"


@workflow
async def inspection(site: str) -> str:
    return await visit(site)


@step(max_retries=3, retry_delay="100ms", timeout="10m")
async def start_inspections(file: str) -> list[str]:
    """Its client finds the server and app of the worker that runs it. Its line goes down once, when all is started."""
    prefix = attempt().idempotency_key.replace("/", "-")
    sites = Path(file).read_text("utf-8").split()
    async with await Client.connect() as client:
        runs = [await client.start(inspection.call(site), run_id=f"{prefix}-{site}") for site in sites]
        if attempt().number == 1:
            raise ConnectionResetError("the line went down")
        return await asyncio.gather(*(run.result() for run in runs))


@workflow
async def inspect_all(file: str) -> list[str]:
    """The names of the sites never come by here; a list of some hundred would be better off as children."""
    return await start_inspections(file)
