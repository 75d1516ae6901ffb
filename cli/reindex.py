"""`wfctl reindex`: rebuilds the index of runs from their logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from .connection import Connection


def reindex(context: typer.Context) -> None:
    """Rebuild the index that lists read. It is a cache: nothing else depends on it; safe beside running workers."""
    from . import connection

    connection.run(context, rebuild_index)


async def rebuild_index(connection: Connection) -> None:
    """Rebuilds the index and says what was written and removed."""
    from ..streams.reindex import reindex as rebuild

    out = connection.out
    done = await rebuild(connection.broker, connection.app, lambda count: out.status(f"{count} runs read"))
    out.line(
        f"reindexed: {done.written} runs written, {done.removed} entries removed, {done.unreadable} logs unreadable"
    )
