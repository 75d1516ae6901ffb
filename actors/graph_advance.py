"""The object of an `Advance` whose moves, or whose definition, are too large for a record."""

from __future__ import annotations

import msgspec

from .messages import OptionalRaw


class LargeAdvance(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an `Advance` names by its `ref`."""

    moves: msgspec.Raw
    definition: OptionalRaw = None
