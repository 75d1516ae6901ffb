"""Event names and the one way to log them: a name plus fields, ids always, payloads never."""

from __future__ import annotations

import logging
from typing import Final

from ..actors.names import RunKey

LOGGER: Final = logging.getLogger("jetrun")


def log(event: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Logs one event. The formatter of the process decides whether it becomes text or JSON."""
    if LOGGER.isEnabledFor(level):
        fields = {name: str(value) if isinstance(value, RunKey) else value for name, value in fields.items()}
        text = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        LOGGER.log(level, "%s %s", event, text, extra={"event": event, "fields": fields})


def _shown(value: object) -> str:
    text = str(value)
    if text.isprintable() and " " not in text:
        return text
    return ascii(text) if len(text) <= 4096 else ascii(text[:4096]) + "..."
