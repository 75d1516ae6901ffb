"""Sender: puts messages into runs' mailboxes, in order, and repeats what got no answer.

Every body carries an `id`, so a repeat is never applied twice (R5, R15); what is returned from is durable.
"""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import NamedTuple

from ..actors.errors import NotProvisioned, OutcomeUnknown
from ..actors.limits import SEND_PAUSE_S, SEND_TRIES
from ..actors.messages import Body, encode_body
from ..actors.names import RunKey
from ..streams.faults import fault_of
from ..streams.ports import Broker, Outgoing
from ..streams.subjects import App


class RunMessage(NamedTuple):
    """A message on its way to a run."""

    key: RunKey
    verb: str
    name: str
    body: Body

    def __str__(self) -> str:
        return f"{self.verb}{f' {self.name!r}' if self.name else ''} of run {self.key}"


def message_id() -> str:
    """Returns a new id for an intent: 128 random bits."""
    return token_hex(16)


class Sender:
    """The way into the mailboxes of one app."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app

    async def send(self, *messages: RunMessage) -> None:
        """Makes the messages durable; one after the other in the mailbox, unless an answer was lost on the way.

        Raises:
            StreamFull: The mailbox is at its limit; try again when the workers have caught up.
            NotProvisioned: The app has no mailbox.
            OutcomeUnknown: No answer came, several times; sending the same again under the same id is safe.
        """
        left = [(m, Outgoing(self._app.input(m.key, m.verb, m.name), encode_body(m.body))) for m in messages]
        tries = 0
        while left:
            acks = await self._broker.publish_many([outgoing for _, outgoing in left])
            tries += 1
            refused = [(pair, ack) for pair, ack in zip(left, acks, strict=True) if ack.code]
            for (message, _), ack in refused:
                fault = fault_of(ack.code, ack.description, str(message))
                if tries == SEND_TRIES or not isinstance(fault, (OutcomeUnknown, NotProvisioned)):
                    raise fault
            left = [pair for pair, _ in refused]
            if left:
                await asyncio.sleep(SEND_PAUSE_S)
