"""The parser: whatever the network cuts, the frames come out whole and in order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from jetrun.streams.frames import FrameParser, Sink

Frame = tuple[bytes, bytes, bytes, bytes]


class Listener:
    """Notes what no sink took."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.parser: FrameParser | None = None

    async def handle_message(self, sid: int, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self.said.append((sid, subject, reply, payload, headers))

    async def handle_ping(self) -> None:
        self.said.append("ping")

    async def handle_pong(self) -> None:
        self.said.append("pong")

    async def handle_info(self, info: dict[str, object]) -> None:
        self.said.append(info)

    async def handle_error(self, text: str) -> None:
        self.said.append(text)
        if self.parser is not None:
            self.parser.reset()


def noting(frames: list[Frame]) -> Sink:
    def sink(subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        frames.append((subject, reply, payload, headers))

    return sink


def parsed(chunks: list[bytes]) -> tuple[list[Frame], list[object]]:
    frames: list[Frame] = []
    listener = Listener()
    parser = FrameParser(listener, {7: noting(frames)})

    async def feed() -> None:
        for chunk in chunks:
            await parser.parse(chunk)

    asyncio.run(feed())
    return frames, listener.said


def message(frame: Frame) -> bytes:
    subject, reply, payload, headers = frame
    middle = b" ".join(part for part in (subject, b"7", reply) if part)
    if headers:
        return b"HMSG %b %d %d\r\n%b%b\r\n" % (middle, len(headers), len(headers) + len(payload), headers, payload)
    return b"MSG %b %d\r\n%b\r\n" % (middle, len(payload), payload)


TOKENS = st.from_regex(rb"[A-Za-z0-9$_-]{1,12}(\.[A-Za-z0-9_-]{1,8}){0,3}", fullmatch=True)
HEADERS = st.sampled_from([b"", b"NATS/1.0\r\nA: b\r\n\r\n", b"NATS/1.0 404 No Messages\r\n\r\n"])
FRAMES = st.tuples(TOKENS, st.one_of(st.just(b""), TOKENS), st.binary(max_size=80), HEADERS)


@given(st.lists(FRAMES, max_size=8), st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(frames: list[Frame], data: st.DataObject) -> None:
    """Frames do not depend on how the network cuts them; payloads may hold line ends and protocol words."""
    stream = b"PING\r\n".join(message(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    found, said = parsed(chunks)

    assert found == frames
    assert said == ["ping"] * max(0, len(frames) - 1)


def test_what_is_no_message_for_a_sink_goes_to_the_client() -> None:
    """INFO, PONG, errors and foreign subscriptions stay with nats-py."""
    _, said = parsed([b"INFO {\"a\":1}\r\nPONG\r\n+OK\r\n-ERR 'Stale Connection'\r\nMSG s 8 2\r\nhi\r\n"])

    assert said == [{"a": 1}, "pong", "'Stale Connection'", (8, b"s", b"", b"hi", b"")]


@pytest.mark.parametrize("line", [b"HELLO\r\n", b"MSG a 1 x\r\n", b"MSG a\r\n", b"x" * 70_000])
def test_what_is_not_nats_is_a_protocol_error(line: bytes) -> None:
    """Another program on the port is told apart from a slow server."""
    with pytest.raises(ProtocolError):
        parsed([line])


def test_a_reset_drops_the_rest_of_the_chunk() -> None:
    """After a connection is given up, nothing of it is delivered."""
    frames: list[Frame] = []
    listener = Listener()
    parser = FrameParser(listener, {7: noting(frames)})
    listener.parser = parser

    asyncio.run(parser.parse(b"-ERR 'x'\r\n" + message((b"a", b"", b"b", b""))))

    assert frames == []
