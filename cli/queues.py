"""`wfctl queues`: what waits for step workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .connection import Connection


def queues(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[QUEUE]...", help="Queues to show besides those that a worker pulls.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what waits and runs in each queue of steps, and who pulls it."""
    from . import connection

    connection.run(context, lambda connected: show_queues(connected, names or []), is_json=json)


async def show_queues(connection: Connection, names: Sequence[str]) -> None:
    """Prints the state of queues; listens for workers for little more than a second."""
    from ..actors.names import check_token

    found = await connection.client.queues([check_token("queue", name) for name in names])
    if connection.out.is_json:
        for state in found:
            connection.out.json(state)
        return
    rows = [[s.queue, str(s.waiting), str(s.running), str(s.workers), str(s.concurrency)] for s in found]
    connection.out.table(["QUEUE", "WAITING", "RUNNING", "WORKERS", "SLOTS"], rows, empty="no queues")
