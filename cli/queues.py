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
        list[str] | None, typer.Argument(metavar="[QUEUE]...", help="Queues to show; all if left out.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what waits and runs in each queue of steps, and who pulls it."""
    from . import connection

    async def work(connected: Connection) -> None:
        from ..streams.inventory import take_inventory

        inventory = await take_inventory(connection.jetstream_of(connected), connected.app)
        there = [name.removeprefix("queue_") for name in inventory.consumers.get(connected.app.work, {})]
        await show_queues(connected, names or there, only=bool(names))

    connection.run(context, work, is_json=json)


async def show_queues(connection: Connection, names: Sequence[str], *, only: bool) -> None:
    """Prints the state of queues; listens for workers for little more than a second.

    Args:
        only: Leaves out queues that live workers pull and that were not named.
    """
    from ..actors.errors import NotProvisioned
    from ..actors.names import check_token

    found = await connection.client.queues([check_token("queue", name) for name in names])
    if only:
        missing = set(names) - {state.queue for state in found}
        if missing:
            raise NotProvisioned(
                f"no queue {min(missing)!r} in app {connection.app.name!r}; `wfctl provision` makes it from the code"
            )
        found = [state for state in found if state.queue in names]
    if connection.out.is_json:
        for state in found:
            connection.out.json(state)
        return
    rows = [[s.queue, str(s.waiting), str(s.running), str(s.workers), str(s.concurrency)] for s in found]
    connection.out.table(["QUEUE", "WAITING", "RUNNING", "WORKERS", "SLOTS"], rows, empty="no queues")
