"""`wfctl hooks`: who waits for one, and answering it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from . import arguments, render
from .closing import closing
from .options import Json, Run

if TYPE_CHECKING:
    from .connection import Connection

app = typer.Typer(no_args_is_help=True, help="See who waits for a hook, and send it.")


@app.command("list")
def list_(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="That run's hooks; of all runs if left out.")] = None,
    json: Json = False,
) -> None:
    """List hooks that runs wait for. Of all runs: from the index, which may be a second behind."""
    from . import connection

    connection.run(context, lambda connected: list_hooks(connected, run), is_json=json)


@app.command()
def send(
    context: typer.Context,
    run: Run,
    name: Annotated[str, typer.Argument(help="The hook's name.")],
    payload: Annotated[str, typer.Argument(help="""The payload as JSON: '{"ok": true}'.""")] = "null",
    early: Annotated[bool, typer.Option("--early", help="Before the run's start: the payload is kept for a day.")] = False,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Names this intent: a second hook with the same id is not applied again.")
    ] = None,
) -> None:
    """Send a hook to a run; it is durable when the command ends, and kept until the workflow waits for it."""
    from . import connection

    value = arguments.parse_value(payload, what="payload")
    connection.run(context, lambda connected: send_hook(connected, run, name, value, early=early, message_id=message_id))


async def list_hooks(connection: Connection, run: str | None) -> None:
    """Prints hooks that are waited for."""
    rows: list[tuple[str, str, str, str, int]] = []
    if run is not None:
        from .lookup import find_run

        key = await find_run(connection, run)
        status = await connection.client.get(key.workflow, key.run).status()
        rows = [(key.workflow, key.run, wait.name, wait.type, status.started_at_us) for wait in status.hooks_open]
    else:
        async with closing(connection.client.list()) as found:
            async for summary in found:
                if not summary.ended_at_us:
                    rows += [
                        (summary.workflow, summary.run_id, wait.name, wait.type, summary.started_at_us)
                        for wait in summary.hooks_open
                    ]
    if connection.out.is_json:
        for workflow, run_id, name, type_, started in rows:
            connection.out.json(
                {"workflow": workflow, "run": run_id, "hook": name, "type": type_, "run_started_at_us": started}
            )
        return
    shown = [[f"{workflow}/{run_id}", name, type_, render.instant(started)] for workflow, run_id, name, type_, started in rows]
    connection.out.table(["RUN", "HOOK", "TYPE", "RUN STARTED"], shown, empty="no hooks are waited for")


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
