"""Session: one client's connection to one app, and what its handles share: reading, writing, waiting, large values."""

from __future__ import annotations

from typing import Any

import msgspec

from ..actors.hook import TypedHook
from ..actors.messages import Hook, Start
from ..actors.names import RunKey, check_token
from ..actors.values import decode, encode
from ..streams.dead_letter import DeadLetter
from ..streams.ports import Broker
from ..streams.subjects import App
from .claims import Claims
from .hooks import check_published
from .reader import Reader
from .sender import RunMessage, Sender
from .waits import Waits


class Session:
    """What a client lends to its handles."""

    def __init__(self, broker: Broker, app: App) -> None:
        self.broker = broker
        self.app = app
        self.claims = Claims(broker, app)
        self.reader = Reader(broker, app)
        self.sender = Sender(broker, app)
        self.waits = Waits(broker, app)

    async def hook(
        self,
        key: RunKey,
        hook: str | TypedHook[Any],
        payload: object,
        *,
        id: str,  # noqa: A002 - the word on the wire
        validate: bool = False,
    ) -> RunMessage:
        """Makes a hook message; a large payload is in the object store on return.

        Args:
            validate: Asks the run's log for the schema that it has published.

        Raises:
            InvalidName: The name cannot be a token.
            InvalidValue: The payload cannot become JSON, is larger than any value may be, or does not fit the type of a
                defined hook, or with `validate` the published schema.
        """
        name = hook.name if isinstance(hook, TypedHook) else check_token("hook name", hook)
        where = f"payload of hook {name!r}"
        data = encode(payload, where=where)
        if isinstance(hook, TypedHook):
            decode(data, hook.type, where=where)
        if validate:
            check_published(key, name, data, await self.reader.log(key))
        ref = self.claims.check(data, where=where)
        if ref is None:
            return RunMessage(key, "hook", name, Hook(id=id, payload=msgspec.Raw(data)))
        await self.claims.put(key, ref, data)
        return RunMessage(key, "hook", name, Hook(id=id, ref=ref))

    async def dead_start(self, key: RunKey, start_id: str) -> DeadLetter | None:
        """Returns the start message of that id if it is the run's newest dead letter."""
        stored = await self.broker.last_direct(self.app.dead, self.app.dead_of(key))
        if stored is None:
            return None
        try:
            letter = msgspec.json.decode(stored.payload, type=DeadLetter)
            start = msgspec.json.decode(letter.body or "", type=Start)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # another message of the run, or one that nobody of ours has written
        return letter if start.id == start_id else None

    async def close(self) -> None:
        """Ends all waiting, then the connection. Idempotent."""
        await self.waits.close()
        await self.broker.close()
