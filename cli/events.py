"""How an event of a run is shown: one line for a person, one JSON line for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import render
from .output import PLAIN_VALUE_COLUMNS, Output

if TYPE_CHECKING:
    from ..actors.events import Event

_KIND_COLUMNS: Final = 20
_COLOURS: Final[dict[str, render.Colour]] = {
    "run.started": "bold",
    "run.completed": "green",
    "run.failed": "red",
    "run.cancelled": "yellow",
    "run.terminated": "red",
    "run.parked": "magenta",
    "run.paused": "yellow",
    "step.completed": "green",
    "step.failed": "red",
    "step.retrying": "yellow",
    "hook.opened": "cyan",
    "hook.received": "cyan",
    "message.refused": "red",
}


def show(out: Output, event: Event, *, workflow: str, run: str, with_run: bool) -> None:
    """Prints an event.

    Args:
        with_run: Names the run in the line, where lines of several runs follow one another. JSON always names it.
    """
    if out.is_json:
        out.json(
            {
                "workflow": workflow,
                "run": run,
                "k": event.k,
                "at_us": event.at_us,
                "kind": event.kind,
                "n": event.n,
                "text": event.text,
                "data": event.data,
            }
        )
        return
    at = render.clock(event.at_us) if out.is_terminal else render.instant(event.at_us)
    name = f"{workflow}/{run}  " if with_run else ""
    kind = out.paint(f"{event.kind:<{_KIND_COLUMNS}}", _COLOURS.get(event.kind, "plain"))
    used = render.columns(at) + 2 + render.columns(name) + max(_KIND_COLUMNS, len(event.kind)) + 1
    room = max(20, out.width - used) if out.width else PLAIN_VALUE_COLUMNS
    out.line(f"{out.paint(at, 'dim')}  {name}{kind} {render.cut(render.safe(event.text), room)}".rstrip())
