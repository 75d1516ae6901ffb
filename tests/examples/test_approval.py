"""The approval: answered, escalated, unanswered, answered in nonsense."""

from __future__ import annotations

import pytest

from examples.approval import Claim, Settled, expense
from jetrun.client import Client
from support.story import kinds, scheduled, wait_event

CLAIM = Claim("kay", 12_000, ["lin", "max"])


async def test_approved_claim_is_paid(client: Client) -> None:
    run = await client.start(expense.call(CLAIM), run_id="e-1", hooks=[("decision", {"approved": True, "by": "lin"})])

    assert await run.result() == Settled(is_paid=True, why="decided by lin")
    assert scheduled(await run.events()) == ["send_mail", "pay"]


@pytest.mark.slow
async def test_who_does_not_answer_in_time_is_passed_over(client: Client) -> None:
    """The timeout is a durable timer; the next approver is asked, and may say no."""
    run = await client.start(expense.call(CLAIM, patience="1s"), run_id="e-2")
    await wait_event(run, "timer.fired")
    await run.hook("decision", {"approved": False, "by": "max"})

    assert await run.result() == Settled(is_paid=False, why="decided by max")
    assert scheduled(await run.events()) == ["send_mail", "send_mail"]


async def test_nobody_answers(client: Client) -> None:
    run = await client.start(expense.call(CLAIM, patience="300ms"), run_id="e-3")

    assert await run.result() == Settled(is_paid=False, why="nobody answered")
    assert kinds(await run.events()).count("timer.fired") == 2


async def test_nonsense_is_refused_and_the_run_waits_on(client: Client) -> None:
    """A payload that does not fit the hook's type reaches the log, not the workflow."""
    run = await client.start(expense.call(CLAIM), run_id="e-4")
    await wait_event(run, "hook.opened", "decision")
    await run.hook("decision", {"approved": "perhaps"})
    refused = await wait_event(run, "message.refused")
    await run.hook("decision", {"approved": True, "by": "lin"})

    assert (await run.result()).is_paid
    assert "approved" in refused.text
