"""The connection to a real server: what goes wrong is one clear line, and what is sent survives what it can."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from jetrun.actors.errors import (
    InvalidName,
    JetStreamOff,
    PayloadTooLarge,
    PermissionDenied,
    ServerLost,
    WrongCredentials,
)
from jetrun.streams.connection import Login
from jetrun.streams.jetstream import JetStream
from jetrun.streams.ports import EXPECT_LAST, UNKNOWN, WRONG_LAST, Outgoing
from jetrun.streams.provision import provision
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App
from support.configured_server import configured_server

START = Outgoing("wf.shop.run.order.o-1.start", b"{}")
QUIET = "wf.shop.log.order.o-1"

USERS = """
authorization { users: [
  {user: ops, password: s3cret}
  {user: service, password: s3cret, permissions: {publish: ["wf.shop.run.order.*.start", "$JS.API.INFO"], subscribe: ["_INBOX.>", "wf.shop.done.>"]}}
] }
"""


async def freeze(server: EmbeddedServer) -> None:
    """Stops a server as SIGSTOP does, and waits until all of its threads have noticed."""
    os.kill(server.pid, signal.SIGSTOP)
    threads = Path(f"/proc/{server.pid}/task")
    if not threads.exists():
        await asyncio.sleep(0.5)
        return
    async with asyncio.timeout(5):
        while any(") T " not in (thread / "stat").read_text() for thread in threads.iterdir()):
            await asyncio.sleep(0.01)


def ignore(_subject: str, _payload: bytes, _reply: str) -> None:
    """Takes a notice and does nothing."""


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStream]:
    broker = await JetStream.connect(nats_url, name="test")
    yield broker
    await broker.close()


@pytest.mark.slow
async def test_no_server_is_said_within_seconds_and_without_the_password() -> None:
    """A command does not hang on a wrong address; addresses are shown without user and password."""
    began = time.monotonic()

    with pytest.raises(ServerLost, match=r"no NATS server at nats://127\.0\.0\.1:1: ") as caught:
        await JetStream.connect("nats://user:secret@127.0.0.1:1", name="test", is_one_shot=True)

    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)


async def test_wrong_credentials_are_said_at_once(tmp_path: Path) -> None:
    """Trying again with a wrong password helps nobody."""
    with configured_server(tmp_path, USERS) as url:
        for login in (Login(user="ops", password="wrong"), Login(), Login(token="x")):
            began = time.monotonic()
            with pytest.raises(WrongCredentials, match="refused us"):
                await JetStream.connect(url, name="test", login=login)
            assert time.monotonic() - began < 2
        await (await JetStream.connect(url, name="test", login=Login(user="ops", password="s3cret"))).close()


async def test_a_missing_credentials_file_is_said_at_once() -> None:
    """The path is the clue."""
    with pytest.raises(WrongCredentials, match="/nowhere"):
        await JetStream.connect("nats://127.0.0.1:1", name="test", login=Login(creds_file="/nowhere"))


async def test_jetstream_off_is_said(tmp_path: Path) -> None:
    """Plain NATS is not enough, and the way out is in the message."""
    with configured_server(tmp_path, "", jetstream="off") as url, pytest.raises(JetStreamOff, match="-js"):
        await JetStream.connect(url, name="test", is_one_shot=True)


async def test_an_account_without_jetstream_is_said(tmp_path: Path) -> None:
    """The server has it, this account has not."""
    config = "accounts { A { users: [{user: a, password: a}] } }"
    with configured_server(tmp_path, config) as url:
        js = await JetStream.connect(url, name="test", login=Login(user="a", password="a"))
        with pytest.raises(JetStreamOff):
            await provision(js, App("shop"), queues=[])
        await js.close()


async def test_a_denied_publish_is_an_error_and_not_a_timeout(tmp_path: Path) -> None:
    """The server answers a denied publish with an asynchronous error only."""
    with configured_server(tmp_path, USERS) as url:
        ops = await JetStream.connect(url, name="ops", login=Login(user="ops", password="s3cret"))
        await provision(ops, App("shop"), queues=[])
        service = await JetStream.connect(url, name="service", login=Login(user="service", password="s3cret"))

        stored = await service.publish(START)
        began = time.monotonic()
        with pytest.raises(PermissionDenied, match=QUIET):
            await service.publish(Outgoing(QUIET, b"{}"))
        with pytest.raises(PermissionDenied, match=r"STREAM\.INFO"):
            await service.stream_state("WF_shop_LOG")
        with pytest.raises(PermissionDenied, match="subscribe"):
            await service.listen("wf.shop.live.>", ignore)

        assert stored.code == 0
        assert time.monotonic() - began < 2
        assert (await service.publish(replace(START, headers={EXPECT_LAST: "7"}))).code == WRONG_LAST
        await service.close()
        await ops.close()


async def test_a_role_that_cannot_hear_answers_is_told_so(tmp_path: Path) -> None:
    """Otherwise every request would be a timeout; with the role's own prefix all is well."""
    users = """authorization { users: [
      {user: ops, password: s3cret, permissions: {publish: ">", subscribe: "_INBOX_ops.>"}}
    ] }"""
    with configured_server(tmp_path, users) as url:
        with pytest.raises(PermissionDenied, match=r"'_INBOX\.>'"):
            await JetStream.connect(url, name="ops", login=Login(user="ops", password="s3cret"))
        login = Login(user="ops", password="s3cret", inbox_prefix="_INBOX_ops")
        ops = await JetStream.connect(url, name="ops", login=login)
        await provision(ops, App("shop"), queues=["default"], partitions=1)
        assert (await ops.publish(START)).code == 0
        await ops.close()


async def test_a_callback_that_fails_harms_nobody_else(js: JetStream, nats_url: str) -> None:
    """One bad notice handler must not cost the worker its connection."""
    got = asyncio.Event()

    def fail(_subject: str, _payload: bytes, _reply: str) -> None:
        raise ValueError("boom")

    await js.listen("wf.test.fail", fail)
    await js.listen("wf.test.fail", lambda _s, _p, _r: got.set())
    js.notify("wf.test.fail", b"")

    await asyncio.wait_for(got.wait(), 5)
    assert (await js.publish(Outgoing("wf.x", b""))).code == 503


async def test_a_message_beyond_the_servers_limit_is_refused_before_it_is_sent(js: JetStream) -> None:
    """The server would drop the connection for good; headers count."""
    room = js.payload_bytes_max
    with pytest.raises(PayloadTooLarge):
        await js.publish(Outgoing("wf.x", bytes(room - 5), {"A": "b"}))
    with pytest.raises(PayloadTooLarge):
        js.notify("wf.x", bytes(room + 1))

    assert (await js.publish(Outgoing("wf.x", bytes(room - 100)))).code == 503
    assert js.is_connected


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPING", "a" * 2000, "ä"])
async def test_a_subject_that_would_break_the_line_is_refused(js: JetStream, subject: str) -> None:
    """A long or broken protocol line closes the connection for good."""
    with pytest.raises(InvalidName):
        await js.publish(Outgoing(subject, b""))
    with pytest.raises(InvalidName):
        js.notify(subject, b"")
    with pytest.raises(InvalidName):
        await js.listen(subject, ignore)

    await js.flush()


async def test_no_stream_is_told_from_no_answer(js: JetStream) -> None:
    """503 comes at once, with our own code."""
    ack = await js.publish(Outgoing("wf.nobody.run.a.b.start", b""))

    assert (ack.code, ack.description) == (503, "no responders")


async def test_what_the_network_swallows_is_unknown_after_the_reconnect(own_server: EmbeddedServer) -> None:
    """A publish whose server died is not refused and not stored: nobody knows (rule of `UNKNOWN`)."""
    js = await JetStream.connect(own_server.url, name="test")
    await provision(js, App("shop"), queues=[])
    back = asyncio.Event()
    js.on_reconnect(back.set)
    await freeze(own_server)
    lost = asyncio.ensure_future(js.publish_many([START] * 10, timeout_s=30))
    await asyncio.sleep(0.05)
    os.kill(own_server.pid, signal.SIGKILL)
    await asyncio.to_thread(own_server.restart)
    later = asyncio.ensure_future(js.publish(START, timeout_s=30))

    began = time.monotonic()
    acks = await lost

    assert {ack.code for ack in acks} == {UNKNOWN}
    assert time.monotonic() - began < 5
    assert (await later).code == 0
    assert back.is_set()
    await js.close()


async def test_an_answer_that_does_not_come_is_unknown_in_time(own_server: EmbeddedServer) -> None:
    """A server that hangs does not hang its clients; the rest of the batch keeps its answers."""
    js = await JetStream.connect(own_server.url, name="test")
    await provision(js, App("shop"), queues=[])
    await freeze(own_server)
    try:
        began = time.monotonic()
        ack = await js.publish(START, timeout_s=0.5)
        assert ack.code == UNKNOWN
        assert await js.request("$JS.API.INFO", b"", timeout_s=0.2) is None
        assert time.monotonic() - began < 2
    finally:
        os.kill(own_server.pid, signal.SIGCONT)
    await js.flush()
    assert (await js.publish(START)).code == 0
    await js.close()


async def test_a_connection_that_is_closed_for_good_says_so(own_server: EmbeddedServer) -> None:
    """A worker must end and be started anew: nothing comes back by itself."""
    js = await JetStream.connect(own_server.url, name="test")
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    js.on_closed(closed.set_result)
    waiting = asyncio.ensure_future(js.request("nobody.answers.this", b"", timeout_s=30))

    js.wire.send(b"PUB a 99999999\r\n")  # beyond max_payload: the server ends the connection

    assert "maximum payload" in (await asyncio.wait_for(closed, 10)).lower()
    assert await waiting is None
    with pytest.raises(ServerLost):
        await js.publish(START)
    await js.close()


@pytest.mark.slow
async def test_a_command_gives_a_lost_server_up(own_server: EmbeddedServer) -> None:
    """One-shot commands end with an error when the server does not come back."""
    js = await JetStream.connect(own_server.url, name="test", is_one_shot=True)
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    js.on_closed(closed.set_result)

    os.kill(own_server.pid, signal.SIGKILL)

    await asyncio.wait_for(closed, 10)
    assert not js.is_connected
    await js.close()


async def test_close_is_idempotent_and_flushes(nats_url: str, js: JetStream) -> None:
    """A notice sent last before the end still arrives."""
    got = asyncio.Event()
    await js.listen("wf.test.bye", lambda _s, _p, _r: got.set())
    other = await JetStream.connect(nats_url, name="other")

    other.notify("wf.test.bye", b"")
    await other.close()
    await other.close()

    await asyncio.wait_for(got.wait(), 5)
