"""Inventory: what the server has of an app, read in one go. Changes nothing."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec

from ..actors.errors import NotProvisioned
from ..actors.limits import PARTITIONS
from .definitions import META_KEY, META_PARTITIONS, META_WORKFLOWS, ConsumerDefinition, StreamDefinition, define
from .faults import STREAM_NOT_FOUND, fault_of
from .jetstream import JetStream
from .requests import ApiError
from .subjects import App


class AppFacts(NamedTuple):
    """What workers read from the streams' metadata."""

    partitions: int
    key: bytes
    """Secret of the actor workers: proves that a step result answers work of theirs (R18)."""
    workflows: frozenset[str] = frozenset()
    """Names that were provisioned: a worker that lacks one of them waits for the deploy to reach it (R17)."""


class StreamState(msgspec.Struct):
    """What a found stream holds."""

    messages: int = 0
    subjects: dict[str, int] | None = None
    """Messages by subject; only where a filter was asked for."""
    lost: dict[str, object] | None = None


class FoundStream(msgspec.Struct):
    """A stream as the server describes it, fields that we do not know included."""

    config: dict[str, object]
    state: StreamState

    @property
    def definition(self) -> StreamDefinition:
        return msgspec.convert(self.config, StreamDefinition)

    @property
    def metadata(self) -> dict[str, str]:
        return msgspec.convert(self.config.get("metadata") or {}, dict[str, str])


class FoundConsumer(msgspec.Struct):
    """A consumer as the server describes it."""

    name: str
    config: dict[str, object]
    num_pending: int = 0
    num_ack_pending: int = 0

    @property
    def definition(self) -> ConsumerDefinition:
        return msgspec.convert(self.config, ConsumerDefinition)

    @property
    def messages(self) -> int:
        """Messages that wait for it or were handed out and not acked."""
        return self.num_pending + self.num_ack_pending


class Inventory(NamedTuple):
    """Streams by name, and their consumers by stream and name."""

    streams: dict[str, FoundStream]
    consumers: dict[str, dict[str, FoundConsumer]]

    def consumer(self, stream: str, name: str) -> FoundConsumer | None:
        return self.consumers.get(stream, {}).get(name)


class _Page(msgspec.Struct):
    total: int
    consumers: list[FoundConsumer] = []


async def take_inventory(js: JetStream, app: App) -> Inventory:
    """Reads all streams of an app, and the consumers of those that have durable ones."""
    names = [definition.name for definition in define(app, queues=(), partitions=PARTITIONS).streams]
    found = await asyncio.gather(*(find_stream(js, name) for name in names))
    streams = {name: stream for name, stream in zip(names, found, strict=True) if stream is not None}
    holders = [name for name in (app.mail, app.timers, app.work) if name in streams]
    consumers = await asyncio.gather(*(_consumers_of(js, name) for name in holders))
    return Inventory(streams, dict(zip(holders, consumers, strict=True)))


async def find_stream(js: JetStream, name: str, *, counted: str = "") -> FoundStream | None:
    """Reads one stream, or None when there is none of that name.

    Args:
        counted: A filter of subjects whose messages are counted.
    """
    body = {"subjects_filter": counted} if counted else None
    found = await js.requests.call(f"STREAM.INFO.{name}", body, FoundStream, what=f"stream {name}")
    if not isinstance(found, ApiError):
        return found
    if found.err_code == STREAM_NOT_FOUND:
        return None
    raise fault_of(found.err_code or found.code, found.description, f"stream {name}")


async def app_facts(js: JetStream, app: App) -> AppFacts:
    """Reads what workers need to know of their app.

    Raises:
        NotProvisioned: The app's streams are not there, or not ours.
    """
    mail, timers = await asyncio.gather(find_stream(js, app.mail), find_stream(js, app.timers))
    partitions, key = partitions_of(mail), timers.metadata.get(META_KEY, "") if timers is not None else ""
    if not partitions or not key:
        raise NotProvisioned(
            f"app {app.name!r} is not provisioned; run `wfctl provision` for it, or check the app's name"
        )
    names = mail.metadata.get(META_WORKFLOWS, "") if mail is not None else ""
    return AppFacts(partitions, bytes.fromhex(key), frozenset(filter(None, names.split(","))))


def partitions_of(mail: FoundStream | None) -> int:
    """Reads the number of partitions from MAIL's metadata; 0 when there is none."""
    text = mail.metadata.get(META_PARTITIONS, "") if mail is not None else ""
    return int(text) if text.isdigit() else 0


async def _consumers_of(js: JetStream, stream: str) -> dict[str, FoundConsumer]:
    consumers: dict[str, FoundConsumer] = {}
    while True:
        body = {"offset": len(consumers)}
        page = await js.requests.get(f"CONSUMER.LIST.{stream}", body, _Page, what=f"consumers of {stream}")
        consumers |= {consumer.name: consumer for consumer in page.consumers}
        if not page.consumers or len(consumers) >= page.total:
            return consumers
