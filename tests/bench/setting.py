"""Setting: what holds for all cases of one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

Side = Literal["jetrun", "baseline"]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How the cases are measured."""

    mode: str
    """Durability: `server.PAGE_CACHE` or `server.SYNC_ALWAYS`."""
    rounds: int

    def sides(self, *, times: int = 1) -> Iterator[Side]:
        """Says whose turn it is: both `times` times per round, and who goes first alternates.

        A machine that is getting busier, or quieter, then favours neither side.
        """
        for index in range(self.rounds * times):
            yield from ("baseline", "jetrun") if index % 2 == 0 else ("jetrun", "baseline")
