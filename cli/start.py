"""`wfctl start`: begins a run from arguments typed as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
import typer

from . import arguments
from .exits import FAILURE, Stopped, UsageProblem
from .options import Json
from .output import complain

if TYPE_CHECKING:
    from ..actors.workflow import Call
    from .connection import Connection


Args: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[ARG]...", help="""Arguments, each as JSON: '"o-1"' 4200.""")
]
RunId: TypeAlias = Annotated[str | None, typer.Option("--run-id", help="The run's id; one is made up if left out.")]
AllArgs: TypeAlias = Annotated[str | None, typer.Option("--args", help="All positional arguments as a JSON array.")]
Kwargs: TypeAlias = Annotated[str | None, typer.Option(help="Named arguments as a JSON object.")]
Source: TypeAlias = Annotated[
    str | None,
    typer.Option("--input", metavar="@FILE|-", help="""A JSON array, or {"args": [...], "kwargs": {...}}."""),
]
Conflict: TypeAlias = Annotated[
    str,
    typer.Option(help="`existing` takes a run of that id and arguments for this one, `fail` demands a new run."),
]
Wait: TypeAlias = Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result as JSON.")]


def start(
    context: typer.Context,
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    args: Args = None,
    run_id: RunId = None,
    all_args: AllArgs = None,
    kwargs: Kwargs = None,
    source: Source = None,
    conflict: Conflict = "existing",
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Start a run and print its name; the message is durable then, whether or not a worker runs."""
    from ..actors.names import check_token
    from ..actors.workflow import Call
    from . import connection

    check_token("workflow name", workflow)
    chosen = check_options(run_id, conflict)
    positional, named = arguments.parse_args(args or [], all_args, kwargs, source)
    call: Call[Any] = Call(workflow, positional, named, msgspec.Raw)
    connection.run(
        context, lambda connected: start_run(connected, call, run_id or new_run_id(), chosen, wait=wait), is_json=json
    )


def check_options(run_id: str | None, conflict: str) -> Literal["existing", "fail"]:
    """Returns what shall be done where the run is there already. Raises InvalidName and UsageProblem for other words."""
    from ..actors.names import check_run_id

    if run_id is not None:
        check_run_id(run_id)
    match conflict:
        case "existing" | "fail":
            return conflict
        case _:
            raise UsageProblem(f"--conflict {conflict!r} is neither `existing` nor `fail`")


async def start_run(
    connection: Connection, call: Call[Any], run_id: str, conflict: Literal["existing", "fail"], *, wait: bool
) -> None:
    """Starts a run, and waits for its result if that is wanted.

    With `wait` the result alone goes to standard output, so that it can be piped; the run's name goes to standard error.

    Raises:
        Stopped: The run failed; everything is said.
    """
    from ..actors.errors import RunFailed
    from . import render

    handle = await connection.client.start(call, run_id=run_id, conflict=conflict)
    name = f"{handle.workflow}/{handle.run_id}"
    if not wait:
        if connection.out.is_json:
            connection.out.json({"workflow": handle.workflow, "run": handle.run_id})
        else:
            connection.out.line(name)
        return
    complain(name)
    try:
        result = await handle.result()
    except RunFailed as failed:
        complain(f"error: run {name} failed: {failed.error.type}: {failed.error.message}")
        complain(f"see: wfctl runs show {name}")
        raise Stopped(FAILURE) from failed
    connection.out.line(render.safe_json(bytes(result)))


def new_run_id() -> str:
    """Makes an id that no other run has."""
    import secrets

    return f"r-{secrets.token_hex(8)}"
