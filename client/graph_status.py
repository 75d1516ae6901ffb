"""Graph runs as clients see them: where their tasks stand, and beginning again from some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..actors.graph_carry import Carry
from ..actors.graph_draw import TaskLight
from ..actors.graph_history import GraphHistory, history_of
from ..actors.graph_model import Graph
from ..actors.graph_rerun import rerun_of
from ..actors.names import RunKey
from ..actors.workflow import Call
from .log_copy import copy_log
from .session import Session


class GraphStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a graph run stands."""

    tasks: dict[str, TaskLight]
    """In the order of the definition."""
    path: list[str]
    """The tasks that have begun, each time one entry, in the order in which they came to be."""
    variables: dict[str, object]
    """As they were published last, by any branch."""
    status: str
    """How the graph has ended: `succeeded`, `failed` or `cancelled`; else the run's own: `running`, `paused`, `parked`, `terminated`."""
    of: str = ""
    """The run that this one has begun again, by its id."""


async def read_history(session: Session, key: RunKey) -> tuple[GraphHistory, str]:
    """Reads a run's log as a graph's, and the run's status.

    Raises:
        NoGraph: It is no graph's run, or it has not begun.
        BadLog: A large value is gone, or a record is of a newer version.
    """
    copy = await copy_log(session.broker, session.app, key)
    history = history_of(copy.records, copy.objects)
    return history, copy.records[-1].summary.status


async def graph_of(session: Session, key: RunKey) -> tuple[Graph, GraphStatus]:
    """Reads a graph run's definition and where it stands. Raises as `read_history` does."""
    history, run_status = await read_history(session, key)
    state = history.state
    status = GraphStatus(
        tasks=history.lights(),
        path=[past.activation.task for n, past in history.pasts.items() if n not in state.ready],
        variables=dict(state.latest.values),
        status=state.status or run_status,
        of=history.of,
    )
    return history.graph, status


async def rerun_call(session: Session, key: RunKey, tasks: Sequence[str], *, workflow: str | None = None) -> Call[Any]:
    """Makes the start of a run that begins again where an ended one failed, or from these tasks.

    Args:
        workflow: Under which; the ended run's by default.

    Raises:
        NoRerun: The run has not ended, a task has never run, or there is nothing to begin with.
        NoGraph, BadLog: As `read_history` says.
    """
    history, _ = await read_history(session, key)
    carry: Carry = rerun_of(history, tasks, run=key.run)
    return Call(workflow or key.workflow, msgspec.json.encode([carry]), None, Any)
