"""Workflows from start to end, as callers see them (docs/behaviours.md)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetrun.actors import NotInWorkflow, hook, info, sleep, step, workflow
from jetrun.actors.errors import RunFailed
from jetrun.actors.registry import Registry
from jetrun.client import testing
from jetrun.client.local import local


class OutOfStock(Exception):
    pass


@step
async def reserve(item: str) -> str:
    return f"shelf of {item}"


@step
async def pack(shelf: str, *, count: int = 1) -> str:
    return f"{count} from the {shelf}"


@workflow
async def parcel(item: str, count: int, *, note: str = "", tag: str = "") -> str:
    return f"{await pack(await reserve(item), count=count)}{note}{tag}"


@workflow
async def signed(item: str) -> str:
    shelf = await reserve(item)
    by = await hook("signature", str)
    return f"{await pack(shelf)}, signed by {by}"


@workflow
async def failing(item: str) -> None:
    await reserve(item)
    raise OutOfStock(f"no {item} left")


async def test_arguments_reach_the_code_as_they_were_given() -> None:
    """By position, by name, with defaults; and the log keeps all of them for readers."""
    async with testing.app(parcel) as app:
        run = await app.client.start(parcel.call("pen", count=2, note="!"), run_id="p-1")

        assert await run.result() == "2 from the shelf of pen!"
        first = (await run.events())[0]
        assert (first.kind, first.data) == ("run.started", {"args": ["pen", 2], "kwargs": {"note": "!"}})


async def test_handle_and_status_say_which_run_it_is() -> None:
    """A caller gets the id that it chose, at once, and finds the run under it."""
    async with testing.app(signed) as app:
        run = await app.client.start(signed.call("pen"), run_id="s-1")
        await app.until_waiting(run, "signature")

        assert (run.workflow, run.run_id) == ("signed", "s-1")
        status = await app.client.get(signed, "s-1").status()
        assert (status.workflow, status.run_id, status.is_ended) == ("signed", "s-1", False)
        assert status.started_at_us > 0
        assert (await run.log())[0].code == signed.code_hash


async def test_the_same_start_again_is_the_same_run() -> None:
    """A caller that repeats itself starts nothing, while the run goes on and after its end."""
    async with testing.app(parcel) as app:
        runs = [await app.client.start(parcel.call("pen", 1), run_id="p-1") for _ in range(2)]
        first = [await run.result() for run in runs]
        again = await app.client.start(parcel.call("pen", 1), run_id="p-1")

        assert first == [await again.result()] * 2
        assert len(app.calls(reserve)) == 1


async def test_run_that_waits_is_running_and_says_for_what() -> None:
    """There is no status of its own for waiting: what is open says it."""
    async with testing.app(signed) as app:
        run = await app.client.start(signed.call("pen"), run_id="s-1")
        await app.until_waiting(run, "signature")

        status = await run.status()
        assert (status.status, [wait.name for wait in status.hooks_open]) == ("running", ["signature"])
        assert (status.steps_open, status.timers_open, status.ended_at_us) == (0, 0, 0)


async def test_run_goes_on_after_a_crash_with_the_results_that_it_has() -> None:
    """Replay takes results from the log: a step that was done is not done again."""
    async with testing.app(signed) as app:
        run = await app.client.start(signed.call("pen"), run_id="s-1")
        await app.until_waiting(run, "signature")
        app.crash_actor_worker()
        await app.hook(run, "signature", "ann")

        assert await run.result() == "1 from the shelf of pen, signed by ann"
        assert [call.step for call in app.calls()] == ["reserve", "pack"]


async def test_failure_is_the_status_and_is_raised_at_the_caller() -> None:
    """With its class and text; the status has it, too, and the time of the end."""
    async with testing.app(failing) as app:
        run = await app.client.start(failing.call("pen"), run_id="f-1")

        with pytest.raises(OutOfStock, match="no pen left") as raised:
            await run.result()
        assert isinstance(raised.value, RunFailed)
        status = await run.status()
        assert status.status == "failed"
        assert status.error is not None
        assert status.error.type.endswith("OutOfStock")
        assert (status.error.message, status.ended_at_us > 0) == ("no pen left", True)
        assert (await run.events())[-1].kind == "run.failed"


async def test_run_that_has_ended_stays_as_it_ended() -> None:
    """Nothing that comes later changes a result, runs the code again or appends to the log."""
    async with testing.app(parcel) as app:
        run = await app.client.start(parcel.call("pen", 1), run_id="p-1")
        await run.result()
        before = await run.log()

        app.crash_actor_worker()
        assert await run.cancel(wait=True) == "completed"
        await app.client.start(parcel.call("pen", 1), run_id="p-1")
        await app.until_settled()

        assert await run.log() == before
        assert len(app.calls()) == 2


RAN: list[str] = []


@workflow
async def introspective(fails: str) -> None:
    RAN.append(info().run_id)
    await sleep("1s")
    RAN.append(info().run_id)
    if fails:
        raise OutOfStock(fails)


@pytest.mark.parametrize("fails", ["", "yes"])
async def test_code_knows_its_run_while_it_runs_and_nobody_does_afterwards(fails: str) -> None:
    """What a workflow sees must not leak into the program that hosts it, also where the workflow has failed."""
    RAN.clear()
    async with testing.app(introspective) as app:
        run = await app.client.start(introspective.call(fails), run_id="i-1")
        await app.client.start(introspective.call(fails), run_id="i-2")
        await app.skip("2s")

        assert (await run.status()).status == ("failed" if fails else "completed")
        assert sorted(RAN) == ["i-1", "i-1", "i-2", "i-2"]
        with pytest.raises(NotInWorkflow):
            info()


def test_definitions_carry_what_was_said_of_them() -> None:
    """Lists and checks read options from the definition itself: there is no registry that import fills."""

    @workflow(name="billing", max_duration="2h", tags=["money", "nightly"])
    async def bill(cents: int) -> int:
        """Bills."""
        return cents

    assert (bill.name, bill.__name__, bill.__doc__) == ("billing", "bill", "Bills.")
    assert (bill.max_duration_us, bill.tags) == (7_200_000_000, ("money", "nightly"))
    assert (parcel.name, parcel.max_duration_us, parcel.tags) == ("parcel", 0, ())
    assert Registry.of(bill).workflows["billing"] is bill


async def test_limit_of_a_runs_time_is_enforced() -> None:
    """A limit that is only shown is none."""

    @workflow(max_duration="2h")
    async def idle() -> None:
        await sleep("3h")

    async with testing.app(idle) as app:
        run = await app.client.start(idle.call(), run_id="i-1")
        began = app.now()

        with pytest.raises(RunFailed, match="max_duration"):
            await run.result()
        assert (app.now() - began).total_seconds() == 7_200


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What other engines keep as a context of steps: here a value that is passed like any other."""

    tenant: str
    limit: int = 10
    tags: tuple[str, ...] = ()


SEEN: list[Settings] = []


@step
async def look(settings: Settings) -> Settings:
    SEEN.append(settings)
    return msgspec.structs.replace(settings, limit=settings.limit + 1)


@workflow
async def with_settings(settings: Settings) -> Settings:
    settings = await look(settings)
    await hook("go")
    await look(settings)
    return msgspec.structs.replace(settings, tenant=settings.tenant.upper())


async def test_context_is_a_frozen_value_and_each_step_sees_that_of_its_call() -> None:
    """Also after a crash: replay gives the value of that moment, not the newest one."""
    SEEN.clear()
    async with testing.app(with_settings) as app:
        run = await app.client.start(with_settings.call(Settings("acme", tags=("a",))), run_id="w-1")
        await app.until_waiting(run, "go")
        app.crash_actor_worker()
        await run.hook("go")

        assert await run.result() == Settings("ACME", 11, ("a",))
        assert [(one.tenant, one.limit) for one in SEEN] == [("acme", 10), ("acme", 11)]
        refused: Any = {"tenant": "acme", "colour": "red"}
        with pytest.raises(Exception, match="unknown field"):
            msgspec.convert(refused, Settings)


async def test_script_needs_no_server_and_no_settings() -> None:
    """The first try costs nothing: an app in memory, in the program's own process."""
    async with local(parcel) as client:
        run = await client.start(parcel.call("pen", 1), run_id="p-1")

        assert await run.result(timeout=20) == "1 from the shelf of pen"
