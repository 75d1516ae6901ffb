"""Claim checks: values too large for a message wait in the object store, named by run and hash."""

from __future__ import annotations

from hashlib import sha256

from ..actors.errors import BadLog, InvalidValue
from ..actors.limits import VALUE_BYTES_MAX, VALUE_INLINE_BYTES_MAX
from ..actors.messages import Ref
from ..actors.names import RunKey
from ..streams.ports import Broker
from ..streams.subjects import App


class Claims:
    """Stores and fetches large values of one app."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app = app

    def check(self, data: bytes, *, where: str) -> Ref | None:
        """Returns the reference under which the value must travel, or None where it fits a message.

        Raises:
            InvalidValue: It is larger than any value may be.
        """
        if len(data) > VALUE_BYTES_MAX:
            raise InvalidValue(
                where, f"{len(data)} bytes of JSON; at most {VALUE_BYTES_MAX}; store it elsewhere and pass its name"
            )
        if len(data) <= VALUE_INLINE_BYTES_MAX:
            return None
        return Ref(sha256=sha256(data).hexdigest(), size=len(data))

    async def put(self, key: RunKey, ref: Ref, data: bytes) -> None:
        """Stores a value durably; must be done before the message that refers to it is published. Idempotent."""
        await self._broker.put_object(self._app.values, _name(key, ref), data)

    async def get(self, key: RunKey, ref: Ref) -> bytes:
        """Fetches a value.

        Raises:
            BadLog: It is gone or damaged.
        """
        data = await self._broker.get_object(self._app.values, _name(key, ref))
        if data is None:
            raise BadLog(f"value {ref.sha256[:12]} of run {key} is not in the object store {self._app.values!r}")
        if sha256(data).hexdigest() != ref.sha256:
            raise BadLog(f"value {ref.sha256[:12]} of run {key} is damaged: its hash differs")
        return data


def _name(key: RunKey, ref: Ref) -> str:
    return f"{key.workflow}/{key.run}/{ref.sha256}"
