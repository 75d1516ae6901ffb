"""Dead letters keep the reason and the original bytes."""

from __future__ import annotations

import base64

import msgspec
from msgspec.structs import replace

from jetrun.actors.names import RunKey
from jetrun.streams.dead_letter import dead_letter
from jetrun.streams.ports import Delivery
from jetrun.streams.subjects import App

APP = App("shop")


def delivery(payload: bytes, subject: str = "wf.shop.work.default.order.o-1.1", seq: int = 7) -> Delivery:
    return Delivery(subject, payload, seq, 1_000, 1, 0, "reply", "", {"From": "here"})


def test_text_is_kept_as_text() -> None:
    """An operator reads what was sent."""
    letter = dead_letter(APP, delivery(b'{"a": 1'), RunKey("order", "o-1"), code="json", reason="cut short")

    assert letter.subject == "wf.shop.dead.order.o-1"
    assert msgspec.json.decode(letter.payload) == {
        "code": "json",
        "reason": "cut short",
        "subject": "wf.shop.work.default.order.o-1.1",
        "seq": 7,
        "at_us": 1_000,
        "headers": {"From": "here"},
        "body": '{"a": 1',
    }


def test_the_pin_is_not_kept() -> None:
    """It is the worker's own, not the sender's."""
    pinned = replace(delivery(b""), headers={"From": "here", "Nats-Pin-Id": "p"})
    letter = dead_letter(APP, pinned, RunKey("order", "o-1"), code="json", reason="empty")

    assert msgspec.json.decode(letter.payload)["headers"] == {"From": "here"}


def test_bytes_are_kept_as_base64() -> None:
    """Not a byte is lost."""
    letter = dead_letter(APP, delivery(b"\xff\x00"), RunKey("order", "o-1"), code="json", reason="no text")

    body = msgspec.json.decode(letter.payload)
    assert base64.b64decode(body["body_base64"]) == b"\xff\x00"
    assert "body" not in body


def test_a_delivery_for_no_run_gets_a_subject_of_its_own() -> None:
    """Two unreadable subjects share none, and nothing of them becomes a token."""
    letters = [
        dead_letter(APP, delivery(b"", "wf.shop.work.*.>", seq), None, code="subject", reason="*") for seq in (1, 2)
    ]

    assert letters[0].subject.startswith("wf.shop.dead._.")
    assert letters[0].subject != letters[1].subject
    assert "*" not in letters[0].subject
