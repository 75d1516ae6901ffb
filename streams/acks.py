"""Acks: the end of a delivery. The server is told, and the partition that a place is free again."""

from __future__ import annotations

from collections.abc import Callable

from .letters import Detour, Letter, Unreadable
from .ports import Broker, Delivery


class Acks:
    """Acknowledges letters.

    Args:
        on_settled: Hears of each with its partition; the delivery is out of this worker's hands.
    """

    def __init__(self, broker: Broker, on_settled: Callable[[int, Delivery], None]) -> None:
        self._broker = broker
        self._on_settled = on_settled

    def ack(self, letter: Letter | Unreadable | Detour) -> None:
        """Acknowledges one; lost with the connection, then it is delivered again and recognised."""
        if letter.delivery.reply:
            self._broker.ack(letter.delivery.reply)
        self._on_settled(letter.partition, letter.delivery)

    def let_go(self, letter: Letter | Unreadable | Detour) -> None:
        """Gives one up unacked: a newer delivery of the message is in hand, or it shall come again."""
        self._on_settled(letter.partition, letter.delivery)
