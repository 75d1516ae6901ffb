"""`wfctl query`: asks a run's own code something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..actors.limits import QUERY_PATIENCE_S
from . import arguments
from .options import Run

if TYPE_CHECKING:
    from ..actors.query import QueryCall
    from .connection import Connection


def query(
    context: typer.Context,
    run: Run,
    name: Annotated[str, typer.Argument(help="The query's name.")],
    args: Annotated[
        str | None,
        typer.Argument(metavar="[ARGS]", help="Arguments as JSON: an array, or an object of named ones."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds within which a worker has to answer.")] = QUERY_PATIENCE_S,
) -> None:
    """Ask a run's code and print its answer as JSON; nothing of the run changes, and one that has ended answers, too."""
    from ..actors.names import check_token
    from ..actors.query import QueryCall
    from . import connection

    arguments.check_run(run)
    call = QueryCall[bytes](check_token("query name", name), arguments.parse_packed(args), msgspec.Raw)
    connection.run(context, lambda connected: ask_run(connected, run, call, timeout))


async def ask_run(connection: Connection, run: str, call: QueryCall[bytes], timeout_s: float) -> None:
    """Prints what a run answers.

    Raises:
        QueryFailed: It does not.
        RunNotFound: There is no such run.
    """
    from . import render
    from .lookup import find_run

    key = await find_run(connection, run)
    answer = await connection.client.get(key.workflow, key.run).query(call, timeout=timeout_s)
    connection.out.line(render.safe_json(bytes(answer)))
