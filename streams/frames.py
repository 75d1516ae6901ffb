"""Frames: reads the NATS protocol from chunks of bytes and hands messages on without a task, queue or object each.

Takes the place of nats-py's own parser, which matches seven patterns per line and awaits once per message. What is
not a message (INFO, PING, PONG, errors) still goes to nats-py; a subscription that is unknown here goes there too.
Header blocks stay raw bytes until somebody asks (`headers.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from logging import ERROR
from typing import Final, Protocol

from nats.errors import ProtocolError

from .telemetry import log

Sink = Callable[[bytes, bytes, bytes, bytes], None]
"""Called with subject, reply subject, payload and raw header block; must not block. What it raises is logged."""

CONTROL_LINE_BYTES_MAX: Final = 64 * 1024
"""An INFO line of a large cluster is the longest; a longer line without end is not NATS."""

_MESSAGE: Final = b"MH"


class Handler(Protocol):
    """Gets what is no message for a sink."""

    async def handle_message(self, sid: int, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None: ...
    async def handle_ping(self) -> None: ...
    async def handle_pong(self) -> None: ...
    async def handle_info(self, info: dict[str, object]) -> None: ...
    async def handle_error(self, text: str) -> None: ...


class FrameParser:
    """Cuts a byte stream into protocol frames.

    Args:
        sinks: By subscription id; looked up anew for every message.
    """

    def __init__(self, handler: Handler, sinks: dict[int, Sink]) -> None:
        self._handler = handler
        self._sinks = sinks
        self._rest = b""
        self._generation = 0

    def reset(self) -> None:
        """Forgets a half frame: the connection it came from is gone."""
        self._rest = b""
        self._generation += 1

    async def parse(self, chunk: bytes) -> None:
        """Handles all whole frames of what has arrived; keeps the rest for the next chunk.

        Raises:
            ProtocolError: This is not the NATS protocol.
        """
        data = self._rest + chunk if self._rest else chunk
        generation = self._generation
        position = 0
        while (end := data.find(b"\r\n", position)) >= 0:
            if data[position] not in _MESSAGE:
                line = data[position:end]
                position = end + 2
                await self._control(line)
                if generation != self._generation:
                    return  # reset while we awaited: the rest of this chunk belongs to a connection that is gone
                continue
            sid, subject, reply, header_bytes, total_bytes = _read_line(data[position:end])
            start = end + 2
            stop = start + total_bytes
            if stop + 2 > len(data):
                break
            headers, payload = data[start : start + header_bytes], data[start + header_bytes : stop]
            position = stop + 2
            sink = self._sinks.get(sid)
            if sink is None:
                await self._handler.handle_message(sid, subject, reply, payload, headers)
                continue
            try:
                sink(subject, reply, payload, headers)
            except Exception as error:  # noqa: BLE001 - one bad message must not end the connection for all others
                log("sink.failed", ERROR, subject=ascii(subject)[:200], error=repr(error))
        self._rest = data[position:] if position else data
        if len(self._rest) > CONTROL_LINE_BYTES_MAX and self._rest.find(b"\r\n", 0, CONTROL_LINE_BYTES_MAX) < 0:
            raise ProtocolError

    async def _control(self, line: bytes) -> None:
        word = line[:4].upper()
        if word == b"PING":
            await self._handler.handle_ping()
        elif word == b"PONG":
            await self._handler.handle_pong()
        elif word == b"INFO":
            await self._handler.handle_info(json.loads(line[5:]))
        elif word == b"-ERR":
            await self._handler.handle_error(line[5:].decode("utf-8", "replace").strip())
        elif word[:3] != b"+OK":
            raise ProtocolError


def _read_line(line: bytes) -> tuple[int, bytes, bytes, int, int]:
    """Reads `MSG subject sid [reply] size` or `HMSG subject sid [reply] header-size size`."""
    parts = line.split()
    try:
        if parts[0] == b"MSG":
            return int(parts[2]), parts[1], parts[3] if len(parts) == 5 else b"", 0, int(parts[-1])
        if parts[0] == b"HMSG":
            return int(parts[2]), parts[1], parts[3] if len(parts) == 6 else b"", int(parts[-2]), int(parts[-1])
    except (ValueError, IndexError) as error:
        raise ProtocolError from error
    raise ProtocolError
