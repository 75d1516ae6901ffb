"""Completion from outside: an attempt that ends without a result, and who gives it one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetrun.actors import FatalError, InvalidValue, StepFailed, attempt, complete_later, step, workflow
from jetrun.actors.completion import Completion
from jetrun.actors.errors import NotInStep
from jetrun.actors.names import RunKey
from jetrun.client import RunFailed, RunHandle, testing

TOKENS: list[str] = []


@step(max_retries=2, retry_delay="1s", timeout="5s")
async def sign(paper: str) -> int:
    TOKENS.append(attempt().completion_token)
    complete_later()


@step(inline=True)
def sign_inline(paper: str) -> int:
    TOKENS.append(attempt().completion_token)
    complete_later()


@workflow
async def signing(paper: str) -> int:
    return await sign(paper)


@workflow
async def signing_inline(paper: str) -> int:
    return await sign_inline(paper)


@workflow
async def impatient(paper: str) -> str:
    try:
        return str(await sign.options(schedule_to_close="1h")(paper))
    except StepFailed as failed:
        return failed.error.code


@pytest.fixture(autouse=True)
def _no_tokens() -> None:
    TOKENS.clear()


async def token_of(app: testing.AppUnderTest, index: int = 0) -> str:
    """Waits for what the step passes on."""
    while len(TOKENS) <= index:
        await app.until_settled()
        await asyncio.sleep(0.1)
    return TOKENS[index]


async def begun(app: testing.AppUnderTest) -> tuple[RunHandle[int], str]:
    run = await app.client.start(signing.call("p-1"), run_id="r-1")
    return run, await token_of(app)


@pytest.mark.parametrize("flow", [signing, signing_inline])
async def test_step_is_completed_by_its_token(flow: Any) -> None:
    """Nobody runs meanwhile, no timeout of the attempt counts, and workers may come and go."""
    async with testing.app(signing, signing_inline) as app:
        run = await app.client.start(flow.call("p-1"), run_id="r-1")
        token = await token_of(app)
        await app.skip("30d")
        assert not app.twin.work_in_hand()
        app.crash_actor_worker()
        app.crash_step_worker()
        await app.client.complete_step(token, 7)

        assert await run.result() == 7
        assert len(TOKENS) == 1


async def test_failure_is_retried_as_every_failure() -> None:
    """With a new token; the first one's result counts still."""
    async with testing.app(signing) as app:
        run, first = await begun(app)
        await app.client.fail_step(first, "no ink")
        second = await token_of(app, 1)
        assert first != second

        await app.client.complete_step(first, 3)
        assert await run.result() == 3


async def test_fatal_failure_fails_the_step() -> None:
    async with testing.app(signing) as app:
        run, token = await begun(app)
        await app.client.fail_step(token, FatalError("torn"))

        with pytest.raises(RunFailed, match=r"failed after 1 attempt\(s\): .*FatalError: torn"):
            await run.result()


async def test_first_result_counts() -> None:
    async with testing.app(signing) as app:
        run, token = await begun(app)
        for result in (1, 2):
            await app.client.complete_step(token, result)
        assert await run.result() == 1

        await app.client.complete_step(token, 3)
        await app.client.fail_step(token, "late")
        assert await run.result() == 1


async def test_result_of_another_type_fails_the_step() -> None:
    async with testing.app(signing) as app:
        run, token = await begun(app)
        await app.client.complete_step(token, "seven")

        with pytest.raises(RunFailed, match="InvalidValue"):
            await run.result()


async def test_token_is_a_secret() -> None:
    """One that is made up becomes a dead letter."""
    async with testing.app(signing) as app:
        run, token = await begun(app)
        await app.client.complete_step(token[:-32] + "0" * 32, 7)
        await app.until_settled()
        letters = [letter async for letter in app.client.dead()]
        assert [letter.code for letter in letters] == ["token"]

        await app.client.complete_step(token, 8)
        assert await run.result() == 8


def test_nobody_waits_for_ever() -> None:
    assert testing.run(impatient.call("p-1")) == "schedule_to_close"
    assert len(TOKENS) == 1


def test_waiting_for_a_token_survives_every_crash() -> None:
    testing.survives_every_crash(impatient.call("p-1"))


@pytest.mark.parametrize(
    "text", ["", "a/b/1/1", "a/b/1/1/short", "a b/c/1/1/" + "0" * 32, "a/b/x/1/" + "0" * 32, "a/b/1/²/" + "0" * 32]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="completion token"):
        Completion.parse(text)


def test_token_is_read_back() -> None:
    assert Completion.parse("order/o-1/3/2/" + "a" * 32) == Completion(RunKey("order", "o-1"), 3, 2, "a" * 32)


def test_outside_a_step_there_is_nothing_to_complete() -> None:
    with pytest.raises(NotInStep):
        complete_later()
