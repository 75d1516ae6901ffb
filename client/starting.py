"""Starting: what is read, sent and compared to start one run (R15)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from ..actors.hook import TypedHook
from ..actors.limits import READ_AGAIN_S
from ..actors.messages import Start
from ..actors.names import RunKey, check_run_id, check_token
from ..actors.records import Record, StartMark, start_hash
from ..actors.work import packed_object
from .faults import refused, taken
from .sender import RunMessage, message_id
from .session import Session


class Starting:
    """One start: its message, and the mark by which the run's log tells whose it is.

    Raises:
        InvalidName: Workflow or run id cannot be a token.
        InvalidValue: The arguments are larger than any value may be.
    """

    def __init__(self, session: Session, workflow: str, run_id: str, args: bytes, kwargs: bytes | None) -> None:
        self._session = session
        self.key: Final = RunKey(check_token("workflow name", workflow), check_run_id(run_id))
        self._object = packed_object(args, kwargs)
        ref = session.claims.check(self._object, where=f"arguments of workflow {workflow}")
        if ref is not None:
            self._body = Start(id=message_id(), ref=ref)
        else:
            self._body = Start(
                id=message_id(), args=msgspec.Raw(args), kwargs=None if kwargs is None else msgspec.Raw(kwargs)
            )
        self.mark: Final = StartMark(id=self._body.id, hash=start_hash(self._body.args, self._body.kwargs, ref))

    async def send(self, hooks: Sequence[tuple[str | TypedHook[Any], object]]) -> Record | None:
        """Starts the run unless it is there already; returns its last record then.

        Raises:
            RunConflict: It is there with other arguments.
        """
        record = await self._find()
        if record is not None and _mark(record).hash != self.mark.hash:
            raise taken(self.key, "with other arguments")
        await self._send(hooks, is_there=record is not None)
        return record

    async def send_new(self, hooks: Sequence[tuple[str | TypedHook[Any], object]]) -> None:
        """Starts the run and waits until the log says that this start began it.

        Raises:
            RunConflict: Another start began it.
            MessageRefused: The start was put among the dead letters.
        """
        news = asyncio.Event()

        def hear(_subject: str, _payload: bytes, _reply: str) -> None:
            news.set()

        async with AsyncExitStack() as stack:
            for subject in (self._session.app.live_of(self.key), self._session.app.done(self.key)):
                subscription = await self._session.broker.listen(subject, hear)
                stack.push_async_callback(subscription.close)
            record = await self._find()
            if record is None:
                await self._send(hooks, is_there=False)
            while record is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), READ_AGAIN_S)
                news.clear()
                record = await self._find()
                letter = await self._session.dead_start(self.key, self.mark.id) if record is None else None
                if letter is not None:
                    raise refused(self.key, letter)
        if _mark(record).id != self.mark.id:
            raise taken(self.key, "by another start")

    async def _find(self) -> Record | None:
        record = await self._session.reader.last(self.key)
        return None if record is None or record.start is None else record

    async def _send(self, hooks: Sequence[tuple[str | TypedHook[Any], object]], *, is_there: bool) -> None:
        messages = [] if is_there else [RunMessage(self.key, "start", "", self._body)]
        for name, payload in hooks:
            messages.append(await self._session.hook(self.key, name, payload, id=message_id()))
        if self._body.ref is not None and not is_there:
            await self._session.claims.put(self.key, self._body.ref, self._object)
        await self._session.sender.send(*messages)


def _mark(record: Record) -> StartMark:
    assert record.start is not None
    return record.start
