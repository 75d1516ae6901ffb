"""Notes of running steps, as `wfctl tail` shows them between the events of the log. They are not stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..actors.names import RunKey
    from .connection import Connection
    from .events import EventLines


@asynccontextmanager
async def shown_progress(connection: Connection, key: RunKey, lines: EventLines) -> AsyncGenerator[None]:
    """Shows, while the block runs, how far steps say that they are.

    Args:
        key: A run, or `*` in the place of what does not matter.
    """
    from ..actors.events import Event
    from ..streams.step_notices import decode_progress

    def on_note(subject: str, payload: bytes, _reply: str) -> None:
        run, progress = connection.app.read_run(subject), decode_progress(payload)
        if run is None or progress is None:
            return
        part = "" if progress.fraction is None else f"{progress.fraction:.0%}"
        text = " ".join(word for word in (progress.name, part, progress.text) if word)
        data = {"attempt": progress.attempt, "worker": progress.worker, "fraction": progress.fraction}
        lines.show(
            run, Event(k=0, at_us=progress.at_us, kind="step.progress", n=progress.command, text=text, data=data)
        )

    notes = await connection.broker.listen(connection.app.note(key), on_note)
    try:
        yield
    finally:
        await notes.close()
