"""`wfctl update`: has a run apply something, and prints what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from . import arguments
from .exits import FAILURE, Stopped
from .options import Run
from .output import complain

if TYPE_CHECKING:
    from ..actors.update import UpdateCall
    from .connection import Connection


def update(
    context: typer.Context,
    run: Run,
    name: Annotated[str, typer.Argument(help="The update's name.")],
    args: Annotated[
        str | None,
        typer.Argument(metavar="[ARGS]", help="Arguments as JSON: an array, or an object of named ones."),
    ] = None,
    message_id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Names this intent: the same id again is not applied again, and has the same answer."
        ),
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for the answer.")] = None,
) -> None:
    """Have a run apply an update, once, and print its answer as JSON."""
    from ..actors.names import check_token
    from ..actors.update import UpdateCall
    from . import connection

    arguments.check_run(run)
    call = UpdateCall[bytes](check_token("update name", name), arguments.parse_packed(args), msgspec.Raw)
    connection.run(context, lambda connected: update_run(connected, run, call, message_id, timeout))


async def update_run(
    connection: Connection, run: str, call: UpdateCall[bytes], message_id: str | None, timeout_s: float | None
) -> None:
    """Prints what an update came to.

    Raises:
        UpdateRefused, UpdateFailed, RunEnded: As `RunHandle.update` says.
        RunNotFound: There is no such run.
        Stopped: There was no answer in time; everything is said.
    """
    from . import render
    from .lookup import find_run

    key = await find_run(connection, run)
    try:
        answer = await connection.client.get(key.workflow, key.run).update(call, id=message_id, timeout=timeout_s)
    except TimeoutError as error:
        complain(f"error: {error}")
        raise Stopped(FAILURE) from error
    connection.out.line(render.safe_json(bytes(answer)))
