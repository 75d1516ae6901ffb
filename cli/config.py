"""`wfctl config`: what this program is told by arguments, environment and file, and which of them said it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .code import listed
from .options import Json, LogFormat, LogLevel, Modules
from .server import Port, Store, SyncAlways, given_of
from .worker import Concurrency, Queues

if TYPE_CHECKING:
    from ..client.configuration import Configuration
    from ..client.configuration_keys import Value
    from .output import Output

app = typer.Typer(no_args_is_help=True, help="Look into the configuration.")


@app.command()
def show(
    context: typer.Context,
    modules: Modules = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    port: Port = None,
    store: Store = None,
    sync_always: SyncAlways = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    json: Json = False,
) -> None:
    """Print every key, its value and where the value comes from; secrets are masked. Asks no server.

    The options are those of other commands, to see what they would change.
    """
    from . import connection
    from .output import Output

    given = {
        "modules": listed(modules),
        "queues": listed(queues),
        "concurrency": concurrency,
        "log_format": log_format,
        "log_level": log_level,
        **given_of(port, store, sync_always),
    }
    print_configuration(Output(is_json=json), connection.configuration_of(context, given))


@app.command()
def keys(json: Json = False) -> None:
    """Print every key with its variable, its option, its default and what it means."""
    from ..client.configuration_keys import KEYS
    from .output import Output

    out = Output(is_json=json)
    if json:
        for key in KEYS:
            out.json(
                {
                    "key": key.name,
                    "variable": key.variable,
                    "option": key.option,
                    "default": key.default,
                    "about": key.about,
                }
            )
        return
    rows = [[key.name, key.variable or "-", key.option or "-", _text(key.default), key.about] for key in KEYS]
    out.table(["KEY", "VARIABLE", "OPTION", "DEFAULT", "ABOUT"], rows, empty="no keys")


def print_configuration(out: Output, configuration: Configuration) -> None:
    """Prints a line for each key; as text also which file was read."""
    if out.is_json:
        for entry in configuration.entries:
            out.json({"key": entry.key.name, "value": entry.shown, "source": entry.source, "where": entry.where})
        return
    rows = [[entry.key.name, _text(entry.shown), entry.where or entry.source] for entry in configuration.entries]
    out.table(["KEY", "VALUE", "FROM"], rows, empty="no keys")
    out.line(f"file: {configuration.path or 'none (no jetrun.toml, no [tool.jetrun] here or above)'}", "dim")


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "-"
    return str(value) if value != "" else "-"
