"""How a run's events are shown: a line for a person, a JSON line for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import render
from .output import PLAIN_VALUE_COLUMNS, Output

if TYPE_CHECKING:
    from ..actors.events import Event
    from ..actors.names import RunKey

_KIND_COLUMNS: Final = 16
_NAMED_LATER: Final = frozenset(
    {"step.completed", "step.failed", "step.interrupted", "step.retrying", "step.deferred", "timer.fired"}
)
"""Events that tell a command's number alone; the name was told when it was asked for."""

_COLOURS: Final[dict[str, render.Colour]] = {
    "run.started": "bold",
    "run.completed": "green",
    "run.failed": "red",
    "run.cancelled": "yellow",
    "run.cancel_requested": "yellow",
    "run.terminated": "red",
    "run.parked": "magenta",
    "run.paused": "yellow",
    "step.completed": "green",
    "step.failed": "red",
    "step.interrupted": "yellow",
    "step.retrying": "yellow",
    "hook.opened": "cyan",
    "hook.received": "cyan",
    "message.refused": "red",
}


class EventLines:
    """Prints events as they come.

    Args:
        with_run: Names the run in each line, where lines of several runs follow one another. JSON always names it.
        plain_columns: How much of a text is shown where no terminal gives a width.
    """

    def __init__(self, out: Output, *, with_run: bool, plain_columns: int = PLAIN_VALUE_COLUMNS) -> None:
        self._out = out
        self._with_run = with_run
        self._plain_columns = plain_columns
        self._names: dict[RunKey, dict[int, str]] = {}

    def show(self, key: RunKey, event: Event) -> None:
        """Prints one event."""
        if self._out.is_json:
            self._out.json(
                {
                    "workflow": key.workflow,
                    "run": key.run,
                    "k": event.k,
                    "at_us": event.at_us,
                    "kind": event.kind,
                    "n": event.n,
                    "text": event.text,
                    "data": event.data,
                }
            )
            return
        out = self._out
        at = render.clock(event.at_us) if out.is_terminal else render.instant(event.at_us)
        kind = event.kind.ljust(_KIND_COLUMNS)
        head = f"{key}  " if self._with_run else ""
        text = render.safe(self._text(key, event))
        room = max(20, out.width - render.columns(f"{at}  {head}{kind} ")) if out.width else self._plain_columns
        colour = _COLOURS.get(event.kind, "plain")
        out.line(f"{out.paint(at, 'dim')}  {head}{out.paint(kind, colour)} {render.cut(text, room)}".rstrip())

    def _text(self, key: RunKey, event: Event) -> str:
        if event.kind.startswith("run.") and event.kind[4:] in (
            "completed",
            "failed",
            "cancelled",
            "terminated",
            "continued",
        ):
            self._names.pop(key, None)  # a tail of everything must not grow with what has ended
        if event.kind == "step.scheduled":
            self._names.setdefault(key, {})[event.n] = str(event.data.get("name", ""))
        number = f"#{event.n} " if event.n else ""
        name = self._names.get(key, {}).get(event.n, "") if event.kind in _NAMED_LATER else ""
        return number + (f"{name} {event.text}" if name else event.text)
