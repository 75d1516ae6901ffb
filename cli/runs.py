"""`wfctl runs`: list, look into and steer runs."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from . import render
from .arguments import Since, check_run, parse_since
from .closing import closing
from .exits import UsageProblem
from .options import Json, Run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ..actors.records import Status
    from ..client.handle import RunHandle
    from ..client.status import RunSummary
    from .connection import Connection

app = typer.Typer(no_args_is_help=True, help="List, look into and steer runs.")

STATUSES: Final[tuple[Status, ...]] = (
    "running",
    "paused",
    "parked",
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "continued",
)

Reason: TypeAlias = Annotated[str, typer.Option(help="Kept in the run's log.")]
Wait: TypeAlias = Annotated[bool, typer.Option("--wait", help="Until the run has ended, whichever way.")]


@app.command("list")
def list_(
    context: typer.Context,
    workflow: Annotated[str | None, typer.Option("--workflow", "-w", help="Runs of that workflow alone.")] = None,
    status: Annotated[str | None, typer.Option("--status", "-s", help=f"One of {', '.join(STATUSES)}.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Runs that began not longer ago (`90m`, `7d`), or not before (`2026-01-31`).")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="At most so many, the newest changes; 0 for all.")
    ] = 100,
    schedules: Annotated[bool, typer.Option("--schedules", help="Schedules, too: they are runs themselves.")] = False,
    json: Json = False,
) -> None:
    """List runs from the index, the one that changed last at the end.

    The index is a cache: a run younger than a second may be missing.
    """
    from ..actors.names import check_token
    from . import connection

    if status is not None and status not in STATUSES:
        raise UsageProblem(f"--status {status!r} is none of {', '.join(STATUSES)}")
    if workflow is not None:
        check_token("workflow name", workflow)
    began = None if since is None else parse_since(since)
    connection.run(
        context,
        lambda connected: list_runs(connected, workflow, status, limit, began, with_schedules=schedules),
        is_json=json,
    )


@app.command()
def show(context: typer.Context, run: Run, json: Json = False) -> None:
    """Show where a run stands: status, what it waits for, result or error with the remote traceback."""
    from . import connection
    from .run_view import show_run

    check_run(run)
    connection.run(context, lambda connected: show_run(connected, run), is_json=json)


@app.command()
def log(context: typer.Context, run: Run, json: Json = False) -> None:
    """Print a run's events so far."""
    from . import connection

    check_run(run)
    connection.run(context, lambda connected: print_log(connected, run), is_json=json)


@app.command()
def children(context: typer.Context, run: Run, json: Json = False) -> None:
    """List the runs that a run has started as its children, in that order."""
    from . import connection

    check_run(run)
    connection.run(context, lambda connected: list_children(connected, run), is_json=json)


@app.command()
def chain(context: typer.Context, run: Run, json: Json = False) -> None:
    """List the links of a run that continues as new, oldest first; each can be named wherever a run can."""
    from . import connection
    from .chain_view import list_chain

    check_run(run)
    connection.run(context, lambda connected: list_chain(connected, run), is_json=json)


@app.command()
def cancel(context: typer.Context, run: Run, reason: Reason = "", wait: Wait = False) -> None:
    """Ask a run to stop: CancelledError at its next await, its clean-up runs."""
    _steer(context, run, "cancel", lambda handle: handle.cancel(reason=reason, wait=wait))


@app.command()
def terminate(context: typer.Context, run: Run, reason: Reason = "", wait: Wait = False) -> None:
    """End a run now, without clean-up."""
    _steer(context, run, "terminate", lambda handle: handle.terminate(reason=reason, wait=wait))


@app.command()
def pause(context: typer.Context, run: Run, reason: Reason = "") -> None:
    """Stop a run from deciding; its messages are kept in order, steps that are out may end."""
    _steer(context, run, "pause", lambda handle: handle.pause(reason=reason))


@app.command()
def resume(context: typer.Context, run: Run) -> None:
    """Let a paused run go on, and try a parked one again."""
    _steer(context, run, "resume", lambda handle: handle.resume())


@app.command()
def unpark(context: typer.Context, run: Run) -> None:
    """Try a parked run again now, as after a fix of its code."""

    async def send(handle: RunHandle[Any]) -> None:
        status = await handle.status()
        if status.status != "parked":
            raise UsageProblem(f"run {handle.workflow}/{handle.run_id} is {status.status}, not parked")
        await handle.resume()

    _steer(context, run, "unpark", send)


@app.command()
def export(
    context: typer.Context,
    run: Run,
    file: Annotated[
        Path | None, typer.Argument(help="Where to; standard output if left out. Replaced whole, or not at all.")
    ] = None,
) -> None:
    """Print all records of a run, and the large values they refer to, as JSON lines that `wfctl replay` reads."""
    from . import connection
    from .run_view import export_run, export_to

    check_run(run)
    if file is None:
        connection.run(context, lambda connected: export_run(connected, run), is_json=True)
    elif file.is_dir():
        raise UsageProblem(f"{file} is a folder; name a file")
    else:
        connection.run(context, lambda connected: export_to(connected, run, file))


async def list_runs(
    connection: Connection,
    workflow: str | None,
    status: str | None,
    limit: int,
    since: Since | None = None,
    *,
    with_schedules: bool = False,
) -> None:
    """Prints runs; as JSON one after the other as they come, as a table the last `limit`."""
    from ..actors.schedule import SCHEDULE_WORKFLOW

    shown = with_schedules or workflow is not None
    out = connection.out
    wanted: Status | None = next((known for known in STATUSES if known == status), None)
    kept: deque[RunSummary] = deque(maxlen=limit or None)
    count = 0
    earliest_us = 0 if since is None else since.at_us(connection.broker.now_us())
    async with closing(connection.client.list(status=wanted, workflow=workflow)) as found:
        async for summary in found:
            if summary.started_at_us < earliest_us or (summary.workflow == SCHEDULE_WORKFLOW and not shown):
                continue
            count += 1
            if out.is_json and not limit:
                out.json(_line(summary))
            else:
                kept.append(summary)
    if out.is_json:
        for summary in kept:
            out.json(_line(summary))
        return
    out.table(["RUN", "STATUS", "STARTED", "TOOK", "WAITS FOR"], [_row(summary) for summary in kept], empty="no runs")
    if count > len(kept):
        out.line(f"{count - len(kept)} more: --limit 0 shows all", "dim")


async def print_log(connection: Connection, run: str) -> None:
    """Prints the events that a run's log holds."""
    from .events import EventLines
    from .lookup import find_run

    key = await find_run(connection, run)
    lines = EventLines(connection.out, with_run=False)
    for event in await connection.client.get(key.workflow, key.run).events():
        lines.show(key, event)


async def list_children(connection: Connection, run: str) -> None:
    """Prints a run's children with where each stands."""
    from ..actors.errors import RunNotFound
    from .lookup import find_run

    key, out = await find_run(connection, run), connection.out
    rows: list[list[str]] = []
    for child in await connection.client.get(key.workflow, key.run).children():
        name = f"{child.workflow}/{child.run_id}"
        try:
            status = await child.status()
        except RunNotFound:
            rows.append([name, "not begun", "", ""])
            continue
        took = render.span(status.ended_at_us - status.started_at_us) if status.ended_at_us else ""
        rows.append([name, status.status, render.instant(status.started_at_us), took])
    if out.is_json:
        for name, status_word, *_ in rows:
            workflow, _, run_id = name.partition("/")
            out.json({"workflow": workflow, "run": run_id, "status": status_word})
        return
    out.table(["CHILD", "STATUS", "STARTED", "TOOK"], rows, empty="no children")


def _steer(context: typer.Context, run: str, verb: str, send: Callable[[RunHandle[Any]], Awaitable[object]]) -> None:
    from . import connection

    check_run(run)
    connection.run(context, lambda connected: steer(connected, run, verb, send))


async def steer(
    connection: Connection, run: str, verb: str, send: Callable[[RunHandle[Any]], Awaitable[object]]
) -> None:
    """Sends a run one message and says what came of it."""
    from .lookup import find_run

    key = await find_run(connection, run)
    status = await send(connection.client.get(key.workflow, key.run))
    told = f"{verb}: sent to {key}"
    if isinstance(status, str) and status != "running":
        told = f"{verb}: {key} is {status}"
    connection.out.line(told)


def _line(summary: RunSummary) -> dict[str, object]:
    """Makes the JSON of a list's line: the name first, then all that the index holds."""
    fields = {name: getattr(summary, name) for name in summary.__struct_fields__ if name not in ("workflow", "run_id")}
    return {"workflow": summary.workflow, "run": summary.run_id, **fields}


def _row(summary: RunSummary) -> list[str]:
    took = render.span(summary.ended_at_us - summary.started_at_us) if summary.ended_at_us else ""
    waits = [f"{summary.steps_open} steps" if summary.steps_open else ""]
    waits += [f"{summary.timers_open} timers" if summary.timers_open else ""]
    waits += [f"{summary.children_open} children" if summary.children_open else ""]
    waits += [f"hook {wait.name}" for wait in summary.hooks_open[:3]]
    return [
        f"{summary.workflow}/{summary.run_id}",
        summary.status,
        render.instant(summary.started_at_us),
        took,
        ", ".join(filter(None, waits)) if not summary.ended_at_us else "",
    ]
