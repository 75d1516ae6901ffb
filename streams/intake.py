"""Intake: one queue's pull of a step worker, and the account of its slots.

A slot is taken by a delivery and free again when the work is settled (its result stored and the work acked), not when
the code returns: results that cannot be stored must not pile up in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from .ports import Broker, Consumption, Delivery
from .subjects import App

_BATCH_MAX: Final = 256


class Intake:
    """Pulls one queue's work, at most `concurrency` at a time."""

    def __init__(self, queue: str, concurrency: int) -> None:
        self.queue = queue
        self.concurrency = concurrency
        self.running = 0
        """Slots that are taken."""
        self._freed = 0
        self._consumption: Consumption | None = None

    async def open(self, broker: Broker, app: App, on_deliveries: Callable[[Intake, Sequence[Delivery]], None]) -> None:
        """Begins to pull.

        Raises:
            NotProvisioned: The queue has no consumer.
        """
        self._consumption = await broker.consume(
            app.work,
            app.queue_consumer(self.queue),
            partial(self._count, on_deliveries),
            batch=min(self.concurrency, _BATCH_MAX),
            credit=self.concurrency,
        )
        self.ask()  # for slots that were freed before `consume` returned

    def free(self, slots: int) -> None:
        """Gives slots back; `ask` turns them into deliveries."""
        self.running -= slots
        self._freed += slots

    def ask(self) -> None:
        """Asks for as many deliveries as slots were freed; does nothing where there are none."""
        if self._freed and self._consumption is not None:
            count, self._freed = self._freed, 0
            self._consumption.want(count)

    async def close(self) -> None:
        """Stops pulling. Idempotent."""
        consumption, self._consumption = self._consumption, None
        if consumption is not None:
            await consumption.close()

    def _count(
        self, on_deliveries: Callable[[Intake, Sequence[Delivery]], None], deliveries: Sequence[Delivery]
    ) -> None:
        self.running += len(deliveries)
        on_deliveries(self, deliveries)
