"""The client with a whole engine on a real server: what the twin and hand-written records cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jetrun.actors import FatalError, call, hook, sleep, step, workflow
from jetrun.actors.errors import (
    InvalidValue,
    MessageRefused,
    NotProvisioned,
    RunCancelled,
    RunConflict,
    RunEnded,
    RunFailed,
    RunNotFound,
    RunTerminated,
    ServerLost,
    WrongCredentials,
)
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App
from support.engine import running_client, running_engine

pytestmark = pytest.mark.slow


class OutOfStock(FatalError):
    pass


@dataclass
class Approval:
    ok: bool
    reviewer: str


@step
async def double(number: int) -> int:
    return 2 * number


@step
async def repeat(text: str, count: int) -> str:
    return text * count


@workflow
async def doubled(number: int, *, plus: int = 0) -> int:
    return await double(number) + plus


@workflow
async def repeated(text: str, count: int) -> str:
    return await repeat(text, count)


@workflow
async def approved(order_id: str) -> str:
    first = await hook("approval", Approval)
    second = await hook("approval", Approval)
    return f"{order_id} {first.reviewer} {second.reviewer}"


@workflow
async def failing(item: str) -> None:
    raise OutOfStock(item)


@workflow
async def sleeping(seconds: float) -> None:
    await sleep(seconds)


REGISTRY = Registry.of(double, repeat, doubled, repeated, approved, failing, sleeping)


@pytest.fixture
async def client(nats_url: str, app: App) -> AsyncIterator[Client]:
    async with running_client(nats_url, app, REGISTRY) as client:
        yield client


async def test_a_run_from_start_to_result(client: Client) -> None:
    """The whole way: start, step on a step worker, result, status, log, events, tail."""
    run = await client.start(doubled.call(4, plus=1), run_id="r-1")

    assert await run.result(timeout=10) == 9

    status = await run.status()
    assert (status.status, status.commands, status.is_ended) == ("completed", 1, True)
    assert [record.k for record in await run.log()] == list(range(1, status.records + 1))
    kinds = [event.kind for event in await run.events()]
    assert kinds == ["run.started", "step.scheduled", "step.completed", "run.completed"]
    assert [event.kind async for event in run.tail()] == kinds


async def test_hundreds_of_runs_at_once(client: Client) -> None:
    """Each waiting caller gets its own run's result."""

    async def one(index: int) -> int:
        run = await client.start(doubled.call(index), run_id=f"r-{index}")
        return await run.result(timeout=20)

    assert await asyncio.gather(*(one(index) for index in range(300))) == [2 * index for index in range(300)]


async def test_the_same_start_twice_is_one_run(client: Client) -> None:
    """Idempotent by run id, while it runs and after; other arguments conflict; a new run cannot be had under its id."""
    first = await client.start(doubled.call(4), run_id="r-1")
    second = await client.start(call("doubled", 4), run_id="r-1")
    assert await first.result(timeout=10) == await second.result(timeout=10) == 8

    third = await client.start(doubled.call(4), run_id="r-1")
    assert await third.result(timeout=10) == 8
    with pytest.raises(RunConflict):
        await client.start(doubled.call(5), run_id="r-1")
    with pytest.raises(RunConflict):
        await client.start(doubled.call(4), run_id="r-1", conflict="fail")

    fresh = await client.start(doubled.call(4), run_id="r-2", conflict="fail")
    assert await fresh.result(timeout=10) == 8


async def test_racing_starts_with_other_arguments(client: Client) -> None:
    """However close they come, one start wins and the others learn of it."""

    async def one(number: int) -> int | type[Exception]:
        try:
            run = await client.start(doubled.call(number), run_id="r-1")
            return await run.result(timeout=15)
        except RunConflict:
            return RunConflict

    outcomes = await asyncio.gather(*(one(number) for number in range(10)))

    assert outcomes.count(RunConflict) == 9


async def test_racing_starts_of_new_runs(client: Client) -> None:
    """With `fail`, exactly one of many equal starts is the one that began the run."""
    starts = (client.start(doubled.call(1), run_id="r-1", conflict="fail") for _ in range(10))

    outcomes = await asyncio.gather(*starts, return_exceptions=True)

    assert sum(isinstance(outcome, RunConflict) for outcome in outcomes) == 9


async def test_hooks_with_the_start_before_it_and_after_the_end(client: Client) -> None:
    """Hooks sent with or before the start are kept in order; one that comes after the end is refused."""
    early = client.get("approved/a-1")
    await early.hook("approval", Approval(ok=True, reviewer="ann"), before_start=True)
    run = await client.start(approved.call("o"), run_id="a-1", hooks=[("approval", Approval(ok=True, reviewer="bob"))])

    assert await run.result(timeout=10) == "o ann bob"
    with pytest.raises(RunEnded, match="is completed since"):
        await run.hook("approval", Approval(ok=False, reviewer="eve"))
    assert await run.cancel() == "completed"


async def test_a_hook_with_an_id_is_applied_once(client: Client) -> None:
    """A sender that repeats itself does no harm."""
    run = await client.start(approved.call("o"), run_id="a-1")
    for _ in range(3):
        await run.hook("approval", Approval(ok=True, reviewer="ann"), id="once")
    await run.hook("approval", Approval(ok=True, reviewer="bob"))

    assert await run.result(timeout=10) == "o ann bob"


async def test_a_failure_comes_back_as_the_exception(client: Client) -> None:
    """`except OutOfStock` works in the caller, and the text says where it happened."""
    run = await client.start(failing.call("pen"), run_id="f-1")

    with pytest.raises(OutOfStock) as caught:
        await run.result(timeout=10)

    assert isinstance(caught.value, RunFailed)
    assert "raise OutOfStock(item)" in str(caught.value)
    status = await run.status()
    assert status.error is not None
    assert status.error.message == "pen"


async def test_cancel_terminate_pause_resume(client: Client) -> None:
    """A run can be steered from outside, and says how it ended."""
    run = await client.start(sleeping.call(600), run_id="s-1")
    assert await run.cancel(reason="no need", wait=True) == "cancelled"
    with pytest.raises(RunCancelled, match="no need"):
        await run.result(timeout=10)

    run = await client.start(sleeping.call(600), run_id="s-2")
    assert await run.terminate(wait=True) == "terminated"
    with pytest.raises(RunTerminated):
        await run.result(timeout=10)

    paused = await client.start(approved.call("o"), run_id="a-1")
    await paused.pause()
    for reviewer in ("ann", "bob"):
        await paused.hook("approval", Approval(ok=True, reviewer=reviewer))
    with pytest.raises(TimeoutError):
        await paused.result(timeout=1)
    assert (await paused.status()).status == "paused"
    await paused.resume()
    assert await paused.result(timeout=10) == "o ann bob"


async def test_arguments_that_do_not_fit_are_refused(client: Client) -> None:
    """A start by name that the workflow cannot take is told to who waits for it, and kept among the dead letters."""
    run = await client.start(call("doubled", "four"), run_id="r-1")

    with pytest.raises(MessageRefused, match="number") as caught:
        await run.result(timeout=15)

    assert caught.value.code == "args"
    assert [letter.code async for letter in client.dead(workflow="doubled", run_id="r-1")] == ["args"]
    with pytest.raises(MessageRefused):
        await client.start(call("doubled", "four"), run_id="r-2", conflict="fail")


async def test_large_values_both_ways(client: Client) -> None:
    """Arguments and results above what a message holds travel through the object store."""
    text = "x" * (VALUE_INLINE_BYTES_MAX + 1)

    run = await client.start(repeated.call(text, 2), run_id="r-1")

    assert await run.result(timeout=20) == text * 2
    with pytest.raises(InvalidValue):
        await client.start(call("repeated", "x" * 9_000_000), run_id="r-2")


async def test_runs_workers_and_queues_are_seen(client: Client) -> None:
    """Lists show what is there: from the index, from beats, from consumers."""
    sleeper = await client.start(sleeping.call(600), run_id="s-1")
    done = await client.start(doubled.call(1), run_id="r-1")
    await done.result(timeout=10)
    await asyncio.sleep(2.5)

    listed = {(run.workflow, run.run_id): run.status async for run in client.list()}
    assert listed[("sleeping", "s-1")] == "running"
    assert [(run.workflow, run.run_id) async for run in client.list(status="running")] == [("sleeping", "s-1")]
    assert [run.workflow for run in await client.find("s-1")] == ["sleeping"]
    assert [worker.kind for worker in await client.workers()] == ["actors", "steps"]
    (queue,) = await client.queues()
    assert (queue.queue, queue.waiting, queue.running, queue.workers, queue.concurrency) == ("default", 0, 0, 1, 50)
    await sleeper.terminate(wait=True)


async def test_what_does_not_exist_is_an_error(client: Client, nats_url: str) -> None:
    """A mistyped run id, workflow or app never hangs."""
    with pytest.raises(RunNotFound):
        await client.get("doubled/nothing").result(timeout=5)
    with pytest.raises(RunNotFound):
        await client.cancel("doubled/nothing")
    async with await Client.connect(nats_url, app="no-such-app") as stranger:
        with pytest.raises(NotProvisioned):
            await stranger.start(doubled.call(1), run_id="r-1")


async def test_no_server_and_wrong_credentials(nats_url: str) -> None:
    """What is wrong with the connection is said at once, in one line."""
    with pytest.raises(ServerLost, match=r"127\.0\.0\.1:1"):
        await Client.connect("nats://127.0.0.1:1", is_one_shot=True)
    with pytest.raises((ServerLost, WrongCredentials)):
        await Client.connect(nats_url, creds="/no/such/file", is_one_shot=True)


async def test_waiting_survives_a_killed_server(tmp_path: Path) -> None:
    """The server dies and comes back while callers wait: all of them get their results."""
    app = App("survivor")
    with EmbeddedServer.start(tmp_path / "nats") as server:
        async with running_engine(server.url, app, REGISTRY), await Client.connect(server.url, app=app.name) as client:
            runs = [await client.start(approved.call(f"o{index}"), run_id=f"a-{index}") for index in range(20)]
            waiting = [asyncio.create_task(run.result(timeout=60)) for run in runs]
            await asyncio.sleep(1)

            await asyncio.to_thread(server.restart)

            for run in runs:
                for reviewer in ("ann", "bob"):
                    await run.hook("approval", Approval(ok=True, reviewer=reviewer))
            assert await asyncio.gather(*waiting) == [f"o{index} ann bob" for index in range(20)]
