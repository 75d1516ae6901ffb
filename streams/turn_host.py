"""The host of turns: what they ask of the worker around them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Protocol

from ..actors.names import RunKey
from .ports import Delivery


class Host(Protocol):
    """The worker around the turns."""

    def spawn(self, function: Callable[..., Coroutine[object, object, None]], /, *args: object) -> None:
        """Starts a task that ends with the worker."""
        ...

    def known_workflows(self) -> Collection[str]:
        """Names that other workers or provisioning know: their runs are parked, not refused (R17)."""
        ...

    def on_started(self, key: RunKey, started_at_us: int, *, is_new: bool) -> None:
        """Hears of a run that begins, or goes on here (R20)."""
        ...

    def on_settled(self, partition: int, delivery: Delivery) -> None:
        """Hears of a delivery that was acked."""
        ...

    def on_ended(self, key: RunKey) -> bool:
        """Hears of a run that ends; tells whether it may have left an entry in the index."""
        ...
