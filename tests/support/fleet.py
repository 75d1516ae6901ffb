"""A fleet for tests: an app of its own on a server, with an actor worker and a step worker as processes of their own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Generator, Sequence
from typing import NamedTuple

import anyio

from jetrun.streams.subjects import App
from support.nats import delete_streams
from support.processes import Child, Processes


class Fleet(NamedTuple):
    """Where the app runs, and what runs it."""

    url: str
    app: App
    actors: Child
    steps: Child


@contextlib.contextmanager
def running_fleet(url: str, modules: Sequence[str]) -> Generator[Fleet]:
    """Provisions an app for the modules and serves it until the end of the block, as an operator would with `wfctl`."""
    app = App(f"t{secrets.token_hex(5)}")
    where = ("--url", url, "--app", app.name, *(part for module in modules for part in ("-m", module)))

    async def begin(processes: Processes) -> Fleet:
        provision = processes.start_wfctl("provision", *where)
        assert await provision.wait_ended() == 0, provision.output
        actors = processes.start_wfctl("worker", "actors", *where)
        steps = processes.start_wfctl("worker", "steps", *where)
        for worker in (actors, steps):
            await worker.wait_line("^ready: ")
        return Fleet(url, app, actors, steps)

    with Processes() as processes:
        try:
            yield anyio.run(begin, processes)
        finally:
            print(*(child.output for child in processes.children), sep="\n")  # pytest shows it when a test has failed
            anyio.run(delete_streams, url, app)
