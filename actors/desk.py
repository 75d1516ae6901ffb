"""The desk: where a run answers. Handlers of its queries and updates, updates under way, and answers given."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context
from typing import Any

import msgspec

from .asking import Handler
from .errors import ErrorInfo
from .failures import error_info
from .limits import VALUE_INLINE_BYTES_MAX
from .loop import Loop
from .messages import Message, Ref
from .records import Answer


class Desk:
    """Handlers, updates and answers of one run.

    Args:
        upload: Has a large value stored before the decision's records are.
    """

    def __init__(self, loop: Loop, upload: Callable[[bytes], Ref]) -> None:
        self.queries: dict[str, Handler] = {}
        self.updates: dict[str, Handler] = {}
        self.validators: dict[str, Callable[..., Any]] = {}
        self.open: dict[tuple[str, int], tuple[Message, asyncio.Task[None]]] = {}
        """Updates whose handlers are at work, by their delivery, in the order in which they were taken."""
        self.answers: list[Answer] = []
        """Of the decision under way."""
        self._loop = loop
        self._upload = upload

    def begin(self, message: Message, handler: Handler, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Has the handler begin to work on an update that is taken."""
        work = self._serve(message, handler, args, kwargs)
        # In a context of its own, as the run's root.
        task = self._loop.create_task(work, name=f"update {message.name}", context=Context())
        self.open[message.source, message.seq] = (message, task)

    def end(self, status: str) -> None:
        """Answers the updates that are open when the run ends."""
        text = f"the run has ended ({status}) before the handler of the update did"
        for message, _ in self.open.values():
            self._answer(message, error=ErrorInfo(type="UpdateFailed", message=text, code="ended"))
        self.open.clear()

    def refuse(self, message: Message, error: ErrorInfo) -> None:
        """Answers an update that is not taken."""
        self._answer(message, error=error, is_refused=True)

    # --- inside ---------------------------------------------------------------------------------
    async def _serve(self, message: Message, handler: Handler, args: list[Any], kwargs: dict[str, Any]) -> None:
        raw, error = b"null", None
        try:
            value = handler.function(*args, **kwargs)
            if inspect.isawaitable(value):
                value = await value
            raw = handler.signature.pack_result(value)
        except asyncio.CancelledError as cancelled:
            error = ErrorInfo(type="asyncio.CancelledError", message=str(cancelled), code="cancelled")
        except (Exception, SystemExit, KeyboardInterrupt) as raised:  # noqa: BLE001  # it is the caller's to know
            error = error_info(raised)
        if self.open.pop((message.source, message.seq), None) is None or self._loop.is_stopped:
            return  # answered at the end of the run, or dead here
        if error is None and len(raw) > VALUE_INLINE_BYTES_MAX:
            self._answer(message, ref=self._upload(raw))
        else:
            self._answer(message, result=msgspec.Raw(raw), error=error)

    def _answer(self, message: Message, **fields: Any) -> None:
        answer = Answer(source=message.source, seq=message.seq, id=message.body.id, name=message.name, **fields)
        self.answers.append(answer)
