"""A partition as its worker sees it: the pulls on its mailbox and its fired timers, the takeover read, and ticks that
wait until the mailbox has been read up to their time (R6, R14).

Nothing is handed on before the takeover read: what an earlier owner had in its hands comes first, in order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from ..actors.errors import BrokerError
from .deliveries import ack_subject
from .letters import Detour, Letter, Unreadable, read_fired, read_mail
from .ports import Broker, Consumption, Delivery, Stored
from .subjects import App
from .telemetry import log

_BATCH: Final = 256
"""Deliveries of a consumer that may be in hand, neither acked nor given up: what bounds a worker's memory in a flood."""
_TICK_LOOK_S: Final = 0.05
_LOOKS_MAX: Final = 20
_RETRY_S: Final = 0.2

OnLetters = Callable[[Sequence["Letter | Unreadable | Detour"]], None]


class Partition:
    """One partition's intake.

    Args:
        number: Which one.
        on_letters: Called with what may be folded, in order.
        spawn: Starts a task in the worker's group.
    """

    def __init__(
        self,
        number: int,
        broker: Broker,
        app: App,
        actors_key: bytes,
        *,
        on_letters: OnLetters,
        spawn: Callable[..., None],
    ) -> None:
        self.number = number
        self.is_claimed = False
        """This worker serves it: owner, or standby whom the server has given the pin."""
        self._broker = broker
        self._app = app
        self._key = actors_key
        self._on_letters = on_letters
        self._mail_prefix = app.mail_filter(number).removesuffix(">")
        self._fired_prefix = app.fired_filter(number).removesuffix(">")
        self._spawn = spawn
        self.is_contested = False
        """Another live worker says that it serves the partition, too."""
        self._pins: dict[tuple[str, str], None] = {}
        """A set with an order: without one, a seed of the simulation would not repeat in another process."""
        self._mail: Consumption | None = None
        self._fired: Consumption | None = None
        self._pin = ""
        self._is_settled = False
        self._is_taking_over = False
        self._held: list[Delivery] = []
        self._ticks: dict[int, Letter] = {}
        self._is_looking = False
        self._mail_order = 0
        self._fired_order = 0
        self._fired_pin = ""
        self._mail_at_us = 0
        self._breaks = 0
        """How often deliveries went elsewhere, or were dropped: a takeover read from before such a break says too little."""

    @property
    def is_open(self) -> bool:
        """Tells whether this worker pulls at all."""
        return self._mail is not None

    async def open(self) -> None:
        """Begins to pull the mailbox: as owner, or standing by. Raises NotProvisioned."""
        if self._mail is None:
            self._mail = await self._broker.consume(
                self._app.mail,
                self._app.mail_consumer(self.number),
                self._on_mail,
                batch=_BATCH,
                credit=_BATCH,
                is_pinned=True,
            )

    async def acquire(self) -> None:
        """Takes the partition over: reads what others left, then serves it."""
        await self.open()
        self.is_claimed = True
        self._start_takeover()

    async def release(self) -> None:
        """Stops pulling; what was not acked is found by the successor. Follow it with `unpin` when the last turn ended."""
        mail, fired, was_claimed = self._mail, self._fired, self.is_claimed
        self._mail = self._fired = None
        self.is_claimed = self._is_settled = False
        self._breaks += 1
        self._held.clear()
        self._ticks.clear()
        self._pin = self._fired_pin = ""
        for consumption, stream, consumer in (
            (mail, self._app.mail, self._app.mail_consumer(self.number)),
            (fired, self._app.timers, self._app.fired_consumer(self.number)),
        ):
            if consumption is not None:
                # Whatever we know of it: a pin comes with a delivery, and that one may still be on its way.
                if consumption.pin or was_claimed:
                    self._pins[stream, consumer] = None
                await consumption.close()

    async def unpin(self) -> None:
        """Gives up the pins that were held when it was released, so that a waiting pull is served at once."""
        while self._pins:
            (stream, consumer), _ = self._pins.popitem()
            try:
                await self._broker.unpin(stream, consumer)
            except BrokerError as error:
                log("partition.unpin_failed", logging.WARNING, partition=self.number, error=error)

    def lose(self) -> None:
        """Takes note that others may have served it meanwhile: nothing is handed on before another takeover read."""
        self._is_settled = False
        self.is_claimed = False
        self._breaks += 1

    def settled(self, delivery: Delivery) -> None:
        """Takes note that a delivery is out of hand: another one may come."""
        if not delivery.order:
            return  # read at a takeover, not handed out
        consumption = None
        if delivery.subject.startswith(self._mail_prefix):
            consumption = self._mail
        elif delivery.subject.startswith(self._fired_prefix):
            consumption = self._fired
        if consumption is not None:
            consumption.want(1)

    # --- deliveries -------------------------------------------------------------------------------
    def _on_mail(self, deliveries: Sequence[Delivery]) -> None:
        first, last = deliveries[0], deliveries[-1]
        if last.pin and last.pin != self._pin:
            if self._pin or not self.is_claimed:
                self._is_settled = False  # somebody else may have had it in between
            self._pin = last.pin
        if first.order > self._mail_order + 1:
            # Somebody else was handed mail after the last look: a pull of a dead machine can get the pin, too.
            self._is_settled = False
            self._breaks += 1
        self._mail_order = max(self._mail_order, last.order)
        self._mail_at_us = max(self._mail_at_us, last.at_us)
        if self._is_settled:
            self._on_letters([read_mail(self._app, self._key, self.number, d) for d in deliveries])
            self._release_ticks()
        else:
            self._held.extend(deliveries)
            self.is_claimed = True
            self._start_takeover()

    def _on_fired(self, deliveries: Sequence[Delivery]) -> None:
        first, last = deliveries[0], deliveries[-1]
        if last.pin and (last.pin != self._fired_pin or first.order > self._fired_order + 1):
            self._fired_pin = last.pin
            self._is_settled = False  # as for mail: somebody else may have ticks in hand that nobody will bring
            self._breaks += 1
            self._start_takeover()
        self._fired_order = max(self._fired_order, last.order)
        ready: list[Letter | Unreadable | Detour] = []
        for delivery in deliveries:
            letter = read_fired(self._app, self.number, delivery)
            if isinstance(letter, Letter):
                replaced = self._ticks.get(delivery.seq)
                if replaced is not None:
                    self.settled(replaced.delivery)
                self._ticks[delivery.seq] = letter  # a redelivery brings a newer handle
            else:
                ready.append(letter)
        if ready:
            self._on_letters(ready)
        self._release_ticks()
        if self._ticks and not self._is_looking:
            self._is_looking = True
            self._spawn(self._look)

    # --- takeover ------------------------------------------------------------------------------------
    def _start_takeover(self) -> None:
        if not self._is_taking_over and not self._is_settled:
            self._is_taking_over = True
            self._spawn(self._take_over)

    async def _take_over(self) -> None:
        try:
            while self.is_claimed and not self._is_settled:
                breaks = self._breaks
                try:
                    mail = await self._left(
                        self._app.mail, self._app.mail_consumer(self.number), self._app.mail_filter(self.number)
                    )
                    fired = await self._left(
                        self._app.timers, self._app.fired_consumer(self.number), self._app.fired_filter(self.number)
                    )
                except BrokerError as error:
                    log("partition.takeover_failed", logging.WARNING, partition=self.number, error=error)
                    await anyio.sleep(_RETRY_S)
                    continue
                if self.is_claimed and breaks == self._breaks:
                    self._settle(mail, fired)
        finally:
            self._is_taking_over = False
        if self.is_claimed and self._is_settled and self._fired is None:
            await self._open_fired()

    def _settle(self, mail: list[Delivery], fired: list[Delivery]) -> None:
        held = {delivery.seq: delivery for delivery in mail}
        for delivery in self._held:  # those have a newer handle
            if delivery.seq in held:
                self.settled(held[delivery.seq])
            held[delivery.seq] = delivery
        self._held = []
        self._is_settled = True
        if mail or fired:
            log("partition.taken_over", partition=self.number, messages=len(mail), ticks=len(fired))
        letters: list[Letter | Unreadable | Detour] = [
            read_mail(self._app, self._key, self.number, delivery) for _, delivery in sorted(held.items())
        ]
        if letters:
            self._on_letters(letters)
        if fired:
            self._on_fired(fired)
        self._release_ticks()

    async def _left(self, stream: str, consumer: str, subject: str) -> list[Delivery]:
        """Reads what was delivered to anybody and is not acked."""
        stored: list[Stored] = []
        for _ in range(_LOOKS_MAX):
            state = await self._broker.consumer_state(stream, consumer)
            if stream == self._app.mail:
                self._mail_order = max(self._mail_order, state.handed_out)
            else:
                self._fired_order = max(self._fired_order, state.handed_out)
            if not state.ack_pending or state.delivered <= state.ack_floor:
                return []
            stored = await self._broker.read(stream, subject, from_seq=state.ack_floor + 1, to_seq=state.delivered)
            if len(stored) >= state.ack_pending:
                break
            # Acked meanwhile, or read from a replica that lags: what is missed here comes after newer messages.
            await anyio.sleep(_TICK_LOOK_S)
        return [
            Delivery(s.subject, s.payload, s.seq, s.at_us, 1, 0, ack_subject(stream, consumer, s.seq), "", s.headers)
            for s in stored
        ]

    async def _open_fired(self) -> None:
        while self.is_claimed and self._fired is None:
            try:
                fired = await self._broker.consume(
                    self._app.timers,
                    self._app.fired_consumer(self.number),
                    self._on_fired,
                    batch=_BATCH,
                    credit=_BATCH,
                    is_pinned=True,
                )
            except BrokerError as error:
                log("partition.fired_failed", logging.WARNING, partition=self.number, error=error)
                await anyio.sleep(_RETRY_S)
                continue
            if self.is_claimed and self._fired is None:
                self._fired = fired
            else:
                await fired.close()

    # --- ticks -----------------------------------------------------------------------------------------
    def _release_ticks(self) -> None:
        if not self._is_settled:
            return  # mail that came before them is held back
        ready = [letter for letter in self._ticks.values() if letter.message.at_us <= self._mail_at_us]
        if ready:
            for letter in ready:
                del self._ticks[letter.delivery.seq]
            self._on_letters(ready)

    async def _look(self) -> None:
        """Asks whether anything is left in the mailbox that was accepted before the ticks."""
        looks = 0
        try:
            while self._ticks and self._mail is not None:
                looks += 1
                if looks % _LOOKS_MAX == 0:
                    # Somebody else was handed mail of this partition: only a takeover read tells where it stands.
                    self.lose()
                    await self.acquire()
                newest_us = max(letter.message.at_us for letter in self._ticks.values())
                try:
                    state = await self._broker.consumer_state(self._app.mail, self._app.mail_consumer(self.number))
                except BrokerError:
                    await anyio.sleep(_RETRY_S)
                    continue
                if self._is_settled and not state.pending and state.handed_out <= self._mail_order:
                    self._mail_at_us = max(self._mail_at_us, newest_us)
                    self._release_ticks()
                else:
                    await anyio.sleep(_TICK_LOOK_S)
        finally:
            self._is_looking = False
