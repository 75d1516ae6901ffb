"""`wfctl dev`: all that an app needs on one machine, for development."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import typer

from .exits import SERVER_LOST, Stopped
from .options import LogFormat, LogLevel, Modules, globals_of
from .output import Output, complain
from .server import DEFAULT_PORT, DEFAULT_STORE, Port, Store, SyncAlways, durability
from .worker import CONCURRENCY, Concurrency, child_argv

if TYPE_CHECKING:
    from ..streams.server import EmbeddedServer

SILENCE_MAX_S: Final = 15.0


def dev(
    context: typer.Context,
    modules: Modules,
    port: Port = DEFAULT_PORT,
    store: Store = DEFAULT_STORE,
    sync_always: SyncAlways = False,
    concurrency: Concurrency = CONCURRENCY,
    log_format: LogFormat = None,
    log_level: LogLevel = "info",
) -> None:
    """Run an embedded server, an actor worker and a step worker; joins a server that already runs on the store.

    After a change of code stop it with Ctrl-C and start it again: runs go on where they were.
    """
    from ..streams.server import EmbeddedServer
    from ..streams.subjects import App
    from ..streams.supervisor import Policy, crash_note, supervise
    from . import connection

    settings = connection.settings_of(context)
    App(settings.app)
    if globals_of(context).url is not None:
        complain("note: `wfctl dev` runs a server of its own; --url is for `wfctl worker` and the others")
    with EmbeddedServer.start(store, port=port, sync_always=sync_always) as server:
        out = Output()
        joined = "" if server.is_owner else " (joined: another process runs it)"
        out.line(f"server: {server.url}, store {store.absolute()}{joined}")
        out.line(durability(sync_always=sync_always))
        out.line(
            "accounts: one for all; whoever reaches the port may do everything, so it listens on this machine alone"
        )
        elsewhere = "" if server.url == connection.DEFAULT_URL else f" --url {server.url}"
        elsewhere += "" if settings.app == "default" else f" --app {settings.app}"
        out.line(f"""start a run:  wfctl start WORKFLOW '"argument as JSON"' --run-id ID{elsewhere}""")
        out.line(f"watch it:     wfctl tail WORKFLOW/ID{elsewhere}")
        flags = [flag for module in modules for flag in ("-m", module)]
        flags += ["--concurrency", str(concurrency), "--log-level", log_level]
        flags += ["--log-format", log_format] if log_format is not None else []
        argv = child_argv(["--url", server.url, "--app", settings.app, "worker", "all", *flags])
        watch = _ServerWatch(server)
        with crash_note(f"dev-{settings.app}", store.absolute()) as note_path:
            code = supervise(argv, Policy(what="dev worker", note_path=note_path, silence_max_s=SILENCE_MAX_S))
        watch.end()
        if watch.last_words is not None:
            complain(f"error: nats-server at {server.url} has ended: {watch.last_words or 'it said nothing'}")
            code = SERVER_LOST
    if code:
        raise Stopped(code)


class _ServerWatch:
    """Ends the supervision when the server ends: workers would wait for it to come back for ever."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.last_words: str | None = None
        self._server = server
        self._is_over = False
        threading.Thread(target=self._watch, name="jetrun-server-watch", daemon=True).start()

    def end(self) -> None:
        """Says that the server is about to be stopped on purpose."""
        self._is_over = True

    def _watch(self) -> None:
        import asyncio

        words = asyncio.run(self._server.wait_closed())
        if not self._is_over:
            self.last_words = words
            os.kill(os.getpid(), signal.SIGTERM)
