"""Strays: what came in by the public door and reaches no partition. It was acknowledged, so it is read, to be buried (R10).

Two kinds, both seen on 2.15.1. A subject with a token that is a literal `*` or `>` is stored as it was published, with
no partition in it: a consumer of its own gets it, and any worker serves that. A subject with the byte DEL is missing from
the server's index of subjects, so that no filter finds it except by luck: it is looked for at the front of the mailbox,
which everything else leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from ..actors.errors import BrokerError
from .effects import Effects
from .letters import Unreadable, read_stray
from .ports import Broker, Consumption, Delivery, Stored
from .subjects import App
from .telemetry import log

SWEEP_EVERY_S: Final = 5.0
_DEL: Final = "\x7f"


class Strays:
    """The strays of one app's mailbox.

    Args:
        on_strays: Called with what the consumer has brought: to be buried, then acked.
        is_on_duty: Asked before each sweep.
    """

    def __init__(
        self,
        broker: Broker,
        app: App,
        effects: Effects,
        *,
        on_strays: Callable[[Sequence[Unreadable]], None],
        is_on_duty: Callable[[], bool],
    ) -> None:
        self._broker = broker
        self._app = app
        self._effects = effects
        self._on_strays = on_strays
        self._is_on_duty = is_on_duty
        self._consumption: Consumption | None = None

    async def open(self) -> None:
        """Begins to pull. Raises NotProvisioned."""
        self._consumption = await self._broker.consume(self._app.mail, self._app.strays_consumer, self._on_deliveries)

    async def close(self) -> None:
        """Stops pulling; what was not acked is delivered to another worker. Idempotent."""
        consumption, self._consumption = self._consumption, None
        if consumption is not None:
            await consumption.close()

    async def run(self) -> None:
        """Sweeps until cancelled, every `SWEEP_EVERY_S`."""
        while True:
            await anyio.sleep(SWEEP_EVERY_S)
            if self._is_on_duty():
                try:
                    await self.sweep()
                except BrokerError as error:
                    log("strays.failed", logging.WARNING, error=error)

    async def sweep(self) -> int:
        """Buries what no consumer gets, as far as it stands at the front; returns how many. Safe to repeat and to interrupt."""
        buried = 0
        while (front := await self._front()) is not None and _DEL in front.subject:
            delivery = Delivery(front.subject, front.payload, front.seq, front.at_us, 1, 0, "", headers=front.headers)
            await self._effects.bury_unreadable(read_stray(self._app, delivery))
            # It was the first, and sequences only grow: up to it there is nothing else. By its subject it cannot be found.
            await self._broker.purge(self._app.mail, ">", to_seq=front.seq)
            buried += 1
        return buried

    async def _front(self) -> Stored | None:
        state = await self._broker.stream_state(self._app.mail)
        if not state.messages:
            return None
        found = await self._broker.read(self._app.mail, ">", from_seq=state.first_seq, to_seq=state.first_seq)
        return found[0] if found else None

    def _on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self._on_strays([read_stray(self._app, delivery) for delivery in deliveries])
