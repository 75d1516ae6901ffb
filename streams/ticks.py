"""Ticks: what this worker adds to the server's scheduler: timers under a second, and ticks that came too early (R14)."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from ..actors.actor import Actor
from ..actors.errors import BrokerError
from ..actors.limits import TIMER_SERVED_US
from ..actors.messages import Tick
from ..actors.names import RunKey
from .effects import Effects
from .ports import Broker
from .telemetry import log


class Ticks:
    """The ticks of one worker's runs.

    Args:
        spawn: Starts a task that ends with the worker.
    """

    def __init__(self, broker: Broker, effects: Effects, spawn: Callable[..., None]) -> None:
        self._broker = broker
        self._effects = effects
        self._spawn = spawn

    async def again(self, key: RunKey, name: str, tick: Tick) -> None:
        """Schedules a timer again whose tick was stamped before its time by another server's clock."""
        await self._effects.publish(self._effects.schedule(key, name, tick.due_at_us))

    def serve_short(self, actor: Actor) -> None:
        """Wakes the last decision's timers under a second more precisely than the server's own scheduler does."""
        now_us = actor.journal.now_us
        for name, due_at_us in actor.owed.timers:
            distance_us = due_at_us - now_us
            if distance_us < TIMER_SERVED_US and name.isdigit():
                self._spawn(self._serve, actor.key, int(name), due_at_us, distance_us / 1e6)

    async def _serve(self, key: RunKey, n: int, due_at_us: int, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        try:
            await self._broker.publish(self._effects.tick(key, n, due_at_us))
        except BrokerError as error:  # the scheduled message comes too
            log("tick.failed", logging.WARNING, run=key, error=error)
