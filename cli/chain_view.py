"""The chain of a run that has continued as new, as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..actors.errors import RunNotFound
from ..client.reader import Reader
from . import render
from .lookup import find_run

if TYPE_CHECKING:
    from .connection import Connection


async def list_chain(connection: Connection, text: str) -> None:
    """Prints a line per link.

    Raises:
        RunNotFound: There is no such run.
    """
    key = await find_run(connection, text)
    links = await Reader(connection.broker, connection.app).links(key)
    if not links:
        raise RunNotFound(*key, f"no run {key} in app {connection.app.name!r}; start it, or check workflow, id and app")
    for link in links:
        if connection.out.is_json:
            connection.out.json({"workflow": key.workflow, **msgspec.structs.asdict(link)})
            continue
        took = f" took {render.span(link.ended_at_us - link.started_at_us)}" if link.ended_at_us else ""
        name = f"{key.workflow}/{link.run_id}"
        started = render.instant(link.started_at_us)
        connection.out.line(f"{name}  {link.status:<10} {started}  {link.records} records{took}")
