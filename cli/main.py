"""The command `wfctl`: its commands, its global options, and how it ends.

Commands live in one file per noun and import what they need when they run: `wfctl --help` must not wait for a broker
client to load.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..actors.errors import JetrunError
from . import (
    config,
    dead,
    demo,
    dev,
    doctor,
    exits,
    graph,
    hooks,
    init,
    output,
    provision,
    query,
    queues,
    reindex,
    replay,
    runs,
    schedules,
    server,
    start,
    tail,
    update,
    worker,
    workers,
    workflows,
)
from .options import Globals

if TYPE_CHECKING:
    from ..streams.lifeline import Lifeline

_GLOBAL_OPTIONS: Final = ("--url", "--app")

app = typer.Typer(
    name="wfctl",
    help="Durable workflows on NATS JetStream: run them, start them, watch them.",
    epilog="--url and --app are accepted anywhere on the line. Exit codes: 0 done, 1 failure, 2 usage, 70 server lost, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

app.command()(demo.demo)
app.command()(init.init)
app.command()(dev.dev)
app.command()(server.server)
app.command()(provision.provision)
app.add_typer(worker.app, name="worker")
app.add_typer(workflows.app, name="workflows")
app.command()(start.start)
app.command()(tail.tail)
app.add_typer(runs.app, name="runs")
app.add_typer(hooks.app, name="hooks")
app.command()(query.query)
app.command()(update.update)
app.add_typer(schedules.app, name="schedules")
app.add_typer(graph.app, name="graph")
app.command()(queues.queues)
app.command()(workers.workers)
app.add_typer(dead.app, name="dead")
app.command()(doctor.doctor)
app.command()(reindex.reindex)
app.command()(replay.replay)
app.add_typer(config.app, name="config")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        print(f"wfctl {version('jetrun')}")
        raise typer.Exit


@app.callback()
def _read_globals(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(help="Server's address; else JETRUN_URL, else `url` in jetrun.toml, else nats://127.0.0.1:4222."),
    ] = None,
    app_name: Annotated[
        str | None, typer.Option("--app", help="The app; else JETRUN_APP, else `app` in jetrun.toml, else `default`.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = Globals(url=url, app=app_name, lifeline=context.obj)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code. What was foreseen is one line; what was not is raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal cannot show is escaped, and never an error
            stream.reconfigure(errors="backslashreplace")
    try:
        app(hoist_globals(sys.argv[1:] if argv is None else argv), prog_name="wfctl", obj=_adopt_lifeline())
    except SystemExit as end:
        return _exit_code(end)
    except BaseException as error:  # noqa: BLE001  # what is not foreseen is raised again
        return _end_with(exits.unwrap(error))
    return exits.DONE


def hoist_globals(argv: Sequence[str]) -> list[str]:
    """Moves the global options to the front, where the parser wants them; what follows `--` stays as it is."""
    front: list[str] = []
    rest: list[str] = []
    index = 0
    while index < len(argv):
        word = argv[index]
        if word == "--":
            rest.extend(argv[index:])
            break
        if word in _GLOBAL_OPTIONS:
            front.extend(argv[index : index + 2])
            index += 2
            continue
        (front if word.startswith(tuple(f"{option}=" for option in _GLOBAL_OPTIONS)) else rest).append(word)
        index += 1
    return front + rest


def _adopt_lifeline() -> Lifeline | None:
    """Ties this process to the wfctl that started it, where one did; every command is tied, whatever it does."""
    if "JETRUN_LIFELINE" not in os.environ:
        return None
    from ..streams.lifeline import Lifeline

    return Lifeline.adopt()


def _exit_code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or exits.DONE
    output.complain(str(end.code))
    return exits.FAILURE


def _end_with(error: BaseException) -> int:
    match error:
        case exits.Stopped():
            return error.code
        case JetrunError():
            output.complain(f"error: {exits.first_line(error)}")
            return exits.code_of(error)
        case KeyboardInterrupt():
            return exits.INTERRUPTED
        case BrokenPipeError():
            exits.silence_stdout()
            return exits.FAILURE
        case SystemExit():
            return _exit_code(error)
        case _:
            raise error
