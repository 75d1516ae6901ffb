"""Bodies of workflows with `durable=False`: their code sees what that of a durable one does, as far as it can."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from jetrun.actors import (
    FatalError,
    NotDurable,
    RetryableError,
    StepFailed,
    WorkerLost,
    attempt,
    hook,
    info,
    now,
    patched,
    random,
    saga,
    shield,
    sleep,
    start_child,
    step,
    uuid4,
    workflow,
)
from jetrun.actors.errors import NotInStep
from jetrun.actors.limits import BODY_THREADS_MAX
from jetrun.client import RunCancelled, RunFailed, testing
from jetrun.client.local import local


class Page(msgspec.Struct, frozen=True):
    url: str
    size: int


class Declined(FatalError):
    """No."""


@step(max_retries=2, retry_delay=["1s", "10s"])
async def fetch(url: str) -> Page:
    return Page(url, len(url))


@step
def measure(page: Page) -> int:
    assert isinstance(page, Page)
    return page.size


@step(timeout="2s", max_retries=1, retry_delay="1s")
async def hang() -> None:
    await asyncio.sleep(3600)


@step
async def key_of(number: int) -> str:
    return attempt().idempotency_key


@step
async def refuse() -> None:
    raise Declined("not today")


@step(recover_on_worker_loss=False)
async def charge() -> int:
    return 1


@workflow(durable=False)
async def crawl(urls: list[str]) -> list[int]:
    pages = await asyncio.gather(*(fetch(url) for url in urls))
    await sleep("10m")
    return [await measure(page) for page in pages]


@workflow(durable=False)
async def facts() -> tuple[datetime, datetime, str, str, float, UUID]:
    started = info()
    await sleep("1h")
    return started.started_at, now(), f"{started.workflow}/{started.run_id}", started.app, random().random(), uuid4()


@workflow(durable=False)
async def timed() -> str:
    try:
        await hang()
    except TimeoutError as error:
        return f"{cast('StepFailed', error).step} {cast('StepFailed', error).attempts}"
    return "no"


@workflow(durable=False)
async def declined() -> None:
    await refuse()


@workflow(durable=False)
async def keys() -> list[str]:
    return [await key_of(1), await key_of(2)]


@workflow(durable=False)
async def outer(urls: list[str]) -> int:
    return sum(await crawl(urls))


@workflow
async def parent(urls: list[str]) -> list[int]:
    return await crawl(urls)


@workflow
async def durable() -> int:
    return 1


async def use_saga() -> None:
    async with saga():
        pass


async def use_shield() -> None:
    async with shield():
        pass


async def use_patch() -> None:
    patched("p")


async def use_child() -> None:
    await start_child(durable.call()).result()


REFUSED: dict[str, Any] = {
    "hook()": lambda: hook("go"),
    "start_child()": use_child,
    "saga()": use_saga,
    "shield()": use_shield,
    "patched()": use_patch,
    "<workflow 'durable'> runs as a child": durable,
    "step 'charge' is not to run again": charge,
}


@workflow(durable=False)
async def refused(what: str) -> None:
    coroutine: Coroutine[Any, Any, object] = REFUSED[what]()
    await coroutine


@workflow(durable=False)
async def asks_for_its_attempt() -> None:
    attempt()


# --- what it can do -------------------------------------------------------------------------------------


def test_steps_are_retried_in_place_with_their_delays_and_values_become_json_and_back() -> None:
    """Two failures of one step take its 1 s and 10 s; the arguments and results have their types."""

    async def main() -> None:
        steps = [testing.attempts(fetch, OSError("away"), RetryableError("later"), Page("u", 7))]
        async with testing.app(crawl, steps=steps) as app:
            began = app.now()
            run = await app.client.start(crawl.call(["a", "b"]), run_id="c-1")

            assert await run.result() == [7, 7]
            assert (app.now() - began).total_seconds() == pytest.approx(611, abs=2)
            assert [call.attempt for call in app.calls(fetch)] == [1, 1, 2, 2, 3, 3]
            assert len(await run.log()) == 2

    play(main())


def test_a_run_knows_its_time_its_name_and_its_chance() -> None:
    async def main() -> None:
        async with testing.app(facts) as app:
            run = await app.client.start(facts.call(), run_id="f-1")
            started, ended, name, app_name, chance, made = await run.result()

        assert started == datetime(2027, 1, 1, tzinfo=UTC)
        assert (ended - started).total_seconds() == pytest.approx(3600, abs=1)
        assert (name, app_name) == ("facts/f-1", "test")
        assert 0 <= chance < 1
        assert made.version == 4

    play(main())


def test_timeouts_are_enforced_and_an_error_is_what_a_durable_workflow_gets() -> None:
    assert testing.run(timed.call(), timed) == "hang 2"


def test_an_error_that_nobody_catches_is_the_runs() -> None:
    with pytest.raises(RunFailed, match="not today") as failed:
        testing.run(declined.call(), declined)
    assert isinstance(failed.value, Declined)


def test_each_step_has_a_key_of_its_own_for_other_systems() -> None:
    assert testing.run(keys.call(), keys) == ["keys/run-1/1", "keys/run-1/2"]


def test_one_within_another_is_part_of_its_body() -> None:
    assert testing.run(outer.call(["a", "bb"]), outer) == 3


def test_a_durable_workflow_starts_one_as_a_child() -> None:
    assert testing.run(parent.call(["a", "bb"]), parent, crawl) == [1, 2]


def test_large_arguments_and_results_take_the_way_of_all_large_values() -> None:
    @workflow(durable=False)
    async def echo(text: str) -> str:
        return text

    text = "x" * 300_000
    assert testing.run(echo.call(text), echo) == text


async def test_sync_steps_run_in_threads_so_many_at_a_time() -> None:
    """A body that fans out does not start a thousand threads, and does not hold the worker's loop."""
    most, running, lock = 0, 0, threading.Lock()
    full = threading.Event()

    @step
    def count() -> None:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
            if running == BODY_THREADS_MAX:
                full.set()
        full.wait(10)
        with lock:
            running -= 1

    @workflow(durable=False)
    async def wide() -> None:
        await asyncio.gather(*(count() for _ in range(3 * BODY_THREADS_MAX)))

    async with local(wide, count) as client:
        await (await client.start(wide.call(), run_id="w-1")).result(timeout=30)
    assert most == BODY_THREADS_MAX


# --- what it cannot ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_the_log_is_refused_with_the_reason(what: str) -> None:
    with pytest.raises(RunFailed, match=r"durable=True") as failed:
        testing.run(refused.call(what), refused, durable)
    assert isinstance(failed.value, NotDurable)
    assert failed.value.error.message.startswith(what)


def test_its_own_code_is_no_step() -> None:
    with pytest.raises(RunFailed) as failed:
        testing.run(asks_for_its_attempt.call(), asks_for_its_attempt)
    assert isinstance(failed.value, NotInStep)


# --- its ends -----------------------------------------------------------------------------------------------


def test_a_lost_worker_means_to_begin_again_with_the_same_chance() -> None:
    """What was made of chance before the crash is made again, so that other systems can tell the repeat."""
    made: list[UUID] = []

    @workflow(durable=False)
    async def unlucky() -> int:
        made.append(uuid4())
        await fetch("a")
        await sleep("1m")
        return len(made)

    async def main() -> None:
        async with testing.app(unlucky) as app:
            run = await app.client.start(unlucky.call(), run_id="u-1")
            await app.skip("30s")
            app.crash_step_worker()

            assert await run.result() == 2
            assert made[0] == made[1]
            assert len(app.calls(fetch)) == 2
            events = {event.kind: event for event in await run.events()}
            assert events["step.interrupted"].text == "interrupted 1 time: handed out again"
            assert events["step.interrupted"].data == {"attempt": 1, "interruptions": 1}

    play(main())


@pytest.mark.parametrize(
    ("options", "begun"), [({"recover_on_worker_loss": False}, 1), ({"max_recovery_attempts": 2}, 3)]
)
def test_one_that_loses_its_worker_too_often_fails_with_the_reason(options: dict[str, Any], begun: int) -> None:
    times = 0

    @workflow(durable=False, **options)
    async def doomed() -> None:
        nonlocal times
        times += 1
        await charge() if options.get("recover_on_worker_loss") is False else None
        await sleep("1d")

    async def main() -> None:
        async with testing.app(doomed, charge) as app:
            run = await app.client.start(doomed.call(), run_id="d-1")
            for _ in range(begun):
                await app.skip("1m")
                app.crash_step_worker()
            with pytest.raises(RunFailed, match="worker was lost") as failed:
                await run.result()
            assert isinstance(failed.value, WorkerLost)
            assert failed.value.error.code == "worker_lost"

    play(main())
    assert times == begun


@pytest.mark.parametrize("end", ["cancel", "terminate", "max_duration"])
def test_a_run_that_is_ended_cancels_its_body_and_the_steps_in_it(end: str) -> None:
    seen: list[str] = []

    @step
    async def wait() -> None:
        try:
            await asyncio.sleep(100_000)
        except asyncio.CancelledError:
            seen.append("step")
            raise

    @workflow(durable=False, max_duration="1h")
    async def waits() -> None:
        try:
            await wait()
        finally:
            seen.append("body")

    async def main() -> None:
        async with testing.app(waits, wait) as app:
            run = await app.client.start(waits.call(), run_id="w-1")
            await app.skip("1m")
            if end == "cancel":
                await run.cancel(reason="enough")
                with pytest.raises(RunCancelled):
                    await run.result()
            elif end == "terminate":
                await run.terminate(reason="now")
            else:
                with pytest.raises(RunFailed, match="max_duration"):
                    await run.result()
            await app.skip("10s")
            assert sorted(seen) == ["body", "step"]

    play(main())


def test_what_a_body_leaves_behind_ends_with_it() -> None:
    """A task that nobody awaits gets no further step, and the step that it waits for is cancelled."""
    seen: list[str] = []

    @step
    async def linger() -> None:
        try:
            await asyncio.sleep(100_000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def beside() -> None:
        try:
            await linger()
        except StepFailed:
            seen.append("failed")
        await linger()
        seen.append("never")

    left: set[asyncio.Task[None]] = set()

    @workflow(durable=False)
    async def leaves() -> str:
        left.add(asyncio.create_task(beside()))
        await sleep(1)
        return "done"

    async def main() -> None:
        async with testing.app(leaves, linger) as app:
            run = await app.client.start(leaves.call(), run_id="l-1")
            assert await run.result() == "done"
            await app.skip("1m")
            (task,) = left
            assert task.cancelled()

    play(main())
    assert seen == ["cancelled", "failed"]


def test_an_effect_of_it_is_there_whenever_a_worker_crashes() -> None:
    """The actor worker's crashes repeat nothing, the step worker's only what the body had done by then."""
    sweep = testing.survives_every_crash(
        crawl.call(["a", "b"]), crawl, steps={fetch: [OSError("away"), Page("u", 7)]}, step_crashes="each"
    )

    assert sweep.records == 2
    assert sweep.crashes > 6


def play(main: Coroutine[Any, Any, None]) -> None:
    """Runs a test's own coroutine on asyncio's loop, whose time can be skipped."""
    asyncio.run(main)
