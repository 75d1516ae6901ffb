"""The ack wait of a queue, made short enough for tests that kill a step worker."""

from __future__ import annotations

import msgspec

from jetrun.streams.definitions import define
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App


async def shorten_ack_wait(broker: JetStream, app: App, *, seconds: float, queue: str = "default") -> None:
    """Sets how long the server waits for a word of a worker before it delivers the work again; 30 s unless changed."""
    (consumer,) = (c for c in define(app, queues=[queue], partitions=1).consumers[app.work] if queue in c.durable_name)
    config = msgspec.structs.replace(consumer, ack_wait=int(seconds * 1e9))
    body = msgspec.json.encode({"stream_name": app.work, "config": config, "action": "update"})
    subject = f"$JS.API.CONSUMER.CREATE.{app.work}.{consumer.durable_name}.{consumer.filter_subject}"
    answer = await broker.request(subject, body, timeout_s=5)
    assert answer is not None
    assert "error" not in msgspec.json.decode(answer), answer
