"""Provision: makes the streams and consumers of an app, and tells what differs. The only creator of either (R17).

Safe to repeat and safe beside itself. What an operator may tune (`max_bytes`, replicas, placement …) is kept; what
would lose or strand messages is refused with the way out. Workers use `verify` and `app_facts` and change nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from ..actors.errors import JetStreamOff, NotProvisioned, ProvisioningRefused
from ..actors.limits import KEY_BYTES, PARTITIONS, STREAM_BYTES_MIN, STREAM_SHARE
from .definitions import (
    META_APP,
    META_KEY,
    META_SCHEMA,
    SCHEMA,
    ConsumerDefinition,
    Definitions,
    StreamDefinition,
    define,
)
from .faults import CONSUMER_NOT_FOUND, NO_STORAGE, fault_of
from .inventory import (
    AppFacts,
    FoundConsumer,
    FoundStream,
    Inventory,
    app_facts,
    find_stream,
    partitions_of,
    take_inventory,
)
from .jetstream import JetStream
from .requests import ApiError
from .subjects import App

__all__ = ["AppFacts", "Change", "Difference", "app_facts", "provision", "verify"]

_NAME_IN_USE: Final = 10058
_SUBJECTS_OVERLAP: Final = 10065
_TUNED: Final = frozenset({"max_bytes", "num_replicas", "storage"})
"""Fields that an operator may set otherwise; kept as they are."""
_FIXED: Final = ("retention", "subjects", "republish")
"""Fields whose change would drop, hide or misroute what is stored."""
_TIGHTENED: Final = ("max_msgs", "max_age", "max_msg_size", "max_msgs_per_subject")
_CONSUMER_FIXED: Final = ("filter_subject", "ack_policy", "deliver_policy", "priority_groups", "priority_policy")


class Change(NamedTuple):
    """Something that provisioning did."""

    kind: Literal["created", "updated", "removed"]
    what: Literal["stream", "consumer"]
    name: str
    detail: str = ""


class Difference(NamedTuple):
    """Something on the server that is not as it should be."""

    what: Literal["stream", "consumer"]
    name: str
    detail: str


class _Done(msgspec.Struct):
    pass


class _Limits(msgspec.Struct):
    max_storage: int = -1


class _Account(msgspec.Struct):
    limits: _Limits = msgspec.field(default_factory=_Limits)


async def provision(
    js: JetStream,
    app: App,
    *,
    queues: Iterable[str],
    partitions: int | None = None,
    replicas: int | None = None,
    dropped_queues: Iterable[str] = (),
    workflows: Iterable[str] = (),
) -> list[Change]:
    """Makes or mends an app's streams and consumers; changes nothing where nothing differs.

    Queues that exist and are not named are left alone: another program may use them.

    Args:
        partitions: None keeps what is there, or takes the default.
        replicas: None keeps what is there, or takes one.
        dropped_queues: Queues whose consumers are removed, if they are empty.
        workflows: All that the app's code has, in place of what was provisioned before; none keeps that.

    Raises:
        ProvisioningRefused: A change would lose or strand messages; nothing was changed.
        JetStreamOff: The account has no JetStream.
    """
    storage = await _storage(js)
    found = await take_inventory(js, app)
    mail = found.streams.get(app.mail)
    if mail is not None and app.log not in found.streams:
        raise ProvisioningRefused(
            f"stream {app.log} is missing while {app.mail} exists: the log of all runs of app {app.name!r} was lost; "
            "restore it from a backup (`nats stream restore`), or delete the app's streams to begin anew"
        )
    partitions = partitions or partitions_of(mail) or PARTITIONS
    wanted = _fit(define(app, queues=queues, partitions=partitions, workflows=workflows), storage)
    for definition in wanted.streams:
        if (stream := found.streams.get(definition.name)) is not None:
            _check_stream(app, definition, stream)
    _check_consumers(wanted, found)
    surplus = [*_dropped(app, found, dropped_queues), *await _surplus(js, app, wanted, found)]
    changes = await _make_streams(js, wanted, found, replicas)
    changes += await _make_consumers(js, wanted, found)
    if surplus and mail is not None:
        try:
            await _surplus(js, app, wanted, found)  # messages may have come in before the new routing was in effect
        except ProvisioningRefused:
            await js.requests.get(f"STREAM.UPDATE.{app.mail}", mail.config, _Done, what=f"stream {app.mail}")
            raise
    changes += await asyncio.gather(*(_remove_consumer(js, stream, name) for stream, name in surplus))
    return changes


async def verify(js: JetStream, app: App, queues: Iterable[str]) -> list[Difference]:
    """Compares what is on the server with what this version needs; empty when all is well."""
    found = await take_inventory(js, app)
    wanted = define(app, queues=queues, partitions=partitions_of(found.streams.get(app.mail)) or PARTITIONS)
    missing = "missing; run `wfctl provision`"
    differences: list[Difference] = []
    for definition in wanted.streams:
        stream = found.streams.get(definition.name)
        texts = [missing] if stream is None else _stream_differences(app, definition, stream)
        differences += [Difference("stream", definition.name, text) for text in texts]
    for stream_name, definitions in wanted.consumers.items():
        for consumer in definitions:
            there = found.consumer(stream_name, consumer.durable_name)
            texts = [missing] if there is None else _compare(consumer, there.definition)
            name = f"{stream_name}/{consumer.durable_name}"
            differences += [Difference("consumer", name, text) for text in texts]
    return differences


# --- comparing --------------------------------------------------------------------------------------------


async def _storage(js: JetStream) -> int:
    """Asks how many bytes the account may store; 0 for no limit. Raises JetStreamOff when it may store nothing at all."""
    off = "this account has no JetStream; start nats-server with -js, or enable it for the account"
    try:
        found = await js.requests.call("INFO", None, _Account, what="JetStream account")
    except NotProvisioned as error:  # nobody answers the API at all
        raise JetStreamOff(off) from error
    if isinstance(found, ApiError):
        raise fault_of(found.err_code or found.code, found.description, "JetStream account")
    return max(0, found.limits.max_storage)


def _compare(wanted: StreamDefinition | ConsumerDefinition, found: StreamDefinition | ConsumerDefinition) -> list[str]:
    """Says which fields differ; those of an operator's choice and metadata are looked at elsewhere."""
    fields = [name for name in wanted.__struct_fields__ if name not in _TUNED and name != "metadata"]
    return [
        f"{name} is {getattr(found, name)!r}, should be {getattr(wanted, name)!r}"
        for name in fields
        if getattr(found, name) != getattr(wanted, name)
    ]


def _stream_differences(app: App, definition: StreamDefinition, stream: FoundStream) -> list[str]:
    metadata = stream.metadata
    differences = _compare(definition, stream.definition)
    if metadata.get(META_APP) != app.name:
        differences.append("was not made by jetrun for this app")
    if metadata.get(META_SCHEMA) != str(SCHEMA):
        differences.append(f"has schema {metadata.get(META_SCHEMA, 'none')}, this version needs {SCHEMA}")
    if definition.name == app.timers and META_KEY not in metadata:
        differences.append("has no key; run `wfctl provision`")
    if stream.state.lost:
        differences.append("the server says that it lost messages; restore it from a backup")
    return differences


def _check_stream(app: App, definition: StreamDefinition, stream: FoundStream) -> None:
    metadata, found = stream.metadata, stream.definition
    if metadata.get(META_APP) != app.name:
        raise ProvisioningRefused(
            f"stream {found.name} exists and is not jetrun's; rename or delete it, or choose another app name"
        )
    schema = metadata.get(META_SCHEMA, "")
    if not schema.isdigit() or int(schema) > SCHEMA:
        raise ProvisioningRefused(
            f"stream {found.name} has schema {schema!r}, this version knows {SCHEMA}; update jetrun"
        )
    for name in _FIXED:
        if getattr(found, name) != getattr(definition, name):
            raise ProvisioningRefused(
                f"stream {found.name} has {name} {getattr(found, name)!r}, {getattr(definition, name)!r} is needed: "
                "changing it would lose or strand messages; drain the app, delete the stream and provision again"
            )
    for name in _TIGHTENED:
        old, new = getattr(found, name), getattr(definition, name)
        if stream.state.messages and new > 0 and (old <= 0 or new < old):
            raise ProvisioningRefused(
                f"stream {found.name}: lowering {name} from {old} to {new} may delete some of its "
                f"{stream.state.messages} messages; drain it first"
            )


def _check_consumers(wanted: Definitions, found: Inventory) -> None:
    for stream, definitions in wanted.consumers.items():
        for definition in definitions:
            there = found.consumer(stream, definition.durable_name)
            if there is None:
                continue
            for name in _CONSUMER_FIXED:
                old, new = getattr(there.definition, name), getattr(definition, name)
                if old != new:
                    raise ProvisioningRefused(
                        f"consumer {definition.durable_name} of {stream} has {name} {old!r}, {new!r} is needed; "
                        "let it drain, delete it and provision again"
                    )


def _dropped(app: App, found: Inventory, queues: Iterable[str]) -> list[tuple[str, str]]:
    dropped: list[tuple[str, str]] = []
    for queue in queues:
        there = found.consumer(app.work, app.queue_consumer(queue))
        if there is not None and there.messages:
            raise ProvisioningRefused(
                f"queue {queue!r} still holds {there.messages} message(s); run a step worker for it until it is empty"
            )
        if there is not None:
            dropped.append((app.work, there.name))
    return dropped


async def _surplus(js: JetStream, app: App, wanted: Definitions, found: Inventory) -> list[tuple[str, str]]:
    """Names the consumers of partitions that go away; refused while anything is or will be addressed to them (R2)."""
    surplus: list[tuple[str, str]] = []
    for stream, prefix, tokens in ((app.mail, "mail_", ("mail",)), (app.timers, "fired_", ("timer", "fired"))):
        kept = {definition.durable_name for definition in wanted.consumers[stream]}
        names = [name for name in found.consumers.get(stream, {}) if name.startswith(prefix) and name not in kept]
        for name in names:
            partition = name.removeprefix(prefix)
            for token in tokens:
                held = await find_stream(js, stream, counted=f"wf.{app.name}.{token}.{partition}.>")
                count = sum((held.state.subjects or {}).values()) if held is not None else 0
                if count:
                    raise ProvisioningRefused(
                        f"partition {partition} still holds {count} message(s) or timers; keep the number of "
                        "partitions until they are gone, with actor workers running"
                    )
            surplus.append((stream, name))
    return surplus


def _fit(wanted: Definitions, storage: int) -> Definitions:
    """Lowers the sizes of new streams to what the account allows: a size is reserved, whether used or not."""
    if not storage:
        return wanted
    share = storage // STREAM_SHARE
    streams = [
        msgspec.structs.replace(definition, max_bytes=min(definition.max_bytes, share))
        if definition.max_bytes > 0
        else definition
        for definition in wanted.streams
    ]
    return wanted._replace(streams=streams)


# --- making ---------------------------------------------------------------------------------------------------


async def _make_streams(js: JetStream, wanted: Definitions, found: Inventory, replicas: int | None) -> list[Change]:
    *others, mail = wanted.streams
    makings = (_make_stream(js, definition, found.streams.get(definition.name), replicas) for definition in others)
    changes = await asyncio.gather(*makings)
    # MAIL last: from the moment that it takes messages, everything that they need is there.
    changes.append(await _make_stream(js, mail, found.streams.get(mail.name), replicas))
    return [change for change in changes if change is not None]


async def _make_stream(
    js: JetStream, definition: StreamDefinition, found: FoundStream | None, replicas: int | None
) -> Change | None:
    there = found.metadata if found is not None else {}
    metadata = dict(definition.metadata)
    if definition.name.endswith("_TIMERS"):
        metadata[META_KEY] = there.get(META_KEY) or secrets.token_hex(KEY_BYTES)
    fields: dict[str, object] = msgspec.to_builtins(definition)
    if found is None:
        return await _create_stream(js, fields | {"metadata": metadata, "num_replicas": replicas or 1})
    details = _compare(definition, found.definition)
    details += [f"metadata {name} is set" for name, value in metadata.items() if there.get(name) != value]
    # What the server knows and we do not name (placement, compression …) goes back to it unchanged.
    config = found.config | {name: value for name, value in fields.items() if name not in _TUNED}
    config["metadata"] = {name: value for name, value in there.items() if not name.startswith("_nats.")} | metadata
    if replicas is not None and config.get("num_replicas") != replicas:
        details.append(f"num_replicas becomes {replicas}")
        config["num_replicas"] = replicas
    if not details:
        return None
    await js.requests.get(f"STREAM.UPDATE.{definition.name}", config, _Done, what=f"stream {definition.name}")
    return Change("updated", "stream", definition.name, "; ".join(details))


async def _create_stream(js: JetStream, config: dict[str, object]) -> Change | None:
    name, max_bytes = str(config["name"]), int(str(config["max_bytes"]))
    while True:
        made = await js.requests.call(f"STREAM.CREATE.{name}", config, _Done, what=f"stream {name}")
        if not isinstance(made, ApiError):
            return Change("created", "stream", name)
        if made.err_code in NO_STORAGE and max_bytes > STREAM_BYTES_MIN:
            max_bytes //= 2  # the account or the disk allows less than our default; a smaller door is still a door
            config["max_bytes"] = max_bytes
        elif made.err_code == _NAME_IN_USE and await find_stream(js, name) is not None:
            return None  # somebody else provisions at the same time, and was first
        elif made.err_code == _SUBJECTS_OVERLAP:
            raise ProvisioningRefused(
                f"stream {name}: another stream of this account already takes {config['subjects']}; "
                "delete it, or choose another app name"
            )
        else:
            raise fault_of(made.err_code or made.code, made.description, f"stream {name}")


async def _make_consumers(js: JetStream, wanted: Definitions, found: Inventory) -> list[Change]:
    makings = [
        _make_consumer(js, stream, definition, found.consumer(stream, definition.durable_name))
        for stream, definitions in wanted.consumers.items()
        for definition in definitions
    ]
    return [change for change in await asyncio.gather(*makings) if change is not None]


async def _make_consumer(
    js: JetStream, stream: str, definition: ConsumerDefinition, found: FoundConsumer | None
) -> Change | None:
    name = definition.durable_name
    config: dict[str, object] = msgspec.to_builtins(definition)
    config["name"] = name
    details: list[str] = []
    if found is not None:
        details = _compare(definition, found.definition)
        if not details:
            return None
        config = found.config | config
    body = {"stream_name": stream, "config": config, "action": "update" if found is not None else ""}
    await js.requests.get(f"CONSUMER.CREATE.{stream}.{name}", body, _Done, what=f"consumer {name} of {stream}")
    return Change("updated" if found is not None else "created", "consumer", f"{stream}/{name}", "; ".join(details))


async def _remove_consumer(js: JetStream, stream: str, name: str) -> Change:
    gone = await js.requests.call(f"CONSUMER.DELETE.{stream}.{name}", None, _Done, what=f"consumer {name} of {stream}")
    if isinstance(gone, ApiError) and gone.err_code != CONSUMER_NOT_FOUND:
        raise fault_of(gone.err_code or gone.code, gone.description, f"consumer {name} of {stream}")
    return Change("removed", "consumer", f"{stream}/{name}")
