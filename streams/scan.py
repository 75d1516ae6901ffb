"""Scan: all messages of a filter in stream order, by a short-lived consumer of our own.

Works like an ordered consumer: no acks, and the consumer's sequence must count 1, 2, 3 …; a gap, a silence or a
reconnect makes a new consumer behind the last message seen. Pulling keeps a slow reader from being flooded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from ..actors.errors import NotProvisioned, OutcomeUnknown
from ..actors.limits import SCAN_BATCH, SCAN_EXPIRES_S, SCAN_IDLE_S, SCAN_KEPT_S
from .connection import Wire
from .faults import CONSUMER_NOT_FOUND, NO_RESPONDERS
from .headers import read_status, wrap_headers
from .ports import Stored
from .requests import Requests

_NS: Final = 1_000_000_000


class _Config(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    filter_subject: str
    deliver_policy: str
    opt_start_seq: int = 0
    ack_policy: str = "none"
    max_deliver: int = 1
    mem_storage: bool = False
    num_replicas: int = 0
    inactive_threshold: int = 0


class _Create(msgspec.Struct, kw_only=True):
    stream_name: str
    config: _Config
    action: str = "create"


class _Created(msgspec.Struct):
    name: str = ""
    num_pending: int = 0


class Scan:
    """One pass over a stream; iterate it once.

    Args:
        follow: Goes on after the end, until `close`.
        last_per_subject: Begins with the newest of each subject; what follows comes whole.
    """

    def __init__(
        self, wire: Wire, requests: Requests, stream: str, subject: str, *, follow: bool, last_per_subject: bool
    ) -> None:
        self._wire = wire
        self._requests = requests
        self._stream = stream
        self._subject = subject
        self._follow = follow
        self._last_per_subject = last_per_subject
        self._arrived: deque[tuple[Stored, int]] = deque()
        self._news = asyncio.Event()
        self._name = ""
        self._sid = 0
        self._inbox = ""
        self._asked = 0
        self._consumer_seq = 0
        self._last_seq = 0
        self._snapshot_left = 0
        self._is_broken = False
        self._is_ended = False

    async def messages(self) -> AsyncIterator[Stored]:
        """Yields the messages; closes itself at the end.

        Raises:
            NotProvisioned: The stream does not exist.
            OutcomeUnknown: The server does not answer.
        """
        self._wire.on_reconnect.append(self._break)
        try:
            await self._begin()
            while True:
                while self._arrived:
                    stored, pending = self._arrived.popleft()
                    self._last_seq = stored.seq
                    self._is_ended = not pending and not self._follow
                    self._ask()
                    yield stored
                if self._is_ended:
                    return
                if self._is_broken or not await self._wait_news():
                    await self._begin_again()
        finally:
            self._wire.on_reconnect.remove(self._break)
            self._end()

    # --- the consumer -----------------------------------------------------------------------------
    async def _begin(self) -> None:
        name = self._wire.new_inbox().rpartition(".")[2]
        self._inbox = f"{self._wire.new_inbox()}."
        self._arrived.clear()
        self._asked = 0
        self._consumer_seq = 0
        self._is_broken = False
        config = _Config(
            name=name,
            filter_subject=self._subject,
            deliver_policy="all",
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=SCAN_KEPT_S * _NS,
        )
        if self._last_per_subject:
            config.deliver_policy = "last_per_subject"
        elif self._last_seq:
            config.deliver_policy, config.opt_start_seq = "by_start_sequence", self._last_seq + 1
        created = await self._requests.get(
            f"CONSUMER.CREATE.{self._stream}.{name}",
            _Create(stream_name=self._stream, config=config),
            _Created,
            what=f"reading {self._subject!r} of stream {self._stream}",
        )
        self._name = name
        self._snapshot_left = created.num_pending
        self._last_per_subject = self._last_per_subject and created.num_pending > 0
        if not created.num_pending and not self._follow:
            self._is_ended = True
            return
        self._sid = self._wire.attach(self._inbox + "*", self._on_message)
        self._ask()

    async def _begin_again(self) -> None:
        self._end()
        pause_s = 0.25
        while True:
            try:
                await self._begin()
            except (OutcomeUnknown, NotProvisioned):
                if not self._follow:
                    raise
                # A restarting server first has no streams; whoever follows waits for it.
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, SCAN_IDLE_S)
            else:
                return

    def _end(self) -> None:
        if self._sid:
            self._wire.detach(self._sid)
            self._sid = 0
        if self._name:
            self._wire.send_publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}", "", b"", b"")
            self._name = ""

    def _ask(self) -> None:
        """Keeps between half a batch and a batch on the way or at hand."""
        count = SCAN_BATCH - self._asked - len(self._arrived)
        if count < SCAN_BATCH // 2 or self._is_broken or self._is_ended:
            return
        self._asked += count
        wait = (
            f'"expires":{SCAN_EXPIRES_S * _NS},"idle_heartbeat":{int(SCAN_IDLE_S * _NS)}'
            if self._follow
            else '"no_wait":true'
        )
        body = f'{{"batch":{count},{wait}}}'.encode()
        self._wire.send_publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}", f"{self._inbox}{count}", b"", body
        )

    async def _wait_news(self) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(2 * SCAN_IDLE_S):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _break(self) -> None:
        self._is_broken = True
        self._news.set()

    # --- arriving ------------------------------------------------------------------------------------
    def _on_message(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self._news.set()
        tokens = reply.split(b".")
        if not reply:
            self._on_status(headers)
        elif self._is_broken or len(tokens) < 9:
            return
        else:
            # `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<count>.<seq>.<consumer seq>.<ns>.<pending>[.<random>]`
            seq, consumer_seq, at_ns, pending = (
                int(token) for token in (tokens[5:9] if len(tokens) == 9 else tokens[7:11])
            )
            self._consumer_seq += 1
            self._snapshot_left -= 1
            if not self._snapshot_left:
                self._last_per_subject = False  # the snapshot is whole; a new consumer would begin behind it
            self._asked = max(0, self._asked - 1)
            if consumer_seq != self._consumer_seq:
                self._is_broken = True  # what came before is still good; the new consumer begins behind it
            elif seq > self._last_seq:
                stored = Stored(subject.decode("utf-8", "replace"), payload, seq, at_ns // 1000, wrap_headers(headers))
                self._arrived.append((stored, pending))

    def _on_status(self, headers: bytes) -> None:
        status, text = read_status(headers)
        if status == 100:
            return
        self._asked = 0
        if status in (404, 408):
            if status == 404 and not self._follow:
                self._is_ended = True
            else:
                self._ask()
        elif status in (409, NO_RESPONDERS, CONSUMER_NOT_FOUND) or text:
            self._is_broken = True
