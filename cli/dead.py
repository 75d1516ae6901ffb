"""`wfctl dead`: messages that could never be applied, with the reason and the original bytes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from . import render
from .closing import closing
from .exits import UsageProblem
from .options import Json

if TYPE_CHECKING:
    from ..actors.names import RunKey
    from ..streams.dead_letter import DeadLetter
    from .connection import Connection

app = typer.Typer(no_args_is_help=True, help="Look into dead letters.")

Workflow: TypeAlias = Annotated[str | None, typer.Option("--workflow", "-w", help="For runs of that workflow alone.")]


@app.command("list")
def list_(
    context: typer.Context,
    workflow: Workflow = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many, the newest; 0 for all.")] = 100,
    json: Json = False,
) -> None:
    """List dead letters, the newest at the end."""
    from . import connection

    connection.run(context, lambda connected: list_dead(connected, workflow, limit), is_json=json)


@app.command()
def show(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="RUN|SEQ", help="<workflow>/<run>, or the number that `dead list` shows.")
    ],
    json: Json = False,
) -> None:
    """Print dead letters whole: reason, subject, headers and the original body."""
    from . import connection
    from .arguments import parse_run

    if not what.isdigit() and "/" not in what:
        raise UsageProblem(f"{what!r} is neither <workflow>/<run> nor a number of `wfctl dead list`")
    wanted = int(what) if what.isdigit() else parse_run(what)
    connection.run(context, lambda connected: show_dead(connected, wanted), is_json=json)


async def list_dead(connection: Connection, workflow: str | None, limit: int) -> None:
    """Prints a line per dead letter, the last `limit`."""
    kept: deque[DeadLetter] = deque(maxlen=limit or None)
    async with closing(connection.client.dead(workflow=workflow)) as letters:
        async for letter in letters:
            if connection.out.is_json and not limit:
                connection.out.json(letter)
            else:
                kept.append(letter)
    if connection.out.is_json:
        for letter in kept:
            connection.out.json(letter)
        return
    rows = [
        [str(letter.seq), render.instant(letter.at_us), letter.code, letter.subject, letter.reason] for letter in kept
    ]
    connection.out.table(["SEQ", "AT", "CODE", "SUBJECT", "REASON"], rows, empty="no dead letters")


async def show_dead(connection: Connection, wanted: int | RunKey) -> None:
    """Prints the dead letters of a run, or those that had the number in the mailbox.

    Raises:
        UsageProblem: There are none.
    """
    by_run = {} if isinstance(wanted, int) else {"workflow": wanted.workflow, "run_id": wanted.run}
    count = 0
    async with closing(connection.client.dead(**by_run)) as letters:
        async for letter in letters:
            if isinstance(wanted, int) and letter.seq != wanted:
                continue
            count += 1
            if connection.out.is_json:
                connection.out.json(letter)
            else:
                _print(connection, letter)
    if not count:
        raise UsageProblem(f"no dead letter of {wanted} in app {connection.app.name!r}; `wfctl dead list` shows them")


def _print(connection: Connection, letter: DeadLetter) -> None:
    out = connection.out
    out.line(f"{letter.seq}  {render.instant(letter.at_us)}  {letter.code}", "bold")
    out.line(f"  subject: {render.safe(letter.subject)}")
    out.line(f"  reason:  {render.safe(letter.reason)}")
    for name, value in letter.headers.items():
        out.line(f"  header:  {render.safe(name)}: {render.safe(value)}")
    if letter.body is not None:
        out.line(f"  body:    {render.safe(letter.body)}")
    else:
        out.line(f"  body:    {len(letter.body_base64 or b'')} bytes that are no UTF-8; --json has them in base64")
