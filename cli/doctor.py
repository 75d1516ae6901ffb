"""`wfctl doctor`: looks at server, streams, consumers and workers, and says what is wrong and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .exits import FAILURE, Stopped
from .options import Json

if TYPE_CHECKING:
    from .connection import Connection


def doctor(
    context: typer.Context,
    modules: Annotated[
        list[str] | None,
        typer.Option("--module", "-m", metavar="MODULE", help="Check the queues of this code too; repeatable."),
    ] = None,
    monitor: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The server's monitoring address (http://host:8222), to read its sync setting."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check everything that an app needs. Exits 1 when something is wrong; warnings alone exit 0."""
    from . import connection

    queues: list[str] = []
    if modules:
        from ..client.modules import load

        queues = load(modules).queues

    async def work(connected: Connection) -> None:
        from . import checkup

        js = connection.jetstream_of(connected)
        findings = await checkup.examine(js, connected.app, connected.client, queues, modules or [], monitor)
        wrong = checkup.report(connected.out, findings)
        if wrong:
            raise Stopped(FAILURE)

    connection.run(context, work, is_json=json)
