"""Reading: messages of a stream by subject, without a consumer.

Batched direct get (ADR-31) answers from any replica, a page at a time: the server stops without a word at 64 MB, so
pages are small and go on until nothing is pending (R11). Every message names the one before it in the page; a break
in that chain is a message lost on the way, and the page is asked for again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..actors.errors import OutcomeUnknown
from ..actors.limits import LOAD_PAGE_BYTES, READ_BATCH_MAX, READ_TIMEOUT_S, READ_TRIES_MAX
from .deliveries import time_us
from .faults import NO_MESSAGE, fault_of
from .headers import find_header, wrap_headers
from .ports import UNKNOWN, Stored
from .requests import ApiError, Reply, Requests

_END: Final = 204
_NOT_FOUND: Final = 404


class _Message(msgspec.Struct):
    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""


class _Got(msgspec.Struct):
    message: _Message


class _Page:
    """What one batched direct get brought."""

    def __init__(self) -> None:
        self.messages: list[Stored] = []
        self.pending = 0
        self.last_seq = 0
        self.is_whole = True

    def collect(self, reply: Reply) -> bool:
        if reply.status:
            self.pending = int(find_header(reply.headers, b"Nats-Num-Pending") or 0)
            return True
        before = int(find_header(reply.headers, b"Nats-Last-Sequence") or 0)
        stored = stored_of(reply)
        if self.messages and before != self.last_seq:
            self.is_whole = False
        self.last_seq = stored.seq
        self.messages.append(stored)
        return False


async def read_all(requests: Requests, stream: str, subject: str, *, from_seq: int, to_seq: int) -> list[Stored]:
    """Reads all messages of a filter, page by page; see `Broker.read`.

    Raises:
        NotProvisioned: The stream does not exist or allows no direct get.
        OutcomeUnknown: The server does not answer.
    """
    found: list[Stored] = []
    seq = max(1, from_seq)
    while not to_seq or seq <= to_seq:
        batch = min(READ_BATCH_MAX, to_seq - seq + 1) if to_seq else READ_BATCH_MAX
        page = await _read_page(requests, stream, subject, seq, batch)
        found.extend(page.messages)
        if not page.pending or not page.messages:
            break
        seq = page.messages[-1].seq + 1
    if to_seq:
        while found and found[-1].seq > to_seq:
            found.pop()
    return found


async def _read_page(requests: Requests, stream: str, subject: str, seq: int, batch: int) -> _Page:
    what = f"reading {subject!r} of stream {stream}"
    body = msgspec.json.encode({"next_by_subj": subject, "seq": seq, "batch": batch, "max_bytes": LOAD_PAGE_BYTES})
    for _ in range(READ_TRIES_MAX):
        page = _Page()
        end = await requests.ask(f"$JS.API.DIRECT.GET.{stream}", body, timeout_s=READ_TIMEOUT_S, collect=page.collect)
        if end is None or not page.is_whole:
            continue
        if end.status in (_END, _NOT_FOUND):
            return page
        raise fault_of(end.status or UNKNOWN, end.text, what)
    raise OutcomeUnknown(f"{what}: no whole answer in {READ_TRIES_MAX} tries of {READ_TIMEOUT_S:g} s; try again")


async def read_last(requests: Requests, stream: str, subject: str) -> Stored | None:
    """Reads a literal subject's last message from the stream's leader."""
    return await _read_from_leader(
        requests, stream, {"last_by_subj": subject}, what=f"reading {subject!r} of stream {stream}"
    )


async def read_one(requests: Requests, stream: str, seq: int) -> Stored | None:
    """Reads a message by its sequence from the stream's leader."""
    return await _read_from_leader(requests, stream, {"seq": seq}, what=f"reading message {seq} of stream {stream}")


async def _read_from_leader(
    requests: Requests, stream: str, wanted: dict[str, str] | dict[str, int], *, what: str
) -> Stored | None:
    got = await requests.call(f"STREAM.MSG.GET.{stream}", wanted, _Got, what=what)
    if isinstance(got, ApiError):
        if got.err_code == NO_MESSAGE:
            return None
        raise fault_of(got.err_code or got.code, got.description, what)
    message = got.message
    return Stored(
        message.subject, message.data, message.seq, time_us(message.time.encode()), wrap_headers(message.hdrs)
    )


async def read_last_direct(requests: Requests, stream: str, subject: str) -> Stored | None:
    """Reads a literal subject's last message from any replica, by the form that permissions can limit (R19)."""
    what = f"reading {subject!r} of stream {stream}"
    for _ in range(READ_TRIES_MAX):
        reply = await requests.ask(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", timeout_s=READ_TIMEOUT_S)
        if reply is None:
            continue
        if reply.status == _NOT_FOUND:
            return None
        if reply.status:
            raise fault_of(reply.status, reply.text, what)
        return stored_of(reply)
    raise OutcomeUnknown(f"{what}: no answer in {READ_TRIES_MAX} tries of {READ_TIMEOUT_S:g} s; try again")


def stored_of(reply: Reply) -> Stored:
    """Makes a message of an answer to a direct get."""
    headers = reply.headers
    return Stored(
        find_header(headers, b"Nats-Subject").decode("utf-8", "replace"),
        reply.payload,
        int(find_header(headers, b"Nats-Sequence") or 0),
        time_us(find_header(headers, b"Nats-Time-Stamp")),
        wrap_headers(headers),
    )
