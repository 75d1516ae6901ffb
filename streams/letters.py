"""Letters: deliveries whose address and body were read, on their way to an actor.

What cannot be read becomes a dead letter here, before any subject is built from it (R10); the token of a step result
is checked here (R18). From here on a message is known to be good in itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..actors.errors import BadMessage
from ..actors.messages import Body, ChildResult, Message, Start, StepResult, Tick, decode_body, encode_body
from ..actors.names import RunKey, chain_of, names_link
from ..actors.work import CHILD_ATTEMPT, is_token_valid
from .ports import Delivery
from .subjects import App, MailAddress


class Letter(msgspec.Struct, frozen=True):
    """One delivered message for one run."""

    delivery: Delivery
    partition: int
    key: RunKey
    message: Message


class Unreadable(msgspec.Struct, frozen=True):
    """A delivery that can never be applied."""

    delivery: Delivery
    partition: int
    key: RunKey | None
    code: str
    reason: str


class Detour(msgspec.Struct, frozen=True):
    """A delivered message for a link of a run's chain: the run that goes on takes it, wherever that is served."""

    delivery: Delivery
    partition: int
    key: RunKey
    """The run."""
    verb: str
    name: str
    raw: bytes
    """The body, with an id: sent on twice it is applied once."""


def read_mail(app: App, actors_key: bytes, partition: int, delivery: Delivery) -> Letter | Unreadable | Detour:
    """Reads a delivery of the mailbox."""
    key: RunKey | None = None
    try:
        address = app.read_mail(delivery.subject)
        key = address.key
        body = decode_body(address.verb, address.name, delivery.payload)
        _check_token(actors_key, key, body)
        if "--" in key.run and names_link(key.run):
            return _detour(delivery, partition, address, body)
    except BadMessage as bad:
        return Unreadable(delivery, partition, key, bad.code, bad.reason)
    message = Message(
        source=Message.MAIL,
        seq=delivery.seq,
        at_us=delivery.at_us,
        verb=address.verb,
        name=address.name,
        raw=delivery.payload,
        body=body,
    )
    return Letter(delivery, partition, key, message)


def _detour(delivery: Delivery, partition: int, address: MailAddress, body: Body) -> Detour:
    key = RunKey(address.key.workflow, chain_of(address.key.run)[0])
    if isinstance(body, Start):
        raise BadMessage(
            "subject", f"{address.key.run!r} names a link of run {key.run!r}; start a run under another id"
        )
    named = body if body.id else msgspec.structs.replace(body, id=f"{address.key}/{delivery.seq}/{delivery.at_us}")
    return Detour(delivery, partition, key, address.verb, address.name, encode_body(named))


def read_stray(app: App, delivery: Delivery) -> Unreadable:
    """Reads what no partition gets: its subject holds a wildcard of its own, or a byte that hides it (`strays.py`)."""
    key: RunKey | None = None
    try:
        address = app.read_mail(delivery.subject)
        key = address.key
        decode_body(address.verb, address.name, delivery.payload)
    except BadMessage as bad:
        return Unreadable(delivery, 0, key, bad.code, bad.reason)
    return Unreadable(delivery, 0, key, "subject", "the subject was not routed; does the mailbox lack its transform?")


def read_fired(app: App, partition: int, delivery: Delivery) -> Letter | Unreadable:
    """Reads a fired timer: whatever it holds, it is a tick and nothing more (R14)."""
    key = app.read_run(delivery.subject)
    if key is None:
        return Unreadable(delivery, partition, None, "subject", "a fired timer that names no run")
    try:
        body, raw = decode_body("timer", "", delivery.payload), delivery.payload
    except BadMessage:
        body, raw = Tick(), b"{}"
    message = Message(
        source=Message.FIRED, seq=delivery.seq, at_us=delivery.at_us, verb="timer", name="", raw=raw, body=body
    )
    return Letter(delivery, partition, key, message)


def distinct(letters: Sequence[Letter]) -> tuple[list[Letter], list[Letter]]:
    """Sorts by time, and takes each message once: read at a takeover it is delivered, too, and any delivery may double.

    Returns what to fold, and the deliveries that newer ones of the same message replace.
    """
    found: list[Letter] = []
    replaced: list[Letter] = []
    for letter in sorted(letters, key=_by_time):
        if not (found and _is_same(found[-1].message, letter.message)):
            found.append(letter)
        elif letter.delivery.order > found[-1].delivery.order:
            replaced.append(found[-1])
            found[-1] = letter
        else:
            replaced.append(letter)
    return found, replaced


def _check_token(actors_key: bytes, key: RunKey, body: Body) -> None:
    """Refuses the result of a step or child whose sender was not asked for it (R18). Raises BadMessage."""
    if isinstance(body, StepResult) and not is_token_valid(actors_key, key, body.command, body.attempt, body.token):
        raise BadMessage("token", f"the token of step command {body.command}, attempt {body.attempt} is wrong")
    if isinstance(body, ChildResult) and not is_token_valid(actors_key, key, body.command, CHILD_ATTEMPT, body.token):
        raise BadMessage("token", f"the token of child command {body.command} is wrong")


def _is_same(one: Message, other: Message) -> bool:
    return (one.at_us, one.seq, one.source) == (other.at_us, other.seq, other.source)


def _by_time(letter: Letter) -> tuple[int, int, str]:
    return (letter.message.at_us, letter.message.seq, letter.message.source)
