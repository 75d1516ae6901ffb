"""Graph runs on a server: started from a definition, shown task by task, begun again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..actors.graph_workflow import GRAPHS
from ..actors.values import encode
from ..actors.workflow import Call
from ..client.graph_status import GraphStatus, graph_of, rerun_call
from ..client.session import Session
from .arguments import parse_value, read_input
from .exits import UsageProblem
from .lookup import find_run
from .output import complain
from .start import start_run

if TYPE_CHECKING:
    from ..actors.graph_model import Graph
    from ..actors.graph_source import Document
    from .connection import Connection

_STATE_COLUMNS = 10


def start_definition(document: Document, graph: Graph, source: str | None, start: list[str]) -> Call[Any]:
    """Makes the start of a run from a definition and what was typed. Raises UsageProblem for inputs that are no object."""
    given: dict[str, object] = {}
    if source is not None:
        text = read_input(source) if source.startswith("@") else source
        raw = parse_value(text, what="--input")
        try:
            given = msgspec.json.decode(raw, type=dict[str, object])
        except msgspec.ValidationError:
            raise UsageProblem("""--input is no JSON object; for example --input '{"name": "Ada"}'""") from None
    if unknown := sorted(given.keys() - {name for name, _ in graph.inputs}):
        complain(f"warning: the graph has no input {unknown[0]!r}; what it does not declare is dropped")
    kwargs: dict[str, object] = {"definition": document.value, "input": given}
    if start:
        kwargs["start"] = start
    return Call(GRAPHS.name, b"[]", encode(kwargs, where="definition and input"), msgspec.Raw)


async def read_run(connection: Connection, text: str) -> tuple[Graph, GraphStatus]:
    """Reads a run and its definition."""
    key = await find_run(connection, text)
    return await graph_of(Session(connection.broker, connection.app), key)


async def show_run(connection: Connection, text: str) -> None:
    """Prints a line per task, then the variables."""
    _, status = await read_run(connection, text)
    out = connection.out
    if out.is_json:
        out.json(msgspec.to_builtins(status))
        return
    again = f", begun again of {status.of}" if status.of else ""
    out.line(f"{status.status}{again}")
    for name, light in status.tasks.items():
        times = f"  {light.activations} times" if light.activations > 1 else ""
        items = f"  items {light.items_done}/{light.items_total}" if light.items_total else ""
        out.line(f"  {light.state:<{_STATE_COLUMNS}} {name}{times}{items}")
    for name, value in status.variables.items():
        shown = msgspec.json.encode(value).decode()
        out.line(f"  {name} = {shown if len(shown) <= 200 else shown[:199] + '…'}")


async def rerun_run(
    connection: Connection, text: str, tasks: list[str], run_id: str, workflow: str | None, *, wait: bool
) -> None:
    """Starts a run that begins an ended one again."""
    key = await find_run(connection, text)
    begun = await rerun_call(Session(connection.broker, connection.app), key, tasks, workflow=workflow)
    call: Call[Any] = Call(begun.workflow, begun.args, begun.kwargs, msgspec.Raw)
    await start_run(connection, call, run_id, "existing", wait=wait)
