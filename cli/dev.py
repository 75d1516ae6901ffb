"""`wfctl dev`: all that an app needs on one machine, for development."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import typer

from .code import check_named, listed
from .exits import SERVER_LOST, Stopped
from .options import LogFormat, LogLevel, Modules, globals_of
from .output import Output, complain
from .server import Port, Store, SyncAlways, durability, given_of
from .worker import Concurrency, child_argv

if TYPE_CHECKING:
    from ..client.configuration_keys import Value
    from ..streams.server import EmbeddedServer

SILENCE_MAX_S: Final = 15.0


def dev(
    context: typer.Context,
    modules: Modules = None,
    port: Port = None,
    store: Store = None,
    sync_always: SyncAlways = None,
    concurrency: Concurrency = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Run an embedded server, an actor worker and a step worker; joins a server that already runs on the store.

    After a change of code stop it with Ctrl-C and start it again: runs go on where they were.
    """
    from ..client.settings import ServerSettings, Settings, WorkerSettings
    from ..streams.server import EmbeddedServer
    from ..streams.supervisor import Policy, crash_note, supervise
    from . import connection

    given: dict[str, Value | None] = {
        "modules": listed(modules),
        "concurrency": concurrency,
        "log_format": log_format,
        "log_level": log_level,
        **given_of(port, store, sync_always),
    }
    configuration = connection.configuration_of(context, given)
    settings, worker = Settings.of(configuration), WorkerSettings.of(configuration)
    configured = ServerSettings.of(configuration)
    check_named(worker)
    if globals_of(context).url is not None:
        complain("note: `wfctl dev` runs a server of its own; --url is for `wfctl worker` and the others")
    with EmbeddedServer.start(configured.store, port=configured.port, sync_always=configured.sync_always) as server:
        out = Output()
        joined = "" if server.is_owner else " (joined: another process runs it)"
        out.line(f"server: {server.url}, store {configured.store.absolute()}{joined}")
        out.line(durability(sync_always=configured.sync_always))
        out.line(
            "accounts: one for all; whoever reaches the port may do everything, so it listens on this machine alone"
        )
        elsewhere = _elsewhere(server.url, settings.app)
        out.line(f"""start a run:  wfctl start WORKFLOW '"argument as JSON"' --run-id ID{elsewhere}""")
        out.line(f"watch it:     wfctl tail WORKFLOW/ID{elsewhere}")
        # What was not given is read by the worker itself, as here: modules of a file are looked for beside it.
        flags = [flag for module in modules or [] for flag in ("-m", module)]
        flags += ["--concurrency", str(worker.concurrency), "--log-level", worker.log_level]
        flags += ["--log-format", worker.log_format] if worker.log_format else []
        argv = child_argv(["--url", server.url, "--app", settings.app, "worker", "all", *flags])
        watch = _ServerWatch(server)
        with crash_note(f"dev-{settings.app}", configured.store.absolute()) as note_path:
            code = supervise(argv, Policy(what="dev worker", note_path=note_path, silence_max_s=SILENCE_MAX_S))
        watch.end()
        if watch.last_words is not None:
            complain(f"error: nats-server at {server.url} has ended: {watch.last_words or 'it said nothing'}")
            code = SERVER_LOST
    if code:
        raise Stopped(code)


def _elsewhere(url: str, app: str) -> str:
    """Returns the options that another terminal needs, where the same environment and file are read, to mean this app."""
    from ..client.configuration import Configuration

    plain = Configuration.read()
    options = "" if plain.text("url") == url else f" --url {url}"
    return options + ("" if plain.text("app") == app else f" --app {app}")


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
