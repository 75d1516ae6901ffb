"""The sender: the client of a campaign. It sends what was planned, again and again where an answer stays away.

Every try and every answer is noted; what the audit calls acknowledged is what this file has heard, nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.abc
import msgspec

from jetrun.actors.errors import BrokerError
from jetrun.actors.names import RunKey
from jetrun.streams.ports import UNKNOWN, Broker, Outgoing
from jetrun.streams.subjects import App

from .crew import now_us
from .plans import Letter, Plan

IN_FLIGHT_S: Final = 0.0005
TIMEOUT_S: Final = 1.0
PAUSE_S: Final = 0.2
AGAIN_S: Final = 3.0
"""Within this time after its acknowledgement a message is sent again."""

GIVE_UP_S: Final = 60.0
INPUTS: Final = ("hook", "update")
"""What may be sent before the run is there."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try to send a message."""

    id: str
    verb: str
    workflow: str
    run: str
    sent_at_us: int
    answered_at_us: int
    code: int
    """0: acknowledged; -1: no answer; else the server's refusal."""
    seq: int = 0
    is_again: bool = False
    """It had been acknowledged before."""


class Sender:
    """Sends the letters of all plans.

    Args:
        on_sending: Called while a message is on its way.
    """

    def __init__(self, broker: Broker, app: App, rng: Random, *, on_sending: Callable[[], None]) -> None:
        self.tries: list[Try] = []
        self._broker = broker
        self._app = app
        self._rng = rng
        self._on_sending = on_sending

    async def send(self, plans: Sequence[Plan]) -> None:
        """Sends everything at its time: a run's hooks and updates each after the acknowledgement of the last, also before its start;
        what steers it only once its start is acknowledged, because without a run there is nothing to steer.
        """
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for plan in plans:
                inputs = [letter for letter in plan.letters if letter.verb in INPUTS]
                tasks.start_soon(self._send_in_order, plan.key, inputs, began, tasks)
                tasks.start_soon(self._start_and_steer, plan, began, tasks)

    @property
    def acked(self) -> set[str]:
        """Ids of the acknowledged messages."""
        return {entry.id for entry in self.tries if entry.code == 0}

    def save(self, path: Path) -> None:
        """Writes the history, one try per line."""
        path.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in self.tries))

    async def _start_and_steer(self, plan: Plan, began: float, tasks: anyio.abc.TaskGroup) -> None:
        start, *others = [letter for letter in plan.letters if letter.verb not in INPUTS]
        # In order: a pause that were stored after its resume would last for ever.
        await self._send_in_order(plan.key, [start, *sorted(others, key=lambda letter: letter.at_s)], began, tasks)

    async def _send_in_order(
        self, key: RunKey, letters: Sequence[Letter], began: float, tasks: anyio.abc.TaskGroup
    ) -> None:
        for letter in letters:
            await anyio.sleep_until(began + letter.at_s)
            await self._send_one(key, letter, is_again=False)
            for _ in range(letter.copies):
                tasks.start_soon(self._send_again, key, letter, self._rng.uniform(0, AGAIN_S))

    async def _send_again(self, key: RunKey, letter: Letter, after_s: float) -> None:
        await anyio.sleep(after_s)
        await self._send_one(key, letter, is_again=True)

    async def _send_one(self, key: RunKey, letter: Letter, *, is_again: bool) -> None:
        outgoing = Outgoing(self._app.input(key, letter.verb, letter.name), msgspec.json.encode(letter.body))
        give_up_at = anyio.current_time() + GIVE_UP_S
        while anyio.current_time() < give_up_at:
            sent_at_us, code, seq = now_us(), UNKNOWN, 0
            # Written in this turn of the loop: a moment later it is on its way, and the answer is not here yet.
            asyncio.get_running_loop().call_later(self._rng.uniform(0, IN_FLIGHT_S), self._on_sending)
            try:
                ack = await self._broker.publish(outgoing, timeout_s=TIMEOUT_S)
                code, seq = ack.code, ack.seq
            except BrokerError:
                pass
            self.tries.append(
                Try(
                    id=letter.id,
                    verb=letter.verb,
                    workflow=key.workflow,
                    run=key.run,
                    sent_at_us=sent_at_us,
                    answered_at_us=now_us(),
                    code=code,
                    seq=seq,
                    is_again=is_again,
                )
            )
            if code == 0:
                return
            await anyio.sleep(PAUSE_S * self._rng.uniform(0.5, 1.5))
