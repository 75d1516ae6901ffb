"""Seen: which messages a run has taken already, so that none is applied twice (R5).

A delivery is known by stream, sequence and server time, an intent by its sender's id. When a run continues as new, its
new link is told of both by their digests: whoever reads the log from there on knows what came before.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw

from .limits import MESSAGE_IDS_MAX
from .messages import Message
from .records import Folded

_DIGEST_BYTES: Final = 9
"""72 bits: among 10,000 no two alike, and a multiple of three, which base64 writes without filling."""

_CARRIED: Final = frozenset({"hook", "update", "cancel", "terminate", "pause", "resume"})
"""Verbs whose repetition only these notes recognise. A new link has none of the old one's commands, a start is known
by its mark, and ticks may come as often as they like."""


class Seen:
    """The messages that a run's log holds."""

    def __init__(self) -> None:
        self._deliveries: set[tuple[str, int, int]] = set()
        self._ids: dict[str, None] = {}
        self._nameless: dict[tuple[str, int, int], None] = {}
        """Deliveries of senders who gave no id, of verbs that a new link is told of."""
        self._carried: dict[bytes, None] = {}

    def note(self, messages: Iterable[Folded]) -> None:
        """Remembers deliveries, and the newest `MESSAGE_IDS_MAX` of their senders' own ids."""
        for folded in messages:
            delivery = (folded.source, folded.seq, folded.at_us)
            self._deliveries.add(delivery)
            name = _id_of(folded.body)
            if name:
                self._ids[name] = None
            elif folded.verb in _CARRIED:
                self._nameless[delivery] = None
        _cut(self._ids)
        _cut(self._nameless)

    def has_delivery(self, message: Message) -> bool:
        """Tells whether this very delivery was taken."""
        delivery = (message.source, message.seq, message.at_us)
        return delivery in self._deliveries or (bool(self._carried) and _delivery_digest(delivery) in self._carried)

    def has_id(self, message: Message) -> bool:
        """Tells whether a message with the sender's id was taken."""
        name = message.body.id
        return bool(name) and (name in self._ids or (bool(self._carried) and _id_digest(name) in self._carried))

    def pack(self) -> str:
        """Writes down, for the next link, the newest `MESSAGE_IDS_MAX` of what it has to recognise."""
        digests = dict(self._carried)
        digests.update(dict.fromkeys(map(_delivery_digest, self._nameless)))
        digests.update(dict.fromkeys(map(_id_digest, self._ids)))
        _cut(digests)
        return b64encode(b"".join(digests)).decode()

    @classmethod
    def unpack(cls, text: str) -> Seen:
        """Reads what `pack` has written."""
        seen = cls()
        raw = b64decode(text)
        seen._carried = dict.fromkeys(_pieces(raw))
        return seen


def _pieces(raw: bytes) -> Iterator[bytes]:
    for index in range(0, len(raw), _DIGEST_BYTES):
        yield raw[index : index + _DIGEST_BYTES]


def _cut(kept: dict[str, None] | dict[bytes, None] | dict[tuple[str, int, int], None]) -> None:
    while len(kept) > MESSAGE_IDS_MAX:
        del kept[next(iter(kept))]  # type: ignore[arg-type]  # its own key, whatever its type


def _delivery_digest(delivery: tuple[str, int, int]) -> bytes:
    source, seq, at_us = delivery
    return blake2b(f"{source} {seq} {at_us}".encode(), digest_size=_DIGEST_BYTES, person=b"delivery").digest()


def _id_digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=_DIGEST_BYTES, person=b"id").digest()


class _WithId(msgspec.Struct):
    id: str = ""


_ID: Final = msgspec.json.Decoder(_WithId)


def has_key(body: Raw, key: bytes) -> bool:
    """Tells whether a body may have a key, at the cost of a search: False is certain, a key may be written in escapes.

    Args:
        key: With its quotes.
    """
    raw = bytes(body)
    return key in raw or b"\\u" in raw


def _id_of(body: Raw) -> str:
    return _ID.decode(body).id if has_key(body, b'"id"') else ""
