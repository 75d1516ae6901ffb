"""Cancel, children and links: how runs end, alone and together (docs/behaviours.md)."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from jetrun.actors import (
    ChildFailed,
    ChildHandle,
    call,
    continue_as_new,
    hook,
    info,
    shield,
    sleep,
    start_child,
    step,
    workflow,
)
from jetrun.actors.attempt import attempt
from jetrun.actors.errors import RunCancelled, RunEnded, RunNotFound
from jetrun.actors.names import RunKey
from jetrun.client import testing


class OutOfStock(Exception):
    pass


@step
async def work(name: str) -> str:
    return name


@step(timeout="1h")
async def long_work() -> str:
    await asyncio.sleep(1_800)
    return "done"


@workflow
async def waiting(how: str) -> str:
    try:
        match how:
            case "sleep":
                await sleep("7d")
            case "hook":
                await hook("go")
            case "step":
                await long_work()
            case _:
                await asyncio.gather(sleep("7d"), hook("go"), long_work())
    except asyncio.CancelledError as error:
        await work(f"clean up: {error}")
        raise
    return "went"


@workflow
async def stubborn() -> str:
    try:
        await sleep("7d")
    except asyncio.CancelledError:
        await work("changed my mind")
    return await work("went on")


# --- cancel ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sleep", "hook", "step", "all at once"])
@pytest.mark.parametrize("crash", [False, True])
async def test_cancel_reaches_the_code_wherever_it_waits_and_clean_up_runs(how: str, crash: bool) -> None:
    """Of a run that only waits, too; with its reason; also by a worker that has only the log."""
    async with testing.app(waiting) as app:
        run = await app.client.start(waiting.call(how), run_id="w-1")
        await app.skip("1m")
        if crash:
            app.crash_actor_worker()

        assert await run.cancel(reason="enough", wait=True) == "cancelled"
        with pytest.raises(RunCancelled, match="enough"):
            await run.result()
        assert [one.args for one in app.calls(work)] == [("clean up: enough",)]
        status = await run.status()
        assert (status.status, status.steps_open, status.timers_open, status.hooks_open) == ("cancelled", 0, 0, [])


@pytest.mark.parametrize("reason", ["", "enough"])
async def test_cancel_is_told_with_its_reason_once(reason: str) -> None:
    """The log says who asked for what, and how it ended: one event each."""
    async with testing.app(waiting) as app:
        run = await app.client.start(waiting.call("hook"), run_id="w-1")
        await app.until_waiting(run, "go")
        await run.cancel(reason=reason, wait=True)

        events = {event.kind: event for event in await run.events()}
        assert events["run.cancel_requested"].data == {"reason": reason}
        assert events["run.cancelled"].data == ({"reason": reason} if reason else {})
        kinds = [event.kind for event in await run.events()]
        assert (kinds.count("run.cancel_requested"), kinds.count("run.cancelled")) == (1, 1)


async def test_code_may_go_on_after_a_cancel() -> None:
    """What catches the cancel and does not raise again has decided to complete."""
    async with testing.app(stubborn) as app:
        run = await app.client.start(stubborn.call(), run_id="s-1")
        await app.skip("1d")

        assert await run.cancel(wait=True) == "completed"
        assert await run.result() == "went on"


@workflow
async def shielded(levels: int) -> str:
    async with shield():
        if levels > 1:
            async with shield():
                await sleep("1h")
        await work("whole")
    await sleep("1h")
    return "not reached"


@pytest.mark.parametrize("levels", [1, 2])
async def test_shield_holds_a_cancel_back_to_the_end_of_the_outermost_block(levels: int) -> None:
    """What must not be left half done is not; the cancel is not forgotten."""
    async with testing.app(shielded) as app:
        run = await app.client.start(shielded.call(levels), run_id="s-1")
        if levels > 1:
            await app.skip("1m")

        assert await run.cancel(wait=True) == "cancelled"
        assert len(app.calls(work)) == 1


async def test_cancel_of_what_has_ended_changes_nothing_and_says_how_it_ended() -> None:
    """Completed, failed or cancelled: the answer is that status; of no run at all it is an error."""

    @workflow
    async def ends(how: str) -> str:
        if how == "failed":
            raise OutOfStock
        if how == "cancelled":
            await hook("go")
        return how

    async with testing.app(ends) as app:
        for how in ("completed", "failed", "cancelled"):
            run = await app.client.start(ends.call(how), run_id=how)
            await app.until_settled()
            if how == "cancelled":
                await run.cancel(wait=True)
            before = await run.log()

            assert await run.cancel(wait=True) == how
            assert await run.terminate(wait=True) == how
            await app.until_settled()
            assert await run.log() == before
        with pytest.raises(RunNotFound):
            await app.client.get(ends, "nothing").cancel()


async def test_step_in_hand_is_stopped_by_a_cancel() -> None:
    """In the middle of its work, not at its end: a long step does not hold up what was called off."""
    seen: list[str] = []

    async def endless() -> str:
        try:
            while True:
                await asyncio.sleep(10)
                seen.append("at work")
        except asyncio.CancelledError:
            seen.append(f"stopped {attempt().is_cancelled}")
            raise

    async with testing.app(waiting, steps=[testing.stub(long_work, endless)]) as app:
        run = await app.client.start(waiting.call("step"), run_id="w-1")
        await app.skip("35s")
        await run.cancel(wait=True)
        await app.until_settled()

        assert seen == ["at work"] * 3 + ["stopped True"]


# --- children ----------------------------------------------------------------------------------------


@workflow
async def child(how: str) -> RunKey | None:
    if how == "fails":
        raise OutOfStock("no pens")
    if how == "waits":
        await hook("go")
    await work(how)
    return info().parent


@workflow
async def parent(how: str) -> Any:
    try:
        return await child(how)
    except ChildFailed as error:
        return [error.workflow, error.run, error.status, error.error.type.rpartition(".")[2], error.error.message]


async def test_child_brings_its_result_and_knows_its_parent() -> None:
    """So does everybody who looks: the child's status names the parent, the parent lists the child; nobody's child has none."""
    async with testing.app(parent, child) as app:
        run = await app.client.start(parent.call("well"), run_id="p-1")

        assert await run.result() == ["parent", "p-1"]
        (found,) = await run.children()
        assert (found.workflow, found.run_id) == ("child", "parent-p-1-1")
        status = await found.status()
        assert (status.status, status.parent) == ("completed", RunKey("parent", "p-1"))
        assert (await run.status()).parent is None
        assert await found.children() == []
        kinds = [event.kind for event in await run.events()]
        assert kinds == ["run.started", "child.started", "child.completed", "run.completed"]


async def test_failed_child_is_told_with_its_name_id_and_error() -> None:
    """Whoever catches it can say what failed and where to look."""
    async with testing.app(parent, child) as app:
        run = await app.client.start(parent.call("fails"), run_id="p-1")

        assert await run.result() == ["child", "parent-p-1-1", "failed", "OutOfStock", "no pens"]
        assert "child.failed" in [event.kind for event in await run.events()]


async def test_child_that_was_cancelled_is_told_as_that() -> None:
    """A child can be steered like any other run, and its parent learns how it ended."""
    async with testing.app(parent, child) as app:
        run = await app.client.start(parent.call("waits"), run_id="p-1")
        await app.until_settled()
        (found,) = await run.children()
        assert (await found.status()).status == "running"
        assert (await run.status()).children_open == 1
        await found.cancel()

        assert (await run.result())[2] == "cancelled"
        assert "child.cancelled" in [event.kind for event in await run.events()]


async def test_child_that_waits_and_is_moved_still_wakes_its_parent() -> None:
    """No wake-up is lost, whoever crashes in between."""
    async with testing.app(parent, child) as app:
        run = await app.client.start(parent.call("waits"), run_id="p-1")
        await app.until_settled()
        app.crash_actor_worker()
        await app.client.get(child, "parent-p-1-1").hook("go")
        app.crash_actor_worker()

        assert await run.result() == ["parent", "p-1"]


@workflow
async def lets_go() -> str:
    handle: ChildHandle[RunKey | None] = start_child(child.call("waits"), run_id="c-1", parent_close="abandon")
    return repr(handle)


async def test_child_that_was_let_go_outlives_its_parent() -> None:
    """Fire and forget: the parent's end is nothing to it, and it still knows whose it is."""
    async with testing.app(lets_go, child) as app:
        run = await app.client.start(lets_go.call(), run_id="l-1")
        assert await run.result() == "<child child/c-1>"
        found = app.client.get(child, "c-1")
        await found.hook("go")

        assert await found.result() == RunKey("lets_go", "l-1")


@workflow
async def twins() -> list[bool]:
    first, second = start_child(child.call("well")), start_child(child.call("well"))
    found = [first.run_id != second.run_id]
    await hook("go")
    return [*found, await first.result() == await second.result()]


async def test_equal_children_are_two_on_every_replay() -> None:
    """A child is named by its place in the run, not by what it was given."""
    async with testing.app(twins, child) as app:
        run = await app.client.start(twins.call(), run_id="t-1")
        await app.until_waiting(run, "go")
        app.crash_actor_worker()
        await run.hook("go")

        assert await run.result() == [True, True]
        assert [one.run_id for one in await run.children()] == ["twins-t-1-1", "twins-t-1-2"]
        assert len(app.calls(work)) == 2


# --- links ---------------------------------------------------------------------------------------------


@workflow
async def rounds(left: int, *, seen: list[str] | None = None, more: dict[str, int] | None = None) -> list[str]:
    seen = [*(seen or []), f"{info().link}: {left}"]
    await work(seen[-1])
    if left:
        continue_as_new(left - 1, seen=seen, more={**(more or {}), str(left): left})
    return [*seen, *sorted(more or {})]


@pytest.mark.parametrize("links", [1, 2, 3])
async def test_chain_is_read_from_any_of_its_links(links: int) -> None:
    """Oldest first, linked both ways, under one id; arguments of all kinds are carried."""
    async with testing.app(rounds) as app:
        run = await app.client.start(rounds.call(links - 1), run_id="r-1")
        result = await run.result()

        assert result[:links] == [f"{n + 1}: {links - 1 - n}" for n in range(links)]
        assert result[links:] == [str(n) for n in range(1, links)]
        chain = await run.chain()
        assert [link.run_id for link in chain] == [f"r-1--{n + 1}" for n in range(links)]
        assert [link.status for link in chain] == ["continued"] * (links - 1) + ["completed"]
        assert [link.previous for link in chain[1:]] == [link.run_id for link in chain[:-1]]
        assert [link.next for link in chain[:-1]] == [link.run_id for link in chain[1:]]
        for link in chain:
            assert await app.client.get(rounds, link.run_id).chain() == chain
        continued = [event.data for event in await run.events() if event.kind == "run.continued"]
        assert [data["link"] for data in continued] == list(range(2, links + 1))
        assert [data["args"] for data in continued] == [[left] for left in reversed(range(links - 1))]
        with pytest.raises(RunNotFound):
            await app.client.get(rounds, "nothing").chain()


async def test_link_that_is_over_has_a_status_of_its_own() -> None:
    """`continued` is an end, and none of those that a run may come to; it is listed under that word."""
    async with testing.app(rounds) as app:
        run = await app.client.start(rounds.call(1), run_id="r-1")
        await run.result()
        await app.skip("5s")

        first = app.client.get(rounds, "r-1--1")
        status = await first.status()
        assert (status.status, status.is_ended) == ("continued", True)
        with pytest.raises(RunEnded):
            await first.result()
        assert [one.run_id async for one in app.client.list(status="continued")] == ["r-1--1"]
        assert [one.run_id async for one in app.client.list(status="completed")] == ["r-1"]


async def test_parent_gets_what_the_last_link_of_its_child_returns() -> None:
    """A child that continues as new has not ended."""

    @workflow
    async def above() -> list[str]:
        return await rounds(2)

    async with testing.app(above, rounds) as app:
        run = await app.client.start(above.call(), run_id="a-1")

        assert (await run.result())[:3] == ["1: 2", "2: 1", "3: 0"]


DEPTHS: list[int] = []


@workflow
async def deep(left: int) -> None:
    DEPTHS.append(sum(1 for _ in traceback.walk_stack(None)))
    if left:
        continue_as_new(left - 1)


async def test_long_chain_costs_no_stack() -> None:
    """Each link begins where the first one began, not within the one before."""
    DEPTHS.clear()
    async with testing.app(deep) as app:
        run = await app.client.start(deep.call(100), run_id="d-1")
        await run.result()

        assert len(await run.chain()) == 101
        assert max(DEPTHS) - min(DEPTHS) < 20


async def test_run_that_is_being_cancelled_does_not_continue() -> None:
    """It would escape its cancel."""

    @workflow
    async def escaping(number: int) -> None:
        try:
            await sleep("1h")
        finally:
            continue_as_new(number + 1)

    async with testing.app(escaping) as app:
        run = await app.client.start(escaping.call(1), run_id="e-1")
        await app.skip("1m")

        assert await run.cancel(wait=True) == "cancelled"
        assert len(await run.chain()) == 1


async def test_workflow_that_nobody_has_is_refused_to_its_parent() -> None:
    """A mistyped name ends in an error where it was written, not in a wait for ever."""

    @workflow
    async def lost() -> Any:
        try:
            return await start_child(call("no_such_workflow")).result()
        except ChildFailed as error:
            return f"{error.status}: {error}"

    async with testing.app(lost) as app:
        run = await app.client.start(lost.call(), run_id="l-1")

        assert (await run.result()).startswith("refused: child no_such_workflow/lost-l-1-1 refused")
