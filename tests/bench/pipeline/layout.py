"""Layout: the pipeline's streams, consumers and subjects, as ARCHITECTURE.md has them for the normal path."""

from __future__ import annotations

from .wire import Wire

PARTITIONS = 16
MAIL, LOG, WORK, TIMERS = "WF_bare_MAIL", "WF_bare_LOG", "WF_bare_WORK", "WF_bare_TIMERS"
QUEUE = "queue_default"
DONE_ALL = "wf.bare.done.>"

STREAMS: list[dict[str, object]] = [
    {
        "name": MAIL,
        "subjects": ["wf.bare.run.*.*.>"],
        "retention": "workqueue",
        "subject_transform": {
            "src": "wf.bare.run.*.*.>",
            "dest": f"wf.bare.mail.{{{{partition({PARTITIONS},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.>",
        },
    },
    {
        "name": LOG,
        "subjects": ["wf.bare.log.>"],
        "retention": "limits",
        "republish": {"src": "wf.bare.log.>", "dest": "wf.bare.live.>"},
    },
    {
        "name": WORK,
        "subjects": ["wf.bare.work.>", "wf.bare.retry.>"],
        "retention": "workqueue",
        "allow_msg_schedules": True,
    },
    {
        "name": TIMERS,
        "subjects": ["wf.bare.timer.>", "wf.bare.fired.>"],
        "retention": "workqueue",
        "allow_msg_schedules": True,
    },
]


async def provision(wire: Wire) -> None:
    """Creates all streams and consumers in an empty store."""
    for stream in STREAMS:
        await wire.request(f"STREAM.CREATE.{stream['name']}", {**stream, "storage": "file", "allow_direct": True})
    for partition in range(PARTITIONS):
        await _consumer(wire, MAIL, mailbox(partition), f"wf.bare.mail.{partition}.>")
    await _consumer(wire, WORK, QUEUE, "wf.bare.work.default.>")


def mailbox(partition: int) -> str:
    """Names the consumer of a partition."""
    return f"mail_{partition}"


def input_of(run: str, verb: str) -> str:
    """Where a message to a run is published; `run` is "<workflow>.<run id>" here and below."""
    return f"wf.bare.run.{run}.{verb}"


def log_of(run: str) -> str:
    return f"wf.bare.log.{run}"


def work_of(run: str, command: int) -> str:
    return f"wf.bare.work.default.{run}.{command}"


def done_of(run: str) -> str:
    return f"wf.bare.done.{run}"


async def _consumer(wire: Wire, stream: str, name: str, subjects: str) -> None:
    config = {"durable_name": name, "filter_subject": subjects, "ack_policy": "explicit", "max_ack_pending": 5_000}
    await wire.request(f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config})
