"""Which run is meant by a name that leaves the workflow out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..actors.errors import RunNotFound
from ..actors.names import RunKey, check_token
from .arguments import parse_run
from .closing import closing
from .exits import UsageProblem

if TYPE_CHECKING:
    from .connection import Connection

T = TypeVar("T")


async def find_run(connection: Connection, text: str) -> RunKey:
    """Returns the run that `workflow/run` or a bare run id names; asks the server for the second form alone.

    Raises:
        InvalidName: It cannot be a name.
        UsageProblem: Runs of several workflows have that id.
        RunNotFound: No run has that id.
    """
    if "/" in text:
        return parse_run(text)
    runs = await _runs_named(connection, check_token("run id", text))
    if not runs:
        raise RunNotFound(
            "", text, f"no run {text!r} in app {connection.app.name!r}; write <workflow>/<run>, or check the app"
        )
    return _only(text, [str(key) for key in runs], runs)


async def find_run_or_workflow(connection: Connection, text: str) -> RunKey | str:
    """Returns the run, or the workflow, that a text names; raises as `find_run`."""
    if "/" in text:
        return parse_run(text)
    check_token("run id or workflow", text)
    found: list[RunKey | str] = list(await _runs_named(connection, text))
    if await _has_runs(connection, text):
        found.append(text)
    if not found:
        message = f"no run and no workflow {text!r} in app {connection.app.name!r}; to wait for one write <workflow>/<run> or {text}/"
        raise RunNotFound("", text, message)
    return _only(text, [str(one) if isinstance(one, RunKey) else f"{one}/" for one in found], found)


def _only(text: str, names: list[str], found: list[T]) -> T:
    if len(found) > 1:
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise UsageProblem(f"{text!r} is ambiguous: write one of {shown}")
    return found[0]


async def _runs_named(connection: Connection, run_id: str) -> list[RunKey]:
    # The index knows no run that is younger than a second; the log does. A scan of the log by run id is dear for the
    # server (a wildcard in the middle), so the index is asked first.
    found = await connection.client.find(run_id)
    keys = {RunKey(summary.workflow, summary.run_id) for summary in found}
    if not keys:
        subject = connection.app.log_of(RunKey("*", run_id))
        async with closing(connection.broker.scan(connection.app.log, subject, last_per_subject=True)) as scan:
            async for stored in scan:
                key = connection.app.read_run(stored.subject)
                if key is not None:
                    keys.add(key)
    return sorted(keys)


async def _has_runs(connection: Connection, workflow: str) -> bool:
    subject = connection.app.log_of(RunKey(workflow, "*"))
    async with closing(connection.broker.scan(connection.app.log, subject)) as scan:
        async for _ in scan:
            return True
    return False
