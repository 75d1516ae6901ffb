"""Strays: what was acknowledged at the public door ends among the dead letters, even where no partition gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from jetrun.actors import workflow
from jetrun.actors.registry import Registry
from jetrun.streams import strays
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App
from support.door import Door, body_of, open_door
from support.engine import running_engine

pytestmark = pytest.mark.anyio

WILDCARDS = {
    "order.*.start": "subject",
    "order.>.start": "subject",
    "*.o-1.start": "subject",
    ">.x.y.z": "subject",
    "order.o-1.*": "verb",
    "order.o-1.start.>": "verb",
    "order.o-1.hook.*": "verb",
}
HIDDEN = {"order.a\x7fb.start": "subject", "\x7f.o-1.start": "subject", "order.o-1.hook.\x7f": "verb"}


@workflow
async def order(name: str) -> str:
    """Ends at once."""
    return name


@pytest.fixture
async def door(nats_url: str, app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(strays, "SWEEP_EVERY_S", 0.1)
    async with running_engine(nats_url, app, Registry.of(order)), open_door(nats_url, app) as door:
        yield door


async def codes_of(door: Door, sent: dict[int, str]) -> dict[str, str]:
    """Waits for the dead letters of what was sent."""
    letters = {tail: await door.dead(seq) for seq, tail in sent.items()}
    assert all(body_of(letter) == b'{"args":["o-1"]}' for letter in letters.values())
    return {tail: letter["code"] for tail, letter in letters.items()}


@pytest.mark.parametrize("tails", [WILDCARDS, HIDDEN], ids=["wildcards", "hidden"])
async def test_a_stray_is_a_dead_letter(nats_url: str, app: App, door: Door, tails: dict[str, str]) -> None:
    """No consumer of a partition sees it: its sender was told that it is stored, and nobody would ever read it."""
    broker = await JetStream.connect(nats_url, name="strays")

    with anyio.fail_after(5):
        sent = {await door.send(tail, '{"args":["o-1"]}'): tail for tail in tails}
        codes = await codes_of(door, sent)
        while (await broker.stream_state(app.mail)).messages:
            await anyio.sleep(0.02)

    assert codes == tails
    await broker.close()


async def test_a_sweep_leaves_alone_what_stands_behind(door: Door) -> None:
    """What is removed from the front is the one message, not those around it."""
    sent: dict[int, str] = {}
    for number in range(5):
        sent[await door.send(f"order.{number}\x7f.start", '{"args":["o-1"]}')] = str(number)
        await door.send(f"order.r-{number}.start", '{"args":["o-1"]}')

    codes = await codes_of(door, sent)
    notices = [await door.notice(f"order.r-{number}") for number in range(5)]

    assert set(codes.values()) == {"subject"}
    assert [notice["status"] for notice in notices] == ["completed"] * 5


async def test_a_strays_headers_may_be_anything(nats_url: str, app: App, door: Door) -> None:
    """What the worker cannot read it would never ack, and be handed again for ever."""
    broker = await JetStream.connect(nats_url, name="strays")
    headers = b"NATS/1.0\r\nNats-Pin-Id: \xff\xfe\r\n\xff: \xff\r\n\r\n"

    broker.wire.send_publish(f"wf.{app.name}.run.order.*.start", "", headers, b"{}")

    assert (await door.dead(1))["code"] == "subject"
    await broker.close()
