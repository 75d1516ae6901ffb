"""Provisioning on a real server: repeatable, careful, quick."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetrun.actors.errors import NotProvisioned, ProvisioningRefused
from jetrun.actors.names import RunKey
from jetrun.streams.connection import Login
from jetrun.streams.definitions import META_SCHEMA
from jetrun.streams.jetstream import JetStream
from jetrun.streams.ports import SCHEDULE, SCHEDULE_TARGET, Outgoing
from jetrun.streams.provision import app_facts, provision, verify
from jetrun.streams.subjects import App, partition_of
from support.configured_server import configured_server

KEY = RunKey("order", "o-1")
QUEUES = ["default", "payments"]


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStream]:
    broker = await JetStream.connect(nats_url, name="provision")
    yield broker
    await broker.close()


async def api(js: JetStream, subject: str, body: object = None) -> None:
    await js.requests.get(subject, body, dict[str, object], what=subject)


async def config_of(js: JetStream, stream: str) -> dict[str, object]:
    found = await js.requests.get(f"STREAM.INFO.{stream}", None, dict[str, object], what=stream)
    config = found["config"]
    assert isinstance(config, dict)
    return config


async def test_an_app_is_made_at_once_and_only_once(js: JetStream, app: App) -> None:
    """`wfctl provision` can stand in front of every start."""
    began = time.monotonic()
    made = await provision(js, app, queues=QUEUES)
    seconds = time.monotonic() - began
    facts = await app_facts(js, app)

    assert {change.kind for change in made} == {"created"}
    assert len(made) == 7 + (2 * 16 + 1) + 2  # streams, consumers of partitions and of strays, queues
    assert seconds < 1
    assert await verify(js, app, QUEUES) == []
    assert await provision(js, app, queues=QUEUES) == []
    assert facts == await app_facts(js, app)
    assert (facts.partitions, len(facts.key)) == (16, 32)


async def test_several_may_provision_at_the_same_time(nats_url: str, app: App) -> None:
    """Replicas of a deployment start together; there is one key."""
    brokers = [await JetStream.connect(nats_url, name=f"p{n}") for n in range(4)]

    await asyncio.gather(*(provision(broker, app, queues=QUEUES, partitions=2) for broker in brokers))
    facts = [await app_facts(broker, app) for broker in brokers]

    assert len(set(facts)) == 1
    assert await verify(brokers[0], app, QUEUES) == []
    for broker in brokers:
        await broker.close()


async def test_the_servers_partition_is_ours(js: JetStream, app: App) -> None:
    """The actor worker computes where the server has put a message."""
    await provision(js, app, queues=(), partitions=7)
    runs = [f"o-{n}" for n in range(50)]
    await js.publish_many([Outgoing(app.input(RunKey("order", run), "hook", "h"), b"{}") for run in runs])

    found = await js.read(app.mail, f"wf.{app.name}.mail.>")

    assert [app.read_mail(stored.subject).partition for stored in found] == [partition_of(run, 7) for run in runs]


async def test_workers_are_told_what_is_missing(js: JetStream, app: App) -> None:
    """Bind, compare and complain (R17); verifying changes nothing."""
    with pytest.raises(NotProvisioned, match="wfctl provision"):
        await app_facts(js, app)
    assert {difference.what for difference in await verify(js, app, QUEUES)} == {"stream", "consumer"}

    await provision(js, app, queues=["default"], partitions=1)
    await api(js, f"CONSUMER.DELETE.{app.mail}.mail_0")
    config = await config_of(js, app.mail)
    await api(js, f"STREAM.UPDATE.{app.mail}", config | {"max_msgs_per_subject": 5})

    found = {(difference.name, difference.detail) for difference in await verify(js, app, QUEUES)}
    assert found == {
        (app.mail, "max_msgs_per_subject is 5, should be 10000"),
        (f"{app.mail}/mail_0", "missing; run `wfctl provision`"),
        (f"{app.work}/queue_payments", "missing; run `wfctl provision`"),
    }
    assert len(await provision(js, app, queues=QUEUES)) == 3
    assert await verify(js, app, QUEUES) == []


async def test_an_operators_settings_are_kept(js: JetStream, app: App) -> None:
    """Sizes, descriptions, compression … are not ours to reset."""
    await provision(js, app, queues=(), partitions=1)
    config = await config_of(js, app.mail)
    await api(js, f"STREAM.UPDATE.{app.mail}", config | {"max_bytes": 50_000_000, "description": "ours"})

    await provision(js, app, queues=(), partitions=2)

    after = await config_of(js, app.mail)
    assert (after["max_bytes"], after["description"]) == (50_000_000, "ours")


async def test_queues_are_added_kept_and_dropped_when_empty(js: JetStream, app: App) -> None:
    """A queue with work in it is never taken away from its workers."""
    await provision(js, app, queues=QUEUES, partitions=1)
    await js.publish(Outgoing(app.work_of("payments", KEY, 1), b"{}"))

    assert await provision(js, app, queues=["default", "mail"]) != []
    with pytest.raises(ProvisioningRefused, match=r"queue 'payments' still holds 1 message"):
        await provision(js, app, queues=["default"], dropped_queues=["payments"])
    await js.purge(app.work, app.work_filter("payments"))
    (removed,) = await provision(js, app, queues=["default"], dropped_queues=["payments", "never-was"])

    assert (removed.kind, removed.name) == ("removed", f"{app.work}/queue_payments")
    assert await verify(js, app, ["default", "mail"]) == []


async def test_partitions_grow_under_load_and_shrink_when_empty(js: JetStream, app: App) -> None:
    """Nothing is addressed to a partition that nobody pulls (R2)."""
    await provision(js, app, queues=(), partitions=2)
    await provision(js, app, queues=(), partitions=4)
    assert (await app_facts(js, app)).partitions == 4
    run = next(f"o-{n}" for n in range(100) if partition_of(f"o-{n}", 4) == 3)
    key = RunKey("order", run)
    timer = Outgoing(
        app.timer(3, key, "1"), b"{}", {SCHEDULE: "@at 2099-01-01T00:00:00Z", SCHEDULE_TARGET: app.fired(3, key)}
    )
    acks = await js.publish_many([Outgoing(app.input(key, "start"), b"{}"), timer])
    assert [ack.code for ack in acks] == [0, 0]

    for stream, held in ((app.mail, app.mail_filter(3)), (app.timers, app.timers_of_run(key))):
        with pytest.raises(ProvisioningRefused, match="partition 3 still holds 1"):
            await provision(js, app, queues=(), partitions=2)
        assert (await app_facts(js, app)).partitions == 4
        await js.purge(stream, held)
    await provision(js, app, queues=(), partitions=2)

    assert await verify(js, app, ()) == []
    assert (await app_facts(js, app)).partitions == 2


async def test_a_lost_log_is_not_made_anew(js: JetStream, app: App) -> None:
    """An empty log would start every run again."""
    await provision(js, app, queues=(), partitions=1)
    await api(js, f"STREAM.DELETE.{app.log}")

    with pytest.raises(ProvisioningRefused, match="restore it from a backup"):
        await provision(js, app, queues=(), partitions=1)


async def test_streams_of_others_are_left_alone(js: JetStream, app: App) -> None:
    """Neither a stream of the same name nor one with the same subjects is touched."""
    await api(js, f"STREAM.CREATE.{app.dead}", {"name": app.dead, "subjects": [f"other.{app.name}"]})
    with pytest.raises(ProvisioningRefused, match="is not jetrun's"):
        await provision(js, app, queues=(), partitions=1)
    await api(js, f"STREAM.DELETE.{app.dead}")

    name = f"WF_{app.name}_X"
    await api(js, f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"wf.{app.name}.dead.>"]})
    with pytest.raises(ProvisioningRefused, match="another stream"):
        await provision(js, app, queues=(), partitions=1)


async def test_a_newer_schema_is_refused(js: JetStream, app: App) -> None:
    """An old program does not turn back what a new one has made."""
    await provision(js, app, queues=(), partitions=1)
    config = await config_of(js, app.mail)
    metadata = config["metadata"]
    assert isinstance(metadata, dict)
    await api(js, f"STREAM.UPDATE.{app.mail}", config | {"metadata": metadata | {META_SCHEMA: "2"}})

    with pytest.raises(ProvisioningRefused, match="update jetrun"):
        await provision(js, app, queues=(), partitions=1)


async def test_changes_that_would_lose_messages_are_refused(js: JetStream, app: App) -> None:
    """Retention, subjects and limits below the content."""
    await provision(js, app, queues=(), partitions=1)
    config = await config_of(js, app.index)
    await api(js, f"STREAM.UPDATE.{app.index}", config | {"max_msgs_per_subject": 10})
    await js.publish(Outgoing(app.index_of("open", KEY), b"{}"))
    with pytest.raises(ProvisioningRefused, match="lowering max_msgs_per_subject from 10 to 1"):
        await provision(js, app, queues=(), partitions=1)
    await js.purge(app.index, ">")
    await provision(js, app, queues=(), partitions=1)

    config = await config_of(js, app.log)
    await api(js, f"STREAM.UPDATE.{app.log}", config | {"subjects": [f"wf.{app.name}.log.>", f"wf.{app.name}.old.>"]})
    with pytest.raises(ProvisioningRefused, match="subjects"):
        await provision(js, app, queues=(), partitions=1)


async def test_a_small_account_gets_smaller_streams(tmp_path: Path) -> None:
    """The default sizes are no reason to fail."""
    config = """accounts { A {
        jetstream: {max_file: 128MB, max_mem: 16MB, max_streams: 20, max_consumers: 200}
        users: [{user: a, password: a}]
    } }"""
    with configured_server(tmp_path, config) as url:
        js = await JetStream.connect(url, name="small", login=Login(user="a", password="a"))
        app = App("shop")
        await provision(js, app, queues=QUEUES, partitions=2)

        assert await verify(js, app, QUEUES) == []
        assert (await js.publish(Outgoing(app.input(KEY, "start"), b"{}"))).code == 0
        await js.close()
