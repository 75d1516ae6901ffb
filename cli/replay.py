"""`wfctl replay`: gives logs to today's code, as a worker would, and says whether it still makes their decisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .code import listed, load_code
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
    modules: Modules = None,
    json: Json = False,
) -> None:
    """Replay logs against the code of today; exit code 1 where one differs. For files no server is needed.

    Keep exports of typical runs beside the code, and a change that would park runs fails before it is deployed. An
    export says in which app its runs were, on which `random` and `uuid4` depend; --app says otherwise.
    """
    from ..client.settings import Settings, WorkerSettings
    from . import connection

    configuration = connection.configuration_of(context, {"modules": listed(modules)})
    worker, settings = WorkerSettings.of(configuration), Settings.of(configuration)
    registry = load_code(worker)
    if not registry.workflows:
        raise UsageProblem(f"no workflow in {', '.join(worker.modules)}: nothing to replay")
    files = [name for name in logs if name == "-" or Path(name).is_file()]
    runs = [name for name in logs if name not in files]
    for name in runs:
        if "/" not in name or name.endswith((".json", ".jsonl")):
            raise UsageProblem(f"{name!r} is neither a file nor a run; write a path, or <workflow>/<run>")
    copies = read_files(files)
    for copy in copies:
        copy.app = globals_of(context).app or copy.app or settings.app
    if not runs:
        from .output import Output

        _end(check_copies(Output(is_json=json), registry, copies))
        return
    connection.run(
        context, lambda connected: replay_runs(connected, registry, copies, runs), is_json=json, settings=settings
    )


async def replay_runs(connection: Connection, registry: Registry, copies: list[LogCopy], runs: list[str]) -> None:
    """Replays logs that were read, and runs as the server has them.

    Raises:
        Stopped: A log differs; everything is said.
    """
    from ..client.log_copy import copy_log
    from .arguments import parse_run

    copied = [await copy_log(connection.broker, connection.app, parse_run(name)) for name in runs]
    _end(check_copies(connection.out, registry, [*copies, *copied]))


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


def check_copies(out: Output, registry: Registry, copies: list[LogCopy]) -> int:
    """Prints a line for each log; returns how many differ or could not be replayed."""
    problems = 0
    for copy in copies:
        problem = problem_of(registry, copy)
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


def problem_of(registry: Registry, copy: LogCopy) -> str:
    """Says why a log does not replay; empty where it does."""
    from ..actors.engine import ENGINE_WORKFLOWS
    from ..actors.replay import verify
    from ..actors.signals import Blocked

    workflow = registry.with_engine(ENGINE_WORKFLOWS).workflows.get(copy.key.workflow)
    if not copy.records:
        return "no records: no such run, or its log is gone"
    if workflow is None:
        return f"no workflow {copy.key.workflow!r} in the modules given"
    if not copy.is_whole:
        return f"begins with record {copy.records[0].k}: retention has cut it, it cannot be replayed"
    try:
        older = registry.older.get(copy.key.workflow, {})
        verify(copy.app, copy.key, workflow, copy.records, copy.objects, older=older)
    except (Exception, Blocked) as error:  # noqa: BLE001  whatever the code does, it is this log's
        return str(error) or type(error).__name__
    return ""


def _end(problems: int) -> None:
    if problems:
        raise Stopped(FAILURE)
