"""Messages for a run that nobody has started: kept for a time, then dead (R4). Real server; the time is shortened."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from jetrun.actors import call, hook, workflow
from jetrun.actors.actor import Actor
from jetrun.actors.errors import RunNotFound
from jetrun.actors.messages import Hook, Message, Tick, encode_body
from jetrun.actors.names import RunKey
from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.actor_worker import ActorOptions
from jetrun.streams.jetstream import JetStream
from jetrun.streams.provision import provision
from jetrun.streams.run_log import RunLog
from jetrun.streams.subjects import App
from support.door import Door, body_of, open_door
from support.engine import running_engine

pytestmark = pytest.mark.slow

KEEP_US = 400_000
OPTIONS = ActorOptions(has_threads=False, early_keep_us=KEEP_US)


@workflow
async def answered() -> Any:
    return await hook("answer")


REGISTRY = Registry.of(answered)


@pytest.fixture
async def broker(nats_url: str) -> AsyncIterator[JetStream]:
    broker = await JetStream.connect(nats_url, name="test")
    yield broker
    await broker.close()


@pytest.fixture
async def door(nats_url: str, app: App) -> AsyncIterator[Door]:
    async with running_engine(nats_url, app, REGISTRY, OPTIONS), open_door(nats_url, app) as door:
        yield door


async def wait_empty(broker: JetStream, app: App, run: str) -> None:
    async with asyncio.timeout(5):
        while await broker.read(app.log, app.log_of(RunKey("answered", run))):
            await asyncio.sleep(0.02)


async def ask(door: Door, app: App, run: str) -> bytes:
    return (await door.nats.request(f"wf.{app.name}.ask.answered.{run}.status", timeout=5)).data


async def test_a_hook_without_a_run_is_kept_and_then_dead(door: Door, broker: JetStream, app: App) -> None:
    """Its sender would never learn that nobody has read it; its log would stay for ever."""
    seq = await door.send("answered.never.hook.answer", b'{"id":"h-1","payload":  {"ok":true}}')
    async with asyncio.timeout(5):
        while b'"status":"early"' not in await ask(door, app, "never"):
            await asyncio.sleep(0.01)

    letter = await door.dead(seq)

    assert (letter["code"], letter["reason"]) == ("no_run", "nobody has started answered/never within 400ms")
    assert letter["tokens"] == ["answered", "never"]
    assert letter["subject"].endswith(".answered.never.hook.answer")
    assert body_of(letter) == b'{"id":"h-1","payload":  {"ok":true}}'
    notice = await door.notice("answered.never")
    assert (notice["status"], notice["id"], notice["error"]["code"]) == ("refused", "h-1", "no_run")
    await wait_empty(broker, app, "never")
    assert b"not_found" in await ask(door, app, "never")


async def test_a_start_after_that_begins_a_run_of_its_own(door: Door, broker: JetStream, app: App) -> None:
    """The id would be spent by a hook that came too early."""
    await door.dead(await door.send("answered.again.hook.answer", b'{"payload":"dead"}'))
    await wait_empty(broker, app, "again")

    await door.send("answered.again.start", b"{}")
    await door.send("answered.again.hook.answer", b'{"payload":"alive"}')

    assert (await door.notice("answered.again", "completed"))["result"] == "alive"


async def test_a_start_in_time_gets_all_that_was_kept(door: Door) -> None:
    """Services that start and answer a run need not agree on who is first."""
    await door.send("answered.soon.hook.answer", b'{"payload":1}')
    await asyncio.sleep(KEEP_US / 2e6)
    await door.send("answered.soon.start", b"{}")

    assert (await door.notice("answered.soon"))["result"] == 1


async def test_many_that_are_started_too_late_are_all_accounted_for(door: Door) -> None:
    """However start and end of the wait meet: each hook is applied or dead, none both, none neither (I7)."""
    runs = [f"race-{number}" for number in range(60)]

    async def one(number: int, run: str) -> None:
        await door.send(f"answered.{run}.hook.answer", f'{{"payload":{number}}}')
        await asyncio.sleep((KEEP_US / 1e6) * (0.9 + number / 60))
        await door.send(f"answered.{run}.start", b"{}")
        await asyncio.sleep(1.0)
        await door.send(f"answered.{run}.hook.answer", b'{"payload":"second"}')

    await asyncio.gather(*(one(number, run) for number, run in enumerate(runs)))

    ends = [await door.notice(f"answered.{run}", "completed") for run in runs]
    applied = [number for number, end in enumerate(ends) if end["result"] == number]
    dead = [number for number, end in enumerate(ends) if end["result"] == "second"]
    assert sorted(applied + dead) == list(range(60))
    refused = [(await door.notice(f"answered.{run}", "refused"))["error"]["code"] for run in runs]
    assert [number for number in range(60) if refused[number] == "no_run"] == dead
    assert [number for number in range(60) if refused[number] == "ended"] == applied
    # A notice may come twice: whoever finds a decision in the log without knowing what became of it repeats what it owes.
    told = {run: {msgspec.json.encode(notice) for notice in door.notices(f"answered.{run}")} for run in runs}
    assert [run for run in runs if len(told[run]) != 2] == []


async def test_a_crash_between_the_end_of_the_log_and_its_purge_is_healed(
    nats_url: str, broker: JetStream, app: App
) -> None:
    """The next owner buries what is dead and purges before it appends: a start is not added to a log that goes away."""
    await provision(broker, app, queues=["default"])
    key = RunKey("answered", "cut")
    dying = Actor(app.name, key, answered, by="dying", early_keep_us=KEEP_US)
    log, seqs = RunLog(broker, app), list[int]()
    hooked, ticked = Hook(id="h-1"), Tick()
    for source, verb, name, body, at_us in (("m", "hook", "answer", hooked, 1), ("t", "timer", "", ticked, 10**15)):
        raw = encode_body(body)
        message = Message(source=source, seq=1, at_us=at_us, verb=verb, name=name, raw=raw, body=body)
        decision = dying.fold([message], objects={}, nonce=secrets.token_hex(4))
        stored = await log.append_all(key, decision.records, seqs[-1] if seqs else 0)
        assert stored is not None
        seqs += stored
        dying.commit(decision, stored)
    assert dying.journal.is_expired

    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(open_door(nats_url, app))
        await stack.enter_async_context(running_engine(nats_url, app, REGISTRY, OPTIONS))
        await door.send("answered.cut.start", b"{}")
        refused = await door.notice("answered.cut", "refused")
        await door.send("answered.cut.hook.answer", b'{"payload":"alive"}')
        done = await door.notice("answered.cut", "completed")

    assert (refused["id"], refused["error"]["code"]) == ("h-1", "no_run")
    assert done["result"] == "alive"
    left = await broker.read(app.log, app.log_of(key))
    assert left[0].seq > seqs[-1]


async def test_the_client_says_that_there_is_no_run(nats_url: str, app: App, door: Door) -> None:
    """A typing error in a run id is told at once; who means it says so."""
    async with await Client.connect(nats_url, app=app.name) as client:
        run = client.get("answered/unknown")
        with pytest.raises(RunNotFound, match="no run answered/unknown in app"):
            await run.hook("answer", 1)
        with pytest.raises(RunNotFound):
            await run.cancel()

        sent = await run.hook("answer", 1, before_start=True)

        assert (await door.notice("answered.unknown", "refused"))["id"] == sent
        with pytest.raises(RunNotFound):
            await run.status()
        with pytest.raises(RunNotFound):
            await client.get("answered/unknown").result(timeout=5)
        started = await client.start(call("answered"), run_id="unknown", hooks=[("answer", 2)])
        assert await started.result(timeout=5) == 2
