"""The sender: the client of a simulation; it publishes what was planned until it is acknowledged, and some of it again."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import anyio
import anyio.abc
import msgspec

from campaign.plans import Letter, Plan
from jetrun.actors.errors import BrokerError
from jetrun.actors.names import RunKey
from jetrun.streams.ports import Broker, Outgoing
from jetrun.streams.subjects import App

TIMEOUT_S = 1.0
PAUSE_S = 0.2
AGAIN_S = 4.0


class Sender:
    """Sends the letters of all plans: a run's start and what steers it in order, its hooks and updates in order and perhaps before."""

    def __init__(self, broker: Broker, app: App, rng: Random) -> None:
        self.acked: set[str] = set()
        self._broker = broker
        self._app = app
        self._rng = rng

    async def send(self, plans: Sequence[Plan]) -> None:
        """Returns when everything was acknowledged."""
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for plan in plans:
                start, *others = plan.letters
                inputs = [letter for letter in others if letter.verb in ("hook", "update")]
                steering = sorted((x for x in others if x not in inputs), key=lambda letter: letter.at_s)
                tasks.start_soon(self._send_in_order, plan.key, [start, *steering], began, tasks)
                tasks.start_soon(self._send_in_order, plan.key, inputs, began, tasks)

    async def _send_in_order(
        self, key: RunKey, letters: Sequence[Letter], began: float, tasks: anyio.abc.TaskGroup
    ) -> None:
        for letter in letters:
            await anyio.sleep_until(began + letter.at_s)
            await self._send_one(key, letter)
            for _ in range(letter.copies):
                tasks.start_soon(self._send_again, key, letter, self._rng.uniform(0, AGAIN_S))

    async def _send_again(self, key: RunKey, letter: Letter, after_s: float) -> None:
        await anyio.sleep(after_s)
        await self._send_one(key, letter)

    async def _send_one(self, key: RunKey, letter: Letter) -> None:
        outgoing = Outgoing(self._app.input(key, letter.verb, letter.name), msgspec.json.encode(letter.body))
        while True:
            try:
                ack = await self._broker.publish(outgoing, timeout_s=TIMEOUT_S)
            except BrokerError:
                pass
            else:
                if ack.code == 0:
                    self.acked.add(letter.id)
                    return
            await anyio.sleep(PAUSE_S * self._rng.uniform(0.5, 1.5))
