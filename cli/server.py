"""`wfctl server`: the embedded server in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from .output import Output

Port: TypeAlias = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")]
Store: TypeAlias = Annotated[
    Path, typer.Option(file_okay=False, help="Directory for streams, logs and the server's lock.")
]
SyncAlways: TypeAlias = Annotated[
    bool, typer.Option("--sync-always", help="Acknowledge a write only when it is on disk.")
]

DEFAULT_PORT = 4222
DEFAULT_STORE = Path(".jetrun")


def server(port: Port = DEFAULT_PORT, store: Store = DEFAULT_STORE, sync_always: SyncAlways = False) -> None:
    """Run a nats-server with JetStream on this machine, for development and single nodes."""
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
