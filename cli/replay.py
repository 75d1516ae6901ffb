"""`wfctl replay`: gives logs to today's code, as a worker would, and says whether it still makes their decisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import FAILURE, Stopped, UsageProblem
from .options import Json, Modules, globals_of

if TYPE_CHECKING:
    from ..actors.registry import Registry
    from ..client.log_copy import LogCopy
    from .connection import Connection
    from .output import Output


def replay(
    context: typer.Context,
    logs: Annotated[
        list[str],
        typer.Argument(metavar="FILE|RUN...", help="Files of `wfctl runs export`, `-` for standard input, or runs."),
    ],
    modules: Modules,
    json: Json = False,
) -> None:
    """Replay logs against the code of today; exit code 1 where one differs. For files no server is needed.

    Keep exports of typical runs beside the code, and a change that would park runs fails before it is deployed. Give
    the app they ran in by --app: `random` and `uuid4` depend on it.
    """
    from ..client.modules import load

    registry = load(modules)
    if not registry.workflows:
        raise UsageProblem(f"no workflow in {', '.join(modules)}: nothing to replay")
    files = [name for name in logs if name == "-" or Path(name).is_file()]
    runs = [name for name in logs if name not in files]
    for name in runs:
        if "/" not in name or name.endswith((".json", ".jsonl")):
            raise UsageProblem(f"{name!r} is neither a file nor a run; write a path, or <workflow>/<run>")
    if not runs:
        from ..client.settings import Settings
        from .output import Output

        out = Output(is_json=json)
        app = globals_of(context).app or Settings.read().app
        _end(check_copies(out, registry, app, read_files(files)))
        return
    from . import connection

    connection.run(context, lambda connected: replay_runs(connected, registry, files, runs), is_json=json)


async def replay_runs(connection: Connection, registry: Registry, files: list[str], runs: list[str]) -> None:
    """Replays files, and runs as the server has them.

    Raises:
        Stopped: A log differs; everything is said.
    """
    from ..client.log_copy import copy_log
    from .arguments import parse_run

    copies = read_files(files)
    for name in runs:
        copies.append(await copy_log(connection.broker, connection.app, parse_run(name)))
    _end(check_copies(connection.out, registry, connection.app.name, copies))


def read_files(files: list[str]) -> list[LogCopy]:
    """Reads exports. Raises BadLog, naming file and line, and UsageProblem for a file that cannot be read."""
    from ..client.log_copy import parse_copies

    copies: list[LogCopy] = []
    for name in files:
        try:
            raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            raise UsageProblem(f"{name}: {error.strerror}") from error
        copies += parse_copies(raw.splitlines(), where="standard input" if name == "-" else name)
    return copies


def check_copies(out: Output, registry: Registry, app: str, copies: list[LogCopy]) -> int:
    """Prints a line for each log; returns how many differ or could not be replayed."""
    problems = 0
    for copy in copies:
        problem = problem_of(registry, app, copy)
        problems += bool(problem)
        records = len(copy.records)
        if out.is_json:
            out.json({"workflow": copy.key.workflow, "run": copy.key.run, "records": records, "problem": problem})
        elif problem:
            out.line(f"{copy.key}: {problem}", "red")
        else:
            out.line(f"{copy.key}: {records} records, replays")
    if not copies and not out.is_json:
        out.line("no logs")
    return problems


def problem_of(registry: Registry, app: str, copy: LogCopy) -> str:
    """Says why a log does not replay; empty where it does."""
    from ..actors.replay import verify
    from ..actors.signals import Blocked

    workflow = registry.workflows.get(copy.key.workflow)
    if not copy.records:
        return "no records: no such run, or its log is gone"
    if workflow is None:
        return f"no workflow {copy.key.workflow!r} in the modules given"
    if not copy.is_whole:
        return f"begins with record {copy.records[0].k}: retention has cut it, it cannot be replayed"
    try:
        verify(app, copy.key, workflow, copy.records, copy.objects)
    except (Exception, Blocked) as error:  # noqa: BLE001  whatever the code does, it is this log's
        return str(error) or type(error).__name__
    return ""


def _end(problems: int) -> None:
    if problems:
        raise Stopped(FAILURE)
