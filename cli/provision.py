"""`wfctl provision`: makes an app's streams and consumers from its code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .code import listed, load_code
from .exits import UsageProblem
from .options import Modules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..streams.jetstream import JetStream
    from .connection import Connection


def provision(
    context: typer.Context,
    modules: Modules = None,
    queues: Annotated[list[str] | None, typer.Option("--queue", "-q", help="A queue besides; repeatable.")] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop-queue", help="Remove an empty queue; repeatable.")] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="By default what is there, or 16.")] = None,
    replicas: Annotated[int | None, typer.Option(min=1, max=5, help="By default what is there, or 1.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what differs and change nothing.")] = False,
) -> None:
    """Make or mend streams and consumers; safe to repeat. What would lose or strand messages is refused."""
    from ..client.settings import Settings, WorkerSettings
    from . import connection

    configuration = connection.configuration_of(context, {"modules": listed(modules), "queues": listed(queues)})
    worker = WorkerSettings.of(configuration)
    if not worker.modules and not worker.queues and not drop and not dry_run:
        raise UsageProblem("give the app's modules with -m or in jetrun.toml, or its queues with --queue")
    wanted, workflows = list(worker.queues), list[str]()
    if worker.modules:
        registry = load_code(worker)
        wanted += registry.queues
        workflows += registry.workflows

    async def work(connected: Connection) -> None:
        js = connection.jetstream_of(connected)
        if dry_run:
            await show_differences(connected, js, wanted)
            return
        from ..streams.provision import provision as make

        changes = await make(
            js,
            connected.app,
            queues=wanted,
            partitions=partitions,
            replicas=replicas,
            dropped_queues=drop or [],
            workflows=workflows,
        )
        for change in changes:
            detail = f": {change.detail}" if change.detail else ""
            connected.out.line(f"{change.kind} {change.what} {change.name}{detail}")
        connected.out.line(f"app {connected.app.name} is provisioned, {len(changes)} changes")

    connection.run(context, work, settings=Settings.of(configuration))


async def show_differences(connected: Connection, js: JetStream, queues: Sequence[str]) -> None:
    """Prints what provisioning would make or mend."""
    from ..streams.provision import verify

    differences = await verify(js, connected.app, queues)
    for difference in differences:
        connected.out.line(f"{difference.what} {difference.name}: {difference.detail}")
    connected.out.line(f"app {connected.app.name}: {len(differences)} differences, nothing was changed")
