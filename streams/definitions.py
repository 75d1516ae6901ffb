"""Definitions: the streams and consumers of an app as data. What differs from this is said loudly; nothing else decides.

Field names are the server's own, so that a definition is also the request that makes it. Why each stream is as it is:
MAIL is the only public door and has none of the flags that give a header power (R10); LOG is read by subject and never
loses a record to a limit; WORK and TIMERS need schedules, which forbid limits (a limit would delete timers); DEAD and
INDEX may forget.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from ..actors.errors import DefinitionError
from ..actors.limits import (
    DEAD_AGE_S,
    DEAD_BYTES_MAX,
    DUPLICATE_WINDOW_S,
    MAIL_ACK_PENDING_MAX,
    MAIL_ACK_WAIT_S,
    MAIL_BYTES_MAX,
    MAIL_MESSAGE_BYTES_MAX,
    MAIL_MESSAGES_PER_SUBJECT_MAX,
    PARTITIONS_MAX,
    PIN_TIMEOUT_S,
    PULLS_WAITING_MAX,
    WORK_ACK_WAIT_S,
)
from .ports import GROUP
from .subjects import App, object_stream

SCHEMA: Final = 1
"""Version of streams, consumers and subjects; a newer one on the server is refused."""

META_SCHEMA: Final = "jetrun.schema"
META_APP: Final = "jetrun.app"
META_PARTITIONS: Final = "jetrun.partitions"
META_KEY: Final = "jetrun.key"
META_WORKFLOWS: Final = "jetrun.workflows"
"""Names of the app's workflows, with commas between."""

_NS: Final = 1_000_000_000


class Transform(msgspec.Struct, frozen=True, kw_only=True):
    """Rewrites a subject, as it is stored or as it is sent on."""

    src: str
    dest: str


class StreamDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as the server's API writes it; sizes in bytes, times in nanoseconds, -1 for no limit."""

    name: str
    subjects: list[str]
    retention: str
    storage: str = "file"
    num_replicas: int = 1
    discard: str = "old"
    discard_new_per_subject: bool = False
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msg_size: int = -1
    max_msgs_per_subject: int = -1
    duplicate_window: int = int(DUPLICATE_WINDOW_S * _NS)
    allow_direct: bool = True
    allow_msg_schedules: bool = False
    allow_rollup_hdrs: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    subject_transform: Transform | None = None
    republish: Transform | None = None
    metadata: dict[str, str] = {}


class ConsumerDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A durable pull consumer as the server's API writes it."""

    durable_name: str
    filter_subject: str
    ack_wait: int
    max_ack_pending: int
    ack_policy: str = "explicit"
    deliver_policy: str = "all"
    replay_policy: str = "instant"
    max_deliver: int = -1
    max_waiting: int = PULLS_WAITING_MAX
    priority_groups: list[str] | None = None
    priority_policy: str = "none"
    priority_timeout: int = 0


class Definitions(NamedTuple):
    """All that an app has on the server."""

    streams: list[StreamDefinition]
    """In the order of creation: MAIL comes last, so that a MAIL without a LOG is a log that was lost."""
    consumers: dict[str, list[ConsumerDefinition]]
    """By stream."""


def define(app: App, *, queues: Iterable[str], partitions: int, workflows: Iterable[str] = ()) -> Definitions:
    """Names everything that an app needs.

    Args:
        workflows: Names to be kept with the streams; none leaves those that are kept.

    Raises:
        DefinitionError: The number of partitions is out of bounds.
        InvalidName: A queue's name cannot be a token.
    """
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise DefinitionError(f"{partitions} partitions; give 1 to {PARTITIONS_MAX}")
    prefix, meta = f"wf.{app.name}", {META_SCHEMA: str(SCHEMA), META_APP: app.name}
    names = ",".join(sorted(set(workflows)))
    streams = [
        StreamDefinition(
            name=app.log,
            subjects=[f"{prefix}.log.>"],
            retention="limits",
            deny_delete=True,
            republish=Transform(src=f"{prefix}.log.>", dest=f"{prefix}.live.>"),
            metadata=meta,
        ),
        StreamDefinition(
            name=app.work,
            subjects=[f"{prefix}.work.>", f"{prefix}.retry.>"],
            retention="workqueue",
            allow_msg_schedules=True,
            allow_rollup_hdrs=True,  # the server sets it with schedules
            metadata=meta,
        ),
        StreamDefinition(
            name=app.timers,
            subjects=[f"{prefix}.timer.>", f"{prefix}.fired.>"],
            retention="workqueue",
            allow_msg_schedules=True,
            allow_rollup_hdrs=True,
            metadata=meta,
        ),
        StreamDefinition(
            name=app.dead,
            subjects=[f"{prefix}.dead.>"],
            retention="limits",
            max_age=DEAD_AGE_S * _NS,
            max_bytes=DEAD_BYTES_MAX,
            metadata=meta,
        ),
        StreamDefinition(
            name=app.index,
            subjects=[f"{prefix}.index.>"],
            retention="limits",
            max_msgs_per_subject=1,
            metadata=meta,
        ),
        StreamDefinition(
            name=object_stream(app.values),
            subjects=[f"$O.{app.values}.C.>", f"$O.{app.values}.M.>"],
            retention="limits",
            discard="new",
            allow_rollup_hdrs=True,  # a new version of an object's metadata replaces the old one
            metadata=meta,
        ),
        StreamDefinition(
            name=app.mail,
            subjects=[f"{prefix}.run.*.*.>"],
            retention="workqueue",
            discard="new",
            discard_new_per_subject=True,
            max_bytes=MAIL_BYTES_MAX,
            max_msg_size=MAIL_MESSAGE_BYTES_MAX,
            max_msgs_per_subject=MAIL_MESSAGES_PER_SUBJECT_MAX,
            subject_transform=mail_transform(app, partitions),
            metadata={**meta, META_PARTITIONS: str(partitions), **({META_WORKFLOWS: names} if names else {})},
        ),
    ]
    consumers = {
        app.mail: [*(_pinned(app.mail_consumer(p), app.mail_filter(p)) for p in range(partitions)), _strays(app)],
        app.timers: [_pinned(app.fired_consumer(p), app.fired_filter(p)) for p in range(partitions)],
        app.work: [_queue(app, queue) for queue in sorted(set(queues))],
    }
    return Definitions(streams, consumers)


def mail_transform(app: App, partitions: int) -> Transform:
    """Puts the run's partition into a mailbox subject as it is stored."""
    source = f"wf.{app.name}.run.*.*.>"
    return Transform(
        src=source,
        dest=f"wf.{app.name}.mail.{{{{partition({partitions},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.>",
    )


def _pinned(name: str, filter_subject: str) -> ConsumerDefinition:
    return ConsumerDefinition(
        durable_name=name,
        filter_subject=filter_subject,
        ack_wait=int(MAIL_ACK_WAIT_S * _NS),
        max_ack_pending=MAIL_ACK_PENDING_MAX,
        priority_groups=[GROUP],
        priority_policy="pinned_client",
        priority_timeout=int(PIN_TIMEOUT_S * _NS),
    )


def _strays(app: App) -> ConsumerDefinition:
    """Everything that came through the door leaves it: what no partition gets is read to be buried."""
    return ConsumerDefinition(
        durable_name=app.strays_consumer,
        filter_subject=app.strays_filter(),
        ack_wait=int(MAIL_ACK_WAIT_S * _NS),
        max_ack_pending=MAIL_ACK_PENDING_MAX,
    )


def _queue(app: App, queue: str) -> ConsumerDefinition:
    return ConsumerDefinition(
        durable_name=app.queue_consumer(queue),
        filter_subject=app.work_filter(queue),
        ack_wait=int(WORK_ACK_WAIT_S * _NS),
        max_ack_pending=-1,  # a bound would look like an empty queue to workers that still have free slots (R17)
    )
