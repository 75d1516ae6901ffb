"""Beginnings: the execution of a run that starts, or of a later link of its chain."""

from __future__ import annotations

from typing import Any

from .execution import Execution
from .messages import Message, Parent, Start
from .names import RunKey
from .records import LinkMark
from .workflow import Workflow


def execution_of(workflow: Workflow[..., Any], app: str, key: RunKey, start: Message) -> Execution:
    """Makes the execution of the run that a message starts."""
    body = start.body
    assert isinstance(body, Start), "the first message of a run is its start"
    seed = f"{app}/{key}/{start.seq}/{start.at_us}"
    return Execution(workflow, app=app, key=key, started_at_us=start.at_us, seed=seed, parent=body.parent)


def link_execution(
    workflow: Workflow[..., Any], app: str, key: RunKey, link: LinkMark, parent: Parent | None
) -> Execution:
    """Makes the execution of a later link of a run's chain."""
    return Execution(
        workflow,
        app=app,
        key=key,
        started_at_us=link.at_us,
        seed=f"{app}/{key}/{link.n}/{link.k}/{link.at_us}",
        parent=parent,
        link=link,
    )
