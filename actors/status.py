"""Status: what a workflow says of itself, as keys and values in the run's summary.

They follow from the code as its decisions do, so the log keeps them for readers alone: replay makes them anew and
compares nothing, and a text may change while runs are under way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import InvalidValue
from .limits import STATUS_BYTES_MAX, STATUS_VALUES_MAX


class StatusValues:
    """The status values of one run."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}
        """By the decision under way; None for what was taken away."""
        self._sizes: dict[str, int] = {}

    def set(self, key: str, raw: bytes) -> None:
        """Sets a value, given as JSON; `null` takes the key away.

        Raises:
            InvalidValue: There would be too many, or they would be too large.
        """
        where = f"status value {key!r}"
        value = msgspec.json.decode(raw)
        sizes = {**self._sizes, key: len(key) + len(raw)}
        if value is None:
            del sizes[key]
        if len(sizes) > STATUS_VALUES_MAX:
            raise InvalidValue(where, f"{STATUS_VALUES_MAX} keys are set already; set one of them to None first")
        if sum(sizes.values()) > STATUS_BYTES_MAX:
            text = f"{len(raw)} bytes, {sum(sizes.values())} with the others; at most {STATUS_BYTES_MAX} for all"
            raise InvalidValue(where, f"{text}: keep more in a step's system, or answer a query with it")
        self._sizes = sizes
        self.changed[key] = value
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
