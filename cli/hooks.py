"""`wfctl hooks`: who waits for one, and answering it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from ..actors.names import RunKey
from . import arguments, render
from .closing import closing
from .options import Json, Run

if TYPE_CHECKING:
    from .connection import Connection

_READS_MAX: Final = 64

app = typer.Typer(no_args_is_help=True, help="See who waits for a hook, and send it.")


@app.command("list")
def list_(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="That run's hooks; of all runs if left out.")
    ] = None,
    json: Json = False,
) -> None:
    """List hooks that runs wait for. Of all runs: a run younger than a second may be missing."""
    from . import connection

    if run is not None:
        arguments.check_run(run)
    connection.run(context, lambda connected: list_hooks(connected, run), is_json=json)


@app.command()
def send(
    context: typer.Context,
    run: Run,
    name: Annotated[str, typer.Argument(help="The hook's name.")],
    payload: Annotated[str, typer.Argument(help="""The payload as JSON: '{"ok": true}'.""")] = "null",
    early: Annotated[
        bool, typer.Option("--early", help="Before the run's start: the payload is kept for a day.")
    ] = False,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Names this intent: a second hook with the same id is not applied again.")
    ] = None,
) -> None:
    """Send a hook to a run; it is durable when the command ends, and kept until the workflow waits for it."""
    from ..actors.names import check_token
    from . import connection

    arguments.check_run(run)
    check_token("hook name", name)
    value = arguments.parse_value(payload, what="payload")
    connection.run(
        context, lambda connected: send_hook(connected, run, name, value, early=early, message_id=message_id)
    )


async def list_hooks(connection: Connection, run: str | None) -> None:
    """Prints hooks that are waited for."""
    rows: list[tuple[str, str, str, str, int]] = []
    if run is not None:
        from .lookup import find_run

        rows = await _waits_of(connection, [await find_run(connection, run)])
    else:
        keys: list[RunKey] = []
        async with closing(connection.client.list()) as found:
            async for summary in found:
                if not summary.ended_at_us:
                    keys.append(RunKey(summary.workflow, summary.run_id))
                if len(keys) == _READS_MAX:
                    rows += await _waits_of(connection, keys)
                    keys.clear()
        rows += await _waits_of(connection, keys)
    if connection.out.is_json:
        for workflow, run_id, name, type_, started in rows:
            connection.out.json(
                {"workflow": workflow, "run": run_id, "hook": name, "type": type_, "run_started_at_us": started}
            )
        return
    shown = [
        [f"{workflow}/{run_id}", name, type_, render.instant(started)]
        for workflow, run_id, name, type_, started in rows
    ]
    connection.out.table(["RUN", "HOOK", "TYPE", "RUN STARTED"], shown, empty="no hooks are waited for")


async def _waits_of(connection: Connection, keys: Sequence[RunKey]) -> list[tuple[str, str, str, str, int]]:
    """Reads what runs wait for from their last records: the index tells which runs there are, not how they stand."""
    from ..client.reader import Reader

    reader = Reader(connection.broker, connection.app)
    records = await asyncio.gather(*(reader.last(key) for key in keys))
    return [
        (key.workflow, key.run, wait.name, wait.type, record.summary.started_at_us)
        for key, record in zip(keys, records, strict=True)
        if record is not None
        for wait in record.summary.hooks_open
    ]


async def send_hook(
    connection: Connection, run: str, name: str, payload: msgspec.Raw, *, early: bool, message_id: str | None
) -> None:
    """Sends a hook and prints the id of the message.

    Raises:
        RunNotFound: There is no such run; with `early` it may be still to come.
        RunEnded: It has ended.
    """
    from .lookup import find_run

    key = await find_run(connection, run)
    sent = await connection.client.get(key.workflow, key.run).hook(name, payload, id=message_id, before_start=early)
    connection.out.line(f"hook {name}: sent to {key}, id {render.safe(sent)}")
