"""JetStream: the `Broker` over a real nats-server. Puts the parts together and owns their timer; decides nothing."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec

from ..actors.errors import JetStreamOff, PermissionDenied
from ..actors.limits import API_TIMEOUT_S, DIAL_WAIT_S, PUBLISH_TIMEOUT_S, PULL_BATCH, PULL_TICK_S, READ_TIMEOUT_S
from .connection import Login, Target, Wire
from .faults import GONE, NO_RESPONDERS, check_version, denied, fault_of
from .objects import Objects
from .ports import GROUP, ConsumerState, OnDeliveries, OnNotice, Outgoing, PubAck, Stored, StreamState
from .publisher import Publisher
from .pull import Pull
from .reading import read_all, read_last, read_last_direct, read_one
from .requests import ApiError, Requests
from .scan import Scan

_ACK: Final = b"+ACK"
_IN_PROGRESS: Final = b"+WPI"

_DELETES_AT_ONCE: Final = 256
"""Questions in flight: the server's queue of them is bounded."""


class _Position(msgspec.Struct):
    stream_seq: int = 0
    consumer_seq: int = 0


class _Group(msgspec.Struct):
    pinned_client_id: str = ""


class _ConsumerInfo(msgspec.Struct):
    ack_floor: _Position
    delivered: _Position
    num_pending: int = 0
    num_ack_pending: int = 0
    priority_groups: list[_Group] | None = None


class _Lost(msgspec.Struct):
    msgs: list[int] | None = None


class _State(msgspec.Struct):
    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    num_subjects: int = 0
    lost: _Lost | None = None


class _StreamInfo(msgspec.Struct):
    state: _State


class _Purged(msgspec.Struct):
    purged: int = 0


class _Empty(msgspec.Struct):
    pass


class JetStream:
    """A `Broker` on one connection; make it with `connect`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.requests = Requests(wire)
        self._loop = asyncio.get_running_loop()
        self._publisher = Publisher(wire)
        self._objects = Objects(self, self.requests)
        self._pulls: list[Pull] = []
        self._tick: asyncio.TimerHandle | None = None
        self._denied_subscriptions: set[str] = set()
        self._is_closed = False
        wire.on_denied.append(self._on_denied)
        wire.on_reconnect.append(self._on_reconnect)

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        is_one_shot: bool = False,
        dial_wait_s: float = DIAL_WAIT_S,
        login: Login | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> JetStream:
        """Connects to a server that has what jetrun needs.

        Args:
            url: One address or several separated by commas.
            name: What the server's monitoring shows.
            is_one_shot: A command that fails within seconds rather than wait.
            dial_wait_s: How long to dial before the first connection is there; afterwards it is made again for ever.

        Raises:
            ServerLost: No server answers.
            WrongCredentials: The server refused us.
            ServerTooOld: It lacks what jetrun needs.
            JetStreamOff: It has no JetStream.
            PermissionDenied: The user may not subscribe to its own inboxes (see `Login.inbox_prefix`).
        """
        target = Target(
            url=url, name=name, is_one_shot=is_one_shot, dial_wait_s=dial_wait_s, login=login or Login(), tls=tls
        )
        wire = await Wire.open(target)
        broker = cls(wire)
        try:
            check_version(wire.server_version, target.shown)
            await broker._check_inboxes()
            if not wire.has_jetstream:
                await broker._check_jetstream()
        except BaseException:
            await broker.close()
            raise
        return broker

    # --- state -----------------------------------------------------------------------------------
    @property
    def is_connected(self) -> bool:
        return self.wire.is_connected

    @property
    def payload_bytes_max(self) -> int:
        return self.wire.max_payload

    @property
    def server_version(self) -> str:
        return self.wire.server_version

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self.wire.on_reconnect.append(callback)

    def on_closed(self, callback: Callable[[str], None]) -> None:
        """Registers what to call, with the reason, when the connection is gone for good (not after `close`)."""
        self.wire.on_closed.append(callback)

    # --- writing -----------------------------------------------------------------------------------
    async def publish(self, message: Outgoing, *, timeout_s: float = PUBLISH_TIMEOUT_S) -> PubAck:
        return (await self._publisher.publish((message,), timeout_s=timeout_s))[0]

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout_s: float = PUBLISH_TIMEOUT_S) -> list[PubAck]:
        return await self._publisher.publish(messages, timeout_s=timeout_s)

    def notify(self, subject: str, payload: bytes) -> None:
        self.wire.send_notice(subject, payload)

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes | None:
        reply = await self.requests.ask(subject, payload, timeout_s=timeout_s)
        return None if reply is None or reply.status == NO_RESPONDERS else reply.payload

    # --- reading -------------------------------------------------------------------------------------
    async def last(self, stream: str, subject: str) -> Stored | None:
        return await read_last(self.requests, stream, subject)

    async def get(self, stream: str, seq: int) -> Stored | None:
        return await read_one(self.requests, stream, seq)

    async def last_direct(self, stream: str, subject: str) -> Stored | None:
        return await read_last_direct(self.requests, stream, subject)

    async def read(self, stream: str, subject: str, *, from_seq: int = 1, to_seq: int = 0) -> list[Stored]:
        return await read_all(self.requests, stream, subject, from_seq=from_seq, to_seq=to_seq)

    def scan(
        self, stream: str, subject: str, *, follow: bool = False, last_per_subject: bool = False
    ) -> AsyncIterator[Stored]:
        scan = Scan(self.wire, self.requests, stream, subject, follow=follow, last_per_subject=last_per_subject)
        return scan.messages()

    async def purge(self, stream: str, subject: str, *, keep: int = 0, to_seq: int = 0) -> int:
        assert not (keep and to_seq), "the server takes one of the two"
        body: dict[str, str | int] = {"filter": subject}
        if keep:
            body["keep"] = keep
        elif to_seq:
            body["seq"] = to_seq + 1  # the first that stays
        purged = await self.requests.get(
            f"STREAM.PURGE.{stream}", body, _Purged, what=f"purge of {subject!r} in {stream}"
        )
        return purged.purged

    async def delete(self, stream: str, subject: str, *, to_seq: int = 0) -> int:
        found = await self.read(stream, subject, to_seq=to_seq)
        deleted = 0
        for start in range(0, len(found), _DELETES_AT_ONCE):
            deletes = (self._delete(stream, stored.seq) for stored in found[start : start + _DELETES_AT_ONCE])
            deleted += sum(await asyncio.gather(*deletes))
        return deleted

    async def _delete(self, stream: str, seq: int) -> bool:
        # No erasing: that would write the whole message over, and nobody's secret is at stake.
        body, what = {"seq": seq, "no_erase": True}, f"delete of message {seq} in {stream}"
        answer = await self.requests.call(f"STREAM.MSG.DELETE.{stream}", body, _Empty, what=what)
        if isinstance(answer, ApiError) and answer.err_code not in GONE:
            raise fault_of(answer.err_code or answer.code, answer.description, what)
        return not isinstance(answer, ApiError)

    async def stream_state(self, stream: str) -> StreamState:
        info = await self.requests.get(f"STREAM.INFO.{stream}", None, _StreamInfo, what=f"stream {stream}")
        state = info.state
        lost = len(state.lost.msgs or []) if state.lost is not None else 0
        return StreamState(state.messages, state.bytes, state.first_seq, state.last_seq, state.num_subjects, lost)

    # --- consuming -------------------------------------------------------------------------------------
    async def consume(
        self,
        stream: str,
        consumer: str,
        on_deliveries: OnDeliveries,
        *,
        batch: int = PULL_BATCH,
        credit: int | None = None,
        is_pinned: bool = False,
    ) -> Pull:
        await self.consumer_state(stream, consumer)
        pull = Pull(self.wire, stream, consumer, on_deliveries, batch=batch, credit=credit, is_pinned=is_pinned)
        self._pulls.append(pull)
        if self._tick is None:
            self._tick = self._loop.call_later(PULL_TICK_S, self._on_tick)
        return pull

    async def consumer_state(self, stream: str, consumer: str) -> ConsumerState:
        what = f"consumer {consumer} of stream {stream}"
        info = await self.requests.get(f"CONSUMER.INFO.{stream}.{consumer}", None, _ConsumerInfo, what=what)
        pin = info.priority_groups[0].pinned_client_id if info.priority_groups else ""
        return ConsumerState(
            info.ack_floor.stream_seq,
            info.delivered.stream_seq,
            info.num_pending,
            info.num_ack_pending,
            pin,
            info.delivered.consumer_seq,
        )

    async def unpin(self, stream: str, consumer: str) -> None:
        what = f"unpin of {consumer} in {stream}"
        await self.requests.get(f"CONSUMER.UNPIN.{stream}.{consumer}", {"group": GROUP}, _Empty, what=what)

    def ack(self, reply: str) -> None:
        self.wire.send_publish(reply, "", b"", _ACK)

    async def ack_confirmed(self, reply: str, *, timeout_s: float = READ_TIMEOUT_S) -> bool:
        answer = await self.requests.ask(reply, _ACK, timeout_s=timeout_s)
        return answer is not None and not answer.status

    def in_progress(self, reply: str) -> None:
        self.wire.send_publish(reply, "", b"", _IN_PROGRESS)

    # --- notices ------------------------------------------------------------------------------------------
    async def listen(self, subject: str, on_notice: OnNotice, *, queue: str = "") -> Listening:
        """See `Broker.listen`. Raises PermissionDenied when this user may not subscribe."""

        def sink(subject: bytes, reply: bytes, payload: bytes, _headers: bytes) -> None:
            on_notice(subject.decode("utf-8", "replace"), payload, reply.decode("utf-8", "replace"))

        self._denied_subscriptions.discard(subject)
        sid = self.wire.attach(subject, sink, queue=queue)
        await self.wire.settle()
        if subject in self._denied_subscriptions:
            self.wire.detach(sid)
            raise denied("subscription", subject)
        return Listening(self.wire, sid)

    # --- large values ----------------------------------------------------------------------------------------
    async def put_object(self, bucket: str, name: str, data: bytes) -> None:
        await self._objects.put(bucket, name, data, self.wire.new_inbox().rpartition(".")[2])

    async def get_object(self, bucket: str, name: str) -> bytes | None:
        return await self._objects.get(bucket, name)

    async def delete_objects(self, bucket: str, prefix: str) -> int:
        return await self._objects.delete(bucket, prefix)

    # --- end ----------------------------------------------------------------------------------------------------
    async def flush(self) -> None:
        await self.wire.settle()

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._tick is not None:
            self._tick.cancel()
        for pull in self._pulls:
            await pull.close()
        await self.wire.leave()
        self._publisher.close()
        self.requests.close()

    # --- inner -----------------------------------------------------------------------------------------------------
    async def _check_inboxes(self) -> None:
        """Without the right to hear answers, every question would look like a server that hangs."""
        await self.wire.settle()
        if self._denied_subscriptions:
            raise denied("subscription", f"{self.wire.target.login.inbox_prefix}.>")

    async def _check_jetstream(self) -> None:
        """A server that says it has none may still reach a cluster that has: only the account knows."""
        try:
            reply = await self.requests.ask("$JS.API.INFO", b"", timeout_s=API_TIMEOUT_S)
        except PermissionDenied:
            return  # a role without the right to ask; its first publish will tell
        if reply is None or reply.status:
            raise JetStreamOff(f"the server at {self.wire.target.shown} has no JetStream; start nats-server with -js")

    def _on_tick(self) -> None:
        now = self._loop.time()
        self._pulls = [pull for pull in self._pulls if not pull.is_closed]
        for pull in self._pulls:
            pull.tick(now)
        self._tick = self._loop.call_later(PULL_TICK_S, self._on_tick) if self._pulls else None

    def _on_denied(self, kind: str, subject: str) -> None:
        if kind == "subscription":
            self._denied_subscriptions.add(subject)

    def _on_reconnect(self) -> None:
        for pull in self._pulls:
            pull.restart()


class Listening:
    """A live subscription to notices."""

    def __init__(self, wire: Wire, sid: int) -> None:
        self._wire = wire
        self._sid = sid

    async def close(self) -> None:
        self._wire.detach(self._sid)
