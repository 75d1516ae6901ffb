"""`wfctl doctor`: looks at server, streams, consumers and workers, and says what is wrong and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .code import listed, load_code
from .exits import FAILURE, Stopped
from .options import Json, Modules

if TYPE_CHECKING:
    from .connection import Connection


def doctor(
    context: typer.Context,
    modules: Modules = None,
    monitor: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The server's monitoring address (http://host:8222), to read its sync setting."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check everything that an app needs, the queues of its code too. Exits 1 when something is wrong; warnings alone exit 0."""
    from ..client.settings import Settings, WorkerSettings
    from . import connection

    configuration = connection.configuration_of(context, {"modules": listed(modules)})
    worker = WorkerSettings.of(configuration)
    queues = list(worker.queues)
    if worker.modules:
        queues = sorted({*queues, *load_code(worker).queues})

    async def work(connected: Connection) -> None:
        from . import checkup

        js = connection.jetstream_of(connected)
        findings = await checkup.examine(js, connected.app, connected.client, queues, worker.modules, monitor)
        wrong = checkup.report(connected.out, findings)
        if wrong:
            raise Stopped(FAILURE)

    connection.run(context, work, is_json=json, settings=Settings.of(configuration))
