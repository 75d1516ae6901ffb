"""`wfctl hooks`: who waits for one, what it has to look like, and answering it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
import typer

from ..actors.errors import JetrunError
from ..actors.hook_token import HookToken
from ..actors.names import RunKey, check_token
from . import arguments, render
from .closing import closing
from .exits import UsageProblem
from .options import Json

if TYPE_CHECKING:
    from ..client.hooks import WaitingHook
    from .connection import Connection

_READS_MAX: Final = 64

RunOrToken: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="<workflow>/<run>, a run's id, or a hook's token <workflow>/<run>/<hook>.")
]
HookName: TypeAlias = Annotated[str | None, typer.Argument(help="The hook's name; not after a token.")]

app = typer.Typer(no_args_is_help=True, help="See who waits for a hook, and send it.")


@app.command("list")
def list_(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="That run's hooks; of all runs if left out.")
    ] = None,
    json: Json = False,
) -> None:
    """List hooks that runs wait for; of one run with expiry and token. Of all runs: a run younger than a second may be missing."""
    from . import connection

    if run is not None:
        arguments.check_run(run)
    connection.run(context, lambda connected: list_hooks(connected, run), is_json=json)


@app.command()
def info(context: typer.Context, run: RunOrToken, name: HookName = None, json: Json = False) -> None:
    """Show a hook that a run waits for, with the JSON Schema of its payload."""
    from . import connection

    run, name, extra = read_address(run, name, None)
    if extra is not None:
        raise UsageProblem(f"{extra!r} is one argument too many; write RUN NAME, or TOKEN alone")
    connection.run(context, lambda connected: show_hook(connected, run, name), is_json=json)


@app.command()
def send(
    context: typer.Context,
    run: RunOrToken,
    name: HookName = None,
    payload: Annotated[
        str | None,
        typer.Argument(help="""The payload as JSON: '{"ok": true}'. Asked for field by field on a terminal."""),
    ] = None,
    early: Annotated[
        bool, typer.Option("--early", help="Before the run's start: the payload is kept for a day.")
    ] = False,
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Refuse a payload that does not fit the schema that the run has published."),
    ] = False,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Names this intent: a second hook with the same id is not applied again.")
    ] = None,
) -> None:
    """Send a hook to a run; it is durable when the command ends, and kept until the workflow waits for it.

    RUN and NAME may be one TOKEN, <workflow>/<run>/<hook>; what follows it is the payload.
    """
    from . import connection, hook_form

    run, name, payload = read_address(run, name, payload)
    if payload is not None:
        value = arguments.parse_value(payload, what="payload")
    elif not hook_form.is_terminal():
        raise UsageProblem("payload is missing; give it as JSON, null for none (only on a terminal it is asked for)")
    else:
        # Nobody keeps a connection while somebody thinks.
        schema = {} if early else connection.run(context, lambda connected: read_schema(connected, run, name))
        value = hook_form.fill(schema, hook_form.ask_terminal)
    connection.run(
        context,
        lambda connected: send_hook(connected, run, name, value, early=early, message_id=message_id, validate=validate),
    )


def read_address(run: str, name: str | None, payload: str | None) -> tuple[str, str, str | None]:
    """Reads RUN NAME [PAYLOAD], or TOKEN [PAYLOAD]; returns run, hook name and payload."""
    if run.count("/") == 2:
        key, hook = HookToken.parse(run)
        if payload is not None:
            raise UsageProblem(f"{run!r} names the hook; write it before the payload alone, or RUN NAME PAYLOAD")
        return str(key), hook, name
    arguments.check_run(run)
    if name is None:
        raise UsageProblem(f"the hook's name is missing; write {run} NAME, or a token <workflow>/<run>/<hook>")
    return run, check_token("hook name", name), payload


async def list_hooks(connection: Connection, run: str | None) -> None:
    """Prints hooks that are waited for; of all runs: without those of schedules, which always wait."""
    from ..actors.schedule import SCHEDULE_WORKFLOW

    if run is not None:
        from .lookup import find_run

        await _list_of_run(connection, await find_run(connection, run))
        return
    rows: list[tuple[str, str, str, str, int]] = []
    keys: list[RunKey] = []
    async with closing(connection.client.list()) as found:
        async for summary in found:
            if not summary.ended_at_us and summary.workflow != SCHEDULE_WORKFLOW:
                keys.append(RunKey(summary.workflow, summary.run_id))
            if len(keys) == _READS_MAX:
                rows += await _waits_of(connection, keys)
                keys.clear()
    rows += await _waits_of(connection, keys)
    if connection.out.is_json:
        for workflow, run_id, name, type_, started in rows:
            connection.out.json(
                {"workflow": workflow, "run": run_id, "hook": name, "type": type_, "run_started_at_us": started}
            )
        return
    shown = [
        [f"{workflow}/{run_id}", name, type_, render.instant(started)]
        for workflow, run_id, name, type_, started in rows
    ]
    connection.out.table(["RUN", "HOOK", "TYPE", "RUN STARTED"], shown, empty="no hooks are waited for")


async def show_hook(connection: Connection, run: str, name: str) -> None:
    """Prints the hooks of that name that a run waits for, each with its schema.

    Raises:
        RunNotFound: There is no such run.
        JetrunError: It does not wait for that hook.
    """
    from .lookup import find_run

    key = await find_run(connection, run)
    found = [hook for hook in await connection.client.get(*key).hooks() if hook.name == name]
    if not found:
        raise JetrunError(
            f"run {key} does not wait for hook {name!r}; `wfctl hooks list {key}` shows what it waits for"
        )
    for hook in found:
        if connection.out.is_json:
            connection.out.json(_line_of(key, hook))
            continue
        facts = {"run": str(key), "hook": hook.name, "type": hook.type, "token": hook.token}
        facts |= {"since": render.instant(hook.since_us), "expires": render.instant(hook.expires_at_us)}
        for fact, text in facts.items():
            connection.out.line(f"{fact + ':':<9} {render.safe(text) or '-'}")
        for line in msgspec.json.format(msgspec.json.encode(hook.schema), indent=2).decode().splitlines():
            connection.out.line(render.safe(line))


async def read_schema(connection: Connection, run: str, name: str) -> dict[str, Any]:
    """Returns the schema that a run has published for a hook; empty where it has come to none of that name yet.

    Raises:
        RunNotFound: There is no such run.
    """
    from ..client.hooks import published_schemas
    from .lookup import find_run

    key = await find_run(connection, run)
    schemas = published_schemas(key, name, await connection.client.get(*key).log())
    return schemas[0] if schemas else {}


async def _list_of_run(connection: Connection, key: RunKey) -> None:
    from ..client.hooks import waiting_hooks

    log = await connection.client.get(*key).log()
    hooks = waiting_hooks(key, log)
    if connection.out.is_json:
        for hook in hooks:
            connection.out.json({**_line_of(key, hook), "run_started_at_us": log[-1].summary.started_at_us})
        return
    shown = [
        [hook.name, hook.type, render.instant(hook.since_us), render.instant(hook.expires_at_us), hook.token]
        for hook in hooks
    ]
    connection.out.table(["HOOK", "TYPE", "SINCE", "EXPIRES", "TOKEN"], shown, empty="no hooks are waited for")


def _line_of(key: RunKey, hook: WaitingHook) -> dict[str, object]:
    return {
        "workflow": key.workflow,
        "run": key.run,
        "hook": hook.name,
        "type": hook.type,
        "token": hook.token,
        "since_us": hook.since_us,
        "expires_at_us": hook.expires_at_us,
        "schema": hook.schema,
    }


async def _waits_of(connection: Connection, keys: Sequence[RunKey]) -> list[tuple[str, str, str, str, int]]:
    """Reads what runs wait for from their last records: the index tells which runs there are, not how they stand."""
    from ..client.reader import Reader

    reader = Reader(connection.broker, connection.app)
    records = await asyncio.gather(*(reader.last(key) for key in keys))
    return [
        (key.workflow, key.run, wait.name, wait.type, record.summary.started_at_us)
        for key, record in zip(keys, records, strict=True)
        if record is not None
        for wait in record.summary.hooks_open
    ]


async def send_hook(
    connection: Connection,
    run: str,
    name: str,
    payload: msgspec.Raw,
    *,
    early: bool,
    message_id: str | None,
    validate: bool = False,
) -> None:
    """Sends a hook and prints the id of the message.

    Raises:
        RunNotFound: There is no such run; with `early` it may be still to come.
        RunEnded: It has ended.
        InvalidValue: With `validate`: the payload does not fit what the run has published.
    """
    from .lookup import find_run

    key = await find_run(connection, run)
    handle = connection.client.get(key.workflow, key.run)
    sent = await handle.hook(name, payload, id=message_id, before_start=early, validate=validate)
    connection.out.line(f"hook {name}: sent to {key}, id {render.safe(sent)}")
