"""Quiet: waiting, not for ever, until every run has ended and every stream that should be empty is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from jetrun.actors.errors import BrokerError
from jetrun.actors.names import RunKey
from jetrun.actors.records import decode_record
from jetrun.streams.ports import Broker
from jetrun.streams.subjects import App

LOOK_S: Final = 0.3


async def wait_quiet(broker: Broker, app: App, keys: Sequence[RunKey], *, at_most_s: float) -> bool:
    """Waits until all runs have ended and MAIL, WORK and TIMERS are empty; False where the time was not enough."""
    left = set(keys)
    with anyio.move_on_after(at_most_s):
        while True:
            try:
                left = {key for key in left if not await _has_ended(broker, app, key)}
                if not left and not await _held(broker, app):
                    return True
            except BrokerError:
                pass
            await anyio.sleep(LOOK_S)
    return False


async def _has_ended(broker: Broker, app: App, key: RunKey) -> bool:
    last = await broker.last(app.log, app.log_of(key))
    return last is not None and decode_record(last.payload).outcome is not None


async def _held(broker: Broker, app: App) -> int:
    return sum([(await broker.stream_state(stream)).messages for stream in (app.mail, app.work, app.timers)])
