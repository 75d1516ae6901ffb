"""`wfctl tail`: events from the beginning, without gap into live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .arguments import check_run
from .closing import closing
from .events import EventLines
from .notes import shown_progress
from .options import Json

if TYPE_CHECKING:
    from ..actors.names import RunKey
    from .connection import Connection


def tail(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="[WHAT]",
            show_default=False,
            help="A run (`order/o-1`, or `o-1` where unambiguous), a workflow (`order`, or `order/`); everything if left out.",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Show what happens, from the first event on; ends when a single run ends, else on Ctrl-C."""
    from . import connection

    if what and not what.endswith(("/", "/*")):
        check_run(what)
    connection.run(context, lambda connected: follow(connected, what), is_json=json)


async def follow(connection: Connection, what: str) -> None:
    """Prints the events of what was named.

    Raises:
        InvalidName, UsageProblem: It names nothing that can be, or two things.
        RunNotFound: A bare name that nothing has yet.
    """
    from ..actors.names import check_token
    from .lookup import find_run_or_workflow

    name, slash, rest = what.partition("/")
    if not what:
        await _follow_many(connection, None)
    elif slash and rest in ("", "*"):
        await _follow_many(connection, check_token("workflow", name))
    else:
        found = await find_run_or_workflow(connection, what)
        await (_follow_many(connection, found) if isinstance(found, str) else follow_run(connection, found))


async def follow_run(connection: Connection, key: RunKey) -> None:
    """Prints one run's events until its end; waits for the first one where nobody has started it."""
    from ..client.reader import Reader

    reader = Reader(connection.broker, connection.app)
    lines = EventLines(connection.out, with_run=False)
    async with shown_progress(connection, key, lines):
        if await reader.last(key) is None:
            output.complain(f"{key} has no record yet: waiting for it to begin")
        async with closing(reader.tail(key)) as tailed:
            async for event in tailed:
                lines.show(key, event)


async def _follow_many(connection: Connection, workflow: str | None) -> None:
    from ..actors.names import RunKey

    lines = EventLines(connection.out, with_run=True)
    noted = RunKey(workflow or "*", "*")
    async with shown_progress(connection, noted, lines), closing(connection.client.tail(workflow=workflow)) as tailed:
        async for found in tailed:
            lines.show(RunKey(found.workflow, found.run_id), found.event)
