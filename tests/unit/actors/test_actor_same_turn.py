"""Messages that an actor gets in one turn are treated as if each had had a turn of its own (R12)."""

from __future__ import annotations

import msgspec

from jetrun.actors import hook, workflow
from jetrun.actors.actor import Actor
from jetrun.actors.decision import Decision
from jetrun.actors.messages import Hook, Message, Start, Terminate, encode_body
from jetrun.actors.names import RunKey


@workflow
async def pair() -> list[int]:
    return [await hook("a", int), await hook("a", int)]


def fold(*bodies: Start | Hook | Terminate) -> Decision:
    """Folds a new run's first messages in one turn."""
    messages = [
        Message(
            source=Message.MAIL,
            seq=seq,
            at_us=seq,
            verb=type(body).__name__.lower(),
            name="a" if isinstance(body, Hook) else "",
            raw=encode_body(body),
            body=body,
        )
        for seq, body in enumerate(bodies, 1)
    ]
    actor = Actor("t", RunKey("pair", "p-1"), pair, by="w")
    return actor.fold(messages, objects={}, nonce="n")


def a(payload: int, message_id: str = "") -> Hook:
    return Hook(id=message_id, payload=msgspec.Raw(b"%d" % payload))


def test_an_id_that_comes_twice_is_applied_once() -> None:
    """A sender that repeats a message at once is still one intent (R5)."""
    decision = fold(Start(), a(1, "x"), a(1, "x"), a(2))

    (record,) = decision.parts
    assert record.outcome is not None
    assert bytes(record.outcome.result) == b"[1,2]"
    assert [message.seq for message in record.messages] == [1, 2, 4]
    assert [(verdict.message.seq, verdict.code) for verdict in decision.verdicts] == [(3, "")]


def test_a_hook_after_the_end_is_refused() -> None:
    """Its sender got a PubAck: it is applied, or it is said that it was not (R15)."""
    decision = fold(Start(), a(1), a(2), a(3), Terminate())

    (record,) = decision.parts
    assert record.outcome is not None
    assert record.outcome.status == "completed"
    assert [(refused.seq, refused.code) for refused in record.refused] == [(4, "ended")]


def test_a_hook_after_terminate_is_refused() -> None:
    decision = fold(Start(), a(1), Terminate(), a(2))

    (record,) = decision.parts
    assert record.outcome is not None
    assert record.outcome.status == "terminated"
    assert [(refused.seq, refused.code) for refused in record.refused] == [(4, "ended")]
