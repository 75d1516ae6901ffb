"""Workflow code that changes while runs are under way, and steps that are called again, on a real server (R13)."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors import Workflow, attempt, hook, patched, step, workflow
from jetrun.actors.registry import Registry
from jetrun.client import Client
from jetrun.streams.subjects import App
from support.engine import running_client
from support.story import kinds, scheduled, wait_event

pytestmark = pytest.mark.anyio

WAIT_S = 20.0


@step
async def poll(order_id: str) -> str:
    """Says which call it is: a result that was kept from another call would be seen."""
    return f"{order_id} {attempt().command}"


@step
async def charge(cents: int) -> str:
    return f"charged {cents}"


@step
async def charge_by_card(cents: int) -> str:
    return f"charged {cents} by card"


@step
async def mail(text: str) -> str:
    return f"mailed: {text}"


@workflow
async def polls(order_id: str) -> list[str]:
    return [await poll(order_id), await poll(order_id), await poll(order_id)]


@workflow
async def polls_at_once(order_id: str) -> list[str]:
    return list(await asyncio.gather(poll(order_id), poll(order_id), poll(order_id)))


def as_written(price: int = 100) -> Workflow[[], str]:
    @workflow(name="order")
    async def order() -> str:
        paid = await charge(price)
        await hook("go")
        return await mail(paid)

    return order


def as_patched() -> Workflow[[], str]:
    @workflow(name="order")
    async def order() -> str:
        paid = await charge_by_card(100) if patched("by-card") else await charge(100)
        await hook("go")
        return await mail(paid)

    return order


def as_second() -> Workflow[[], str]:
    @workflow(name="order", version=2)
    async def order() -> str:
        await hook("go")
        return await mail(await charge_by_card(250))

    return order


def with_code(order: Workflow[[], str]) -> Registry:
    return Registry.of(order, charge, charge_by_card, mail)


async def started(client: Client, order: Workflow[[], str], run_id: str) -> None:
    """Starts a run and waits until it waits for its hook."""
    await wait_event(await client.start(order.call(), run_id=run_id), "hook.opened")


@pytest.mark.parametrize("flow", [polls, polls_at_once])
async def test_step_called_three_times_with_equal_arguments_runs_three_times(
    nats_url: str, app: App, flow: Workflow[[str], list[str]]
) -> None:
    """A loop that polls would be given its first answer for ever, were results kept by arguments."""
    async with running_client(nats_url, app, Registry.of(flow, poll)) as client:
        run = await client.start(flow.call("o-1"), run_id="p-1")

        assert await run.result(WAIT_S) == ["o-1 1", "o-1 2", "o-1 3"]
        assert kinds(await run.events()).count("step.completed") == 3


async def test_changed_body_parks_the_run_with_the_difference_until_it_is_mended(nats_url: str, app: App) -> None:
    """Code that decides otherwise must not go on in silence; nothing is lost when it decides as before again."""
    before, changed = as_written(100), as_written(250)
    async with running_client(nats_url, app, with_code(before)) as client:
        await started(client, before, "o-1")

    async with running_client(nats_url, app, with_code(changed)) as client:
        run = client.get("order/o-1")
        await run.hook("go")
        parked = await wait_event(run, "run.parked")

        status = await run.status()
        assert status.status == "parked"
        assert status.parked is not None
        assert status.parked.code == "mismatch"
        assert status.parked.reason.startswith(
            "command 1: the log holds step 'charge' on queue 'default' with [100], "
            "the code asked for step 'charge' on queue 'default' with [250] at "
        )
        assert "test_code_changes.py:" in status.parked.reason
        assert "\n" not in status.parked.reason
        assert status.parked.reason in parked.text

    async with running_client(nats_url, app, with_code(as_written(100))) as client:
        run = client.get("order/o-1")

        assert await run.result(WAIT_S) == "mailed: charged 100"
        events = await run.events()
        assert scheduled(events) == ["charge", "mail"]
        assert "run.unparked" in kinds(events)


async def test_versions_side_by_side_keep_runs_on_the_one_they_began_with(nats_url: str, app: App) -> None:
    before, second = as_written(100), as_second()
    async with running_client(nats_url, app, with_code(before)) as client:
        await started(client, before, "old")

    both = Registry.of(before, second, charge, charge_by_card, mail)
    async with running_client(nats_url, app, both) as client:
        await started(client, second, "new")
        for run_id, result in (("old", "mailed: charged 100"), ("new", "mailed: charged 250 by card")):
            run = client.get("order", run_id)
            await run.hook("go")
            assert await run.result(WAIT_S) == result
            assert "run.parked" not in kinds(await run.events())


async def test_patched_code_goes_on_with_old_and_new_logs(nats_url: str, app: App) -> None:
    """One deployed version serves the runs of both sides, each to its end as it began."""
    before, patch = as_written(100), as_patched()
    async with running_client(nats_url, app, with_code(before)) as client:
        await started(client, before, "old")

    async with running_client(nats_url, app, with_code(patch)) as client:
        await started(client, patch, "new")

    # Workers of their own once more: both logs are replayed, the marked one too.
    async with running_client(nats_url, app, with_code(as_patched())) as client:
        old, new = client.get("order/old"), client.get("order/new")
        for run in (old, new):
            await run.hook("go")

        assert await old.result(WAIT_S) == "mailed: charged 100"
        assert await new.result(WAIT_S) == "mailed: charged 100 by card"
        assert "patch.marked" not in kinds(await old.events())
        assert kinds(await new.events()).count("patch.marked") == 1
        for run in (old, new):
            assert "run.parked" not in kinds(await run.events())


async def test_replay_gives_each_call_its_own_result(nats_url: str, app: App) -> None:
    """Equal calls are told apart by their place, also by a worker that has only the log."""

    @workflow(name="polled")
    async def polled() -> tuple[str, str]:
        first = await poll("x")
        await hook("go")
        return first, await poll("x")

    async with running_client(nats_url, app, Registry.of(polled, poll)) as client:
        await wait_event(await client.start(polled.call(), run_id="p-1"), "hook.opened")

    async with running_client(nats_url, app, Registry.of(polled, poll)) as client:
        run = client.get("polled/p-1")
        await run.hook("go")

        assert await run.result(WAIT_S) == ["x 1", "x 3"]
        assert scheduled(await run.events()) == ["poll", "poll"]
