"""Runs that continue as new on a real server: one id, many links, nothing lost between them (I21)."""

from __future__ import annotations

import asyncio

import anyio
import msgspec
import pytest

from jetrun.actors import ChildFailed, continue_as_new, hook, info, sleep, step, workflow
from jetrun.actors.errors import RunEnded
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.names import RunKey
from jetrun.actors.registry import Registry
from jetrun.streams.effects import IndexEntry
from jetrun.streams.janitor import Janitor
from jetrun.streams.ports import Outgoing
from jetrun.streams.reindex import reindex
from jetrun.streams.subjects import App
from support.engine import running_client
from support.story import wait_status

pytestmark = pytest.mark.anyio

WAIT_S = 20.0


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def countdown(n: int, total: int = 0) -> tuple[int, int]:
    total += await double(n)
    if n:
        continue_as_new(n - 1, total=total)
    return info().link, total


@workflow
async def sum_of(numbers: int, taken: int = 0, total: int = 0) -> int:
    """Takes ten numbers per link."""
    for _ in range(10):
        total += await hook("number", int)
        taken += 1
        if taken == numbers:
            return total
    continue_as_new(numbers, taken, total)


@workflow
async def hoarding(text: str, links: int) -> int:
    await sleep(0.01)
    if links:
        continue_as_new(text + "x", links - 1)
    return len(text)


@workflow
async def parent_of_chain(n: int) -> list[int]:
    try:
        return list(await countdown(n))
    except ChildFailed as error:
        return [-1, len(error.reason)]


@workflow(max_retries=3, retry_delay="50ms")
async def fickle(failures: int) -> tuple[int, int]:
    await double(1)
    if info().attempt <= failures:
        raise ValueError(f"try {info().attempt}")
    return info().attempt, await hook("number", int)


REGISTRY = Registry.of(fickle, countdown, sum_of, hoarding, parent_of_chain, double)


async def test_chain_has_one_id_and_its_links_can_be_read(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(countdown.call(3), run_id="c-1")
        assert await run.result(WAIT_S) == (4, 12)

        links = await run.chain()
        assert [(link.run_id, link.status) for link in links] == [
            ("c-1--1", "continued"),
            ("c-1--2", "continued"),
            ("c-1--3", "continued"),
            ("c-1--4", "completed"),
        ]
        assert [(link.previous, link.next) for link in links] == [
            ("", "c-1--2"),
            ("c-1--1", "c-1--3"),
            ("c-1--2", "c-1--4"),
            ("c-1--3", ""),
        ]
        assert [link.commands for link in links] == [1, 2, 3, 4]
        second = client.get("countdown", "c-1--2")
        assert [event.kind async for event in second.tail()] == [
            "step.completed",  # with this record the first link ended and the second began
            "run.continued",
            "step.scheduled",
            "step.completed",
            "run.continued",
        ]
        assert (await second.status()).status == "continued"
        with pytest.raises(RunEnded, match="run countdown/c-1 has the result"):
            await second.result(WAIT_S)
        assert (await run.status()).link == 4
        assert [event.kind async for event in run.tail()].count("run.continued") == 3


async def test_hooks_flood_over_the_switches_and_each_is_taken_once(nats_url: str, app: App) -> None:
    """Four senders, half of them without ids, some to links that are over or not there yet."""
    count = 200
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(sum_of.call(count), run_id="s-1")
        broker = client._session.broker

        async def send(numbers: range) -> None:
            for number in numbers:
                payload = msgspec.json.encode({"payload": number})
                address = "s-1" if number % 3 else f"s-1--{1 + number % 7}"
                key = RunKey("sum_of", address)
                if number % 2:
                    await client.get("sum_of", "s-1").hook("number", number)
                else:
                    ack = await broker.publish(Outgoing(app.input(key, "hook", "number"), payload))
                    assert ack.code == 0

        await asyncio.gather(*(send(range(start, count, 4)) for start in range(4)))
        assert await run.result(WAIT_S) == sum(range(count))
        assert len(await run.chain()) == count // 10


async def test_large_arguments_go_from_link_to_link(nats_url: str, app: App) -> None:
    text = "x" * (VALUE_INLINE_BYTES_MAX + 10)
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(hoarding.call(text, 3), run_id="h-1")
        assert await run.result(WAIT_S) == len(text) + 3


async def test_parent_hears_of_the_end_of_the_whole_chain(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(parent_of_chain.call(5), run_id="p-1")
        assert await run.result(WAIT_S) == [6, 30]


async def test_cancel_addressed_to_an_old_link_ends_the_run(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(sum_of.call(100), run_id="s-2")
        for number in range(15):
            await run.hook("number", number)
        async with asyncio.timeout(WAIT_S):
            while (await run.status()).link < 2:
                await anyio.sleep(0.01)
        await client.get("sum_of", "s-2--1").cancel(reason="enough")
        await wait_status(client, "sum_of/s-2", "cancelled")


async def test_start_under_the_name_of_a_link_is_refused(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        with pytest.raises(ValueError, match="names link 2 of run 'c-9'"):
            await client.start(countdown.call(1), run_id="c-9--2")
        key = RunKey("countdown", "c-9--2")
        await client._session.broker.publish(Outgoing(app.input(key, "start"), b'{"args":[1]}'))
        async with asyncio.timeout(WAIT_S):
            while not (letters := [letter async for letter in client.dead()]):
                await anyio.sleep(0.01)
        assert (letters[0].code, "start a run under another id" in letters[0].reason) == ("subject", True)


async def test_old_links_are_cut_off_while_the_run_goes_on(nats_url: str, app: App) -> None:
    names = app
    async with running_client(nats_url, app, REGISTRY) as client:
        broker = client._session.broker
        run = await client.start(sum_of.call(100), run_id="s-3")
        for number in range(25):
            await run.hook("number", number)
        async with asyncio.timeout(WAIT_S):
            while len([event for event in await run.events() if event.kind == "hook.received"]) < 25:
                await anyio.sleep(0.01)
        before = await run.log()
        await broker.purge(names.index, f"wf.{app.name}.index.>")
        assert (await reindex(broker, names, lambda _: None)).written == 2
        entries = [
            msgspec.json.decode(s.payload, type=IndexEntry)
            async for s in broker.scan(names.index, f"wf.{app.name}.index.ended.>")
        ]
        assert [(entry.run, entry.chain, entry.status) for entry in entries] == [("s-3--2", "s-3", "continued")]

        janitor = Janitor(broker, names, partitions=4, is_on_duty=lambda: True, retention_us=0)
        assert await janitor.clean() == 1
        after = await run.log()
        assert len(after) < len(before)
        assert after[0].continued is not None
        assert [link.run_id for link in await run.chain()] == ["s-3--2", "s-3--3"]
        for number in range(25, 100):
            await run.hook("number", number)
        assert await run.result(WAIT_S) == sum(range(100))


async def test_run_that_failed_is_tried_again_with_its_messages(nats_url: str, app: App) -> None:
    async with running_client(nats_url, app, REGISTRY) as client:
        run = await client.start(fickle.call(2), run_id="f-1")
        await run.hook("number", 7)
        assert await run.result(WAIT_S) == (3, 7)
        links = await run.chain()
        assert [link.status for link in links] == ["continued", "continued", "completed"]

        failed = await client.start(fickle.call(9), run_id="f-2")
        with pytest.raises(ValueError, match="try 4"):
            await failed.result(WAIT_S)
