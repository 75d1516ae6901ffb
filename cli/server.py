"""`wfctl server`: the embedded server in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .output import Output

if TYPE_CHECKING:
    from ..client.configuration_keys import Value

Port: TypeAlias = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one; 4222 by default.")
]
Store: TypeAlias = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Directory for streams, logs and the server's lock; `.jetrun` by default."),
]
SyncAlways: TypeAlias = Annotated[
    bool | None,
    typer.Option("--sync-always/--no-sync-always", help="Acknowledge a write only when it is on disk; off by default."),
]


def given_of(port: int | None, store: Path | None, sync_always: bool | None) -> dict[str, Value | None]:
    """Returns the options of an embedded server by their keys."""
    return {"port": port, "store": None if store is None else str(store), "sync_always": sync_always}


def server(context: typer.Context, port: Port = None, store: Store = None, sync_always: SyncAlways = None) -> None:
    """Run a nats-server with JetStream on this machine, for development and single nodes."""
    from ..client.settings import ServerSettings
    from . import connection

    configured = ServerSettings.of(connection.configuration_of(context, given_of(port, store, sync_always)))
    serve(configured.port, configured.store, sync_always=configured.sync_always)


def serve(port: int, store: Path, *, sync_always: bool) -> None:
    """Runs the server until told to end.

    Raises:
        StoreInUse: Another process serves the store.
        ServerLost: The server has ended by itself.
    """
    from ..actors.errors import ServerLost, StoreInUse
    from ..streams.server import EmbeddedServer
    from . import waiting

    with EmbeddedServer.start(store, port=port, sync_always=sync_always) as running:
        if not running.is_owner:
            raise StoreInUse(
                f"store {str(store)!r} is served at {running.url} by another process already; use that, or another --store"
            )
        out = Output()
        out.line(f"server: {running.url}, store {store.absolute()}")
        out.line(durability(sync_always=sync_always))
        out.line("ready: server " + running.url)
        words = waiting.until_stopped(running.wait_closed)
        if words is not None:
            raise ServerLost(f"nats-server at {running.url} has ended: {words or 'it said nothing'}")


def durability(*, sync_always: bool) -> str:
    """Says in one line what an acknowledged write survives."""
    if sync_always:
        return "durability: every write is on disk before it is acknowledged"
    return (
        "durability: writes are acknowledged in the page cache: a killed process loses nothing, a power failure may lose "
        "up to two minutes; --sync-always changes that"
    )
