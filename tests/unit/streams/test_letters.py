"""Letters: what is read of a delivery, and why what cannot be read is dead."""

from __future__ import annotations

import pytest

from jetrun.actors.messages import Cancel
from jetrun.actors.names import RunKey
from jetrun.streams.letters import Letter, Unreadable, read_mail, read_stray
from jetrun.streams.ports import Delivery
from jetrun.streams.subjects import App

APP = App("shop")
KEY = RunKey("order", "o-1")


def delivery(tail: str, body: bytes = b"{}") -> Delivery:
    return Delivery(f"wf.shop.{tail}", body, 7, 1_000_000, 1, 0, "reply")


def test_a_good_message_is_a_letter_for_its_run() -> None:
    """It would wait, or go to another run."""
    letter = read_mail(APP, b"secret", 3, delivery("mail.3.order.o-1.cancel"))

    assert isinstance(letter, Letter)
    assert (letter.key, letter.partition, letter.message.body) == (KEY, 3, Cancel())


def test_a_result_without_its_token_is_dead() -> None:
    """Anybody could decide a step who may publish to the run (R18)."""
    letter = read_mail(
        APP, b"secret", 3, delivery("mail.3.order.o-1.step", b'{"command":1,"attempt":1,"token":"guess","result":1}')
    )

    assert isinstance(letter, Unreadable)
    assert (letter.key, letter.code) == (KEY, "token")


@pytest.mark.parametrize(
    ("tail", "key", "code", "reason"),
    [
        ("run.order.*.start", None, "subject", "run id '*'"),
        ("run.>.o-1.start", None, "subject", "workflow name '>'"),
        ("run.order.o-1.>", KEY, "verb", "unknown verb '>'"),
        ("run.order.o-1.hook.*", KEY, "verb", "unknown verb 'hook.*'"),
        ("mail.3.order.a\x7fb.start", None, "subject", "run id 'a\\x7fb'"),
        ("mail.3.order.o-1.hook.\x7f", KEY, "verb", "unknown verb 'hook.\\x7f'"),
        ("run.order.o-1.cancel", KEY, "subject", "was not routed"),
    ],
)
def test_a_stray_is_dead_whatever_it_says(tail: str, key: RunKey | None, code: str, reason: str) -> None:
    """It would stay in the mailbox for ever, after its sender was told that it will be applied (R10)."""
    stray = read_stray(APP, delivery(tail))

    assert (stray.key, stray.code) == (key, code)
    assert reason in stray.reason
