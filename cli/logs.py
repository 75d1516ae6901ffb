"""Logs of workers and servers on standard error: one event per line, as text or as JSON.

An event is a name and fields (`extra=`); ids always, payloads never. Whatever a step prints into a field is escaped.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from . import render
from .exits import UsageProblem

if TYPE_CHECKING:
    from typing_extensions import override  # known to type checkers without being installed
else:

    def override(method: object) -> object:
        """Stands in for `typing.override`, which Python 3.11 lacks."""
        return method


Format: TypeAlias = Literal["text", "json"]

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS: Final[dict[int, render.Colour]] = {
    logging.DEBUG: "dim",
    logging.WARNING: "yellow",
    logging.ERROR: "red",
    logging.CRITICAL: "red",
}


def set_up(form: Format | None, *, level: str, colours: bool) -> None:
    """Sends this process's logs to standard error.

    Args:
        form: Text on a terminal and JSON elsewhere if None.
        level: Lowest level shown: `debug`, `info`, `warning` or `error`.
        colours: Whether colours are wanted where standard error is a terminal.
    """
    is_terminal = sys.stderr.isatty()
    chosen = form or ("text" if is_terminal else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if chosen == "json" else TextLines(colours=colours and is_terminal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("jetrun").setLevel(level.upper())


class JsonLines(logging.Formatter):
    """Writes an event as one line of JSON."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": render.instant(int(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return render.to_json(line)
        except (TypeError, ValueError):  # a field that is no JSON: an error, a name; shown as text
            return render.to_json(
                {key: value if isinstance(value, (str, int)) else str(value) for key, value in line.items()}
            )


class TextLines(logging.Formatter):
    """Writes an event as `time level event field=value …`; an exception follows on lines of its own, indented."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    @override
    def format(self, record: logging.LogRecord) -> str:
        level = render.paint(f"{record.levelname.lower():<7}", _COLOURS.get(record.levelno, "plain"), on=self._colours)
        fields = "".join(f" {key}={_shown(value)}" for key, value in _fields(record).items())
        text = f"{render.clock(int(record.created * 1_000_000))} {level} {render.safe(_event(record) + fields)}"
        if record.exc_info:
            text += "".join(f"\n    {render.safe(line)}" for line in self.formatException(record.exc_info).splitlines())
        return text


def _event(record: logging.LogRecord) -> str:
    """Names an event: what `telemetry.log` was given, or the message of anybody else's record."""
    event = getattr(record, "event", None)
    return event if isinstance(event, str) else record.getMessage()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    given = {key: value for key, value in vars(record).items() if key not in _PLAIN}
    given.pop("event", None)
    fields = given.pop("fields", None)
    return {**given, **fields} if isinstance(fields, dict) else given


def _shown(value: object) -> str:
    text = str(value)
    return text if text and " " not in text and '"' not in text else render.to_json(text)


def check_format(text: str | None) -> Format | None:
    """Returns the format if it is one."""
    match text:
        case None | "text" | "json":
            return text
        case _:
            raise UsageProblem(f"--log-format {text!r} is neither `text` nor `json`")


def check_level(text: str) -> str:
    """Returns the level if it is one."""
    if text not in ("debug", "info", "warning", "error"):
        raise UsageProblem(f"--log-level {text!r} is none of `debug`, `info`, `warning`, `error`")
    return text
