"""The object of an `Advance` whose moves, or whose definition, are too large for a record."""

from __future__ import annotations

import msgspec


class LargeAdvance(msgspec.Struct, frozen=True):
    """What an `Advance` names by its `ref`."""

    moves: msgspec.Raw
    definition: msgspec.Raw | None = None
