"""Sleeps and hooks, as code and senders see them (docs/behaviours.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from jetrun.actors import HookExpired, HookToken, InvalidName, define_hook, hook, hook_stream, sleep, step, workflow
from jetrun.actors.errors import InvalidValue, RunEnded, RunNotFound
from jetrun.client import testing


class Approval(msgspec.Struct):
    ok: bool
    by: str = ""


approval = define_hook("approval", Approval)


@step
async def tell(token: str) -> None:
    raise NotImplementedError(token)


@step
async def work(number: int) -> int:
    return number


@workflow
async def approved() -> str:
    try:
        decision = await approval(timeout="24h", on_created=tell)
    except HookExpired:
        return "nobody"
    return f"{decision.by}: {decision.ok}"


@workflow
async def twice() -> list[Any]:
    return [await hook("answer"), await hook("answer")]


@workflow
async def works_first() -> Any:
    await work(1)
    await sleep("1h")
    return await hook("answer")


async def test_token_is_told_once_and_is_all_that_an_answer_needs() -> None:
    """Whoever was sent the token answers with it, after any number of replays."""
    tokens: list[str] = []

    async def note(token: str) -> None:
        tokens.append(token)

    async with testing.app(approved, steps=[testing.stub(tell, note)]) as app:
        run = await app.client.start(approved.call(), run_id="a-1")
        await app.until_waiting(run, approval)
        await app.until_settled()
        app.crash_actor_worker()
        await app.skip("1h")

        assert tokens == ["approved/a-1/approval"]
        assert str(HookToken.parse(tokens[0])) == tokens[0]
        await app.client.send_hook(tokens[0], Approval(ok=True, by="ann"))
        assert await run.result() == "ann: True"
        kinds = [event.kind for event in await run.events()]
        assert (kinds.count("hook.opened"), kinds.count("hook.received")) == (1, 1)


@pytest.mark.parametrize(("after", "result"), [("23h59m", "ann: True"), (None, "nobody")])
async def test_timeout_wakes_the_code_at_its_time(after: str | None, result: str) -> None:
    """A deadline that passes is seen by the code, with nobody's help; one that has not passed is none."""
    async with testing.app(approved, steps=[testing.returns(tell, None)]) as app:
        began = app.now()
        run = await app.client.start(approved.call(), run_id="a-1")
        if after is not None:
            await app.hook(run, approval, Approval(ok=True, by="ann"), after=after)

        assert await run.result() == result
        assert (app.now() - began).total_seconds() == (86_340 if after else 86_400)


async def test_payload_that_does_not_fit_is_refused_and_the_run_waits_on() -> None:
    """By the sender's own library where it knows the type, else by the run: a wrong answer ends no run."""
    async with testing.app(approved, steps=[testing.returns(tell, None)]) as app:
        run = await app.client.start(approved.call(), run_id="a-1")
        await app.until_waiting(run, approval)
        wrong: Any = {"ok": "perhaps"}

        with pytest.raises(InvalidValue, match="expected bool, got str"):
            await run.hook(approval, wrong)
        await run.hook("approval", wrong)
        await app.until_settled()
        assert [letter.code async for letter in app.client.dead(workflow="approved", run_id="a-1")] == ["payload"]
        assert (await run.status()).status == "running"

        await run.hook("approval", {"ok": True, "by": "bob"})
        assert await run.result() == "bob: True"


async def test_answers_without_an_addressee_are_refused() -> None:
    """What is no token, no run, or a run that has ended: the sender is told in place."""
    async with testing.app(twice) as app:
        for token in ("", "approval", "twice:t-1:answer", "twice/t-1", "twice//answer", "twice/t-1/a/b"):
            with pytest.raises(InvalidName):
                await app.client.send_hook(token, 1)
        with pytest.raises(RunNotFound, match="twice/t-1"):
            await app.client.send_hook("twice/t-1/answer", 1)
        run = await app.client.start(twice.call(), run_id="t-1", hooks=[("answer", 1), ("answer", 2)])

        assert await run.result() == [1, 2]
        with pytest.raises(RunEnded, match="is completed since") as raised:
            await app.client.send_hook("twice/t-1/answer", 3)
        assert (raised.value.workflow, raised.value.run) == ("twice", "t-1")


async def test_an_intent_counts_once_and_another_one_is_for_the_next_wait() -> None:
    """No sender is told `already received`: a repeat does no harm, and a second answer is kept."""
    async with testing.app(twice) as app:
        run = await app.client.start(twice.call(), run_id="t-1")
        for _ in range(3):
            await run.hook("answer", "one", id="first")
        await run.hook("answer", "two", id="second")

        assert await run.result() == ["one", "two"]


async def test_answers_that_race_are_each_taken_once() -> None:
    """Two senders at once: both are told that theirs is durable, and both are."""
    async with testing.app(twice) as app:
        run = await app.client.start(twice.call(), run_id="t-1")
        await app.until_waiting(run, "answer")
        await asyncio.gather(run.hook("answer", "one"), run.hook("answer", "two"))

        assert sorted(await run.result()) == ["one", "two"]


@pytest.mark.parametrize("when", ["before the start", "with the start", "while a step runs", "while it sleeps"])
async def test_answer_that_comes_before_the_wait_is_kept(when: str) -> None:
    """Which of the two is first never matters: a wake-up cannot be lost."""
    async with testing.app(works_first) as app:
        early = app.client.get(works_first, "w-1")
        if when == "before the start":
            await early.hook("answer", when, before_start=True)
        hooks = [("answer", when)] if when == "with the start" else []
        run = await app.client.start(works_first.call(), run_id="w-1", hooks=hooks)
        if when == "while a step runs":
            await run.hook("answer", when)
        if when == "while it sleeps":
            await app.skip("1m")
            await run.hook("answer", when)

        assert await run.result() == when
        assert [one.command for one in app.calls(work)] == [1]


@workflow
async def naps() -> list[float]:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    for delay in ("500ms", "1h30m", 0.25, 0):
        before = loop.time()
        await sleep(delay)
        times.append(round(loop.time() - before, 6))
    return times


async def test_sleeps_take_as_long_as_they_say() -> None:
    """Parts of a second, several units in one text, and nothing at all; never early."""
    async with testing.app(naps) as app:
        began = app.now()
        run = await app.client.start(naps.call(), run_id="n-1")

        assert await run.result() == [0.5, 5_400, 0.25, 0]
        assert (app.now() - began).total_seconds() == 5_400.75


@workflow
async def sleeps_beside() -> list[str]:
    order: list[str] = []

    async def nap(name: str, delay: str) -> None:
        await sleep(delay)
        order.append(name)

    async def answered() -> None:
        async for number in hook_stream("tick", int):
            order.append(str(number))
            if number == 2:
                return

    await asyncio.gather(nap("long", "20s"), nap("short", "5s"), answered())
    return order


async def test_what_wakes_a_run_completes_no_other_wait() -> None:
    """A sleep that is open stays open when a hook, a step or another sleep is done."""
    async with testing.app(sleeps_beside) as app:
        began = app.now()
        run = await app.client.start(sleeps_beside.call(), run_id="s-1")
        await app.hook(run, "tick", 1, after="1s")
        await app.hook(run, "tick", 2, after="6s")

        assert await run.result() == ["1", "short", "2", "long"]
        assert (app.now() - began).total_seconds() == 20


@workflow
async def below() -> Any:
    return await hook("deeper")


@workflow
async def waits_for_all() -> list[Any]:
    return list(await asyncio.gather(work(1), sleep("1h"), hook("answer"), below()))


async def test_what_a_run_waits_for_is_told() -> None:
    """Step, sleep, hook and child: in events, and as counts of what is open."""
    async with testing.app(waits_for_all, below) as app:
        run = await app.client.start(waits_for_all.call(), run_id="w-1")
        await app.until_waiting(run, "answer")
        await app.until_settled()

        status = await run.status()
        assert (status.steps_open, status.timers_open, status.children_open) == (0, 1, 1)
        kinds = [event.kind for event in await run.events()]
        assert kinds[1:] == ["step.scheduled", "timer.started", "hook.opened", "child.started", "step.completed"]
        await run.hook("answer", "a")
        await app.client.get(below, "waits_for_all-w-1-4").hook("deeper", "d")
        assert await run.result() == [1, None, "a", "d"]
