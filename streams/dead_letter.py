"""Dead letters: how a message that can never be applied is kept, with the reason and its original bytes (R10, R16)."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from ..actors.limits import DEAD_TEXT_BYTES_MAX
from ..actors.names import RunKey
from .ports import Delivery, Outgoing
from .subjects import App

_DIGEST_DIGITS: Final = 32
_PIN: Final = "Nats-Pin-Id"
"""Put in by the server, for the worker that the message was delivered to; everything else is the sender's."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a message in the DEAD stream; `body_base64` in place of `body` where the original is not UTF-8 (or
    all escapes, which would make it too long).
    """

    code: str
    """One of `messages.DEAD_CODES`."""
    reason: str
    subject: str
    seq: int
    at_us: int
    headers: dict[str, str] = {}
    body: str | None = None
    body_base64: bytes | None = None


_ENCODER: Final = msgspec.json.Encoder()


def dead_letter(app: App, delivery: Delivery, key: RunKey | None, *, code: str, reason: str) -> Outgoing:
    """Makes the message that buries a delivery.

    Args:
        key: The run that it was for, or None where the subject names none: a hash of the delivery stands for it.
    """
    text = _text(delivery.payload)
    letter = DeadLetter(
        code=code,
        reason=reason,
        subject=delivery.subject,
        seq=delivery.seq,
        at_us=delivery.at_us,
        headers={name: text for name, text in delivery.headers.items() if name != _PIN},
        body=text,
        body_base64=delivery.payload if text is None else None,
    )
    if key is not None:
        return Outgoing(app.dead_of(key), _ENCODER.encode(letter))
    digest = sha256(b"%d %d " % (delivery.seq, delivery.at_us) + delivery.subject.encode(errors="replace")).hexdigest()
    return Outgoing(app.dead_unreadable(digest[:_DIGEST_DIGITS]), _ENCODER.encode(letter))


def _text(payload: bytes) -> str | None:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if len(_ENCODER.encode(text)) <= DEAD_TEXT_BYTES_MAX else None
