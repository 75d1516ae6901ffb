"""`wfctl workers`: who works for an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from . import render
from .options import Json

if TYPE_CHECKING:
    from ..client.fleet import Worker
    from .connection import Connection


def workers(context: typer.Context, json: Json = False) -> None:
    """Show the workers that are there; listens for little more than a second."""
    from . import connection

    connection.run(context, show_workers, is_json=json)


async def show_workers(connection: Connection) -> None:
    """Prints each live worker and what it has."""
    found = await connection.client.workers()
    if connection.out.is_json:
        for worker in found:
            connection.out.json(worker)
        return
    now_us = connection.broker.now_us()
    rows = [
        [
            worker.worker,
            worker.kind,
            worker.host,
            str(worker.pid),
            render.span(max(0, now_us - worker.started_at_us)),
            load_of(worker),
        ]
        for worker in found
    ]
    connection.out.table(["WORKER", "KIND", "HOST", "PID", "UP", "HAS"], rows, empty="no workers")


def load_of(worker: Worker) -> str:
    """Says in a few words what a worker has in hand."""
    if worker.kind == "actors":
        return f"{len(worker.partitions)} partitions, {worker.runs} runs cached"
    return ", ".join(f"{queue} {load.running}/{load.concurrency}" for queue, load in sorted(worker.queues.items()))
