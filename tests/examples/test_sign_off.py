"""Signing off: by all levels, refused half-way, overdue, answered with no more than a token."""

from __future__ import annotations

import pytest

from examples.sign_off import Settled, Verdict, board, finance, lead, purchase
from jetrun.client import Client, InvalidValue
from support.story import kinds, scheduled, wait_event

YES = {"approved": True, "by": "lin"}


async def test_all_levels_sign_and_the_order_goes_out(client: Client) -> None:
    """Each level is asked when the one before has signed; answers that come too soon are kept."""
    run = await client.start(purchase.call("a lathe", 4_500_000), run_id="p-1", hooks=[(board, Verdict(True, "cem"))])
    await run.hook(lead, Verdict(True, "lin"))
    await run.hook(finance, Verdict(True, "max"))

    assert await run.result() == Settled("ordered", "signed by lin, max, cem")
    assert scheduled(await run.events()) == [*["ask_for_verdict"] * 3, "place_order"]


async def test_the_token_that_was_sent_is_all_that_an_answer_needs(client: Client) -> None:
    """The step's result stands for the mail that somebody gets."""
    run = await client.start(purchase.call("a lamp", 9_900), run_id="p-2")
    mail = await wait_event(run, "step.completed")
    token = str(mail.data["result"]).partition("/answer/")[2]
    (waiting,) = await client.hooks("purchase/p-2")

    assert (waiting.token, waiting.type) == (token, "Verdict")
    assert waiting.expires_at_us - waiting.since_us == pytest.approx(2 * 86_400 * 1e6, abs=1e6)
    with pytest.raises(InvalidValue, match="lacks field 'by'"):
        await client.send_hook(token, {"approved": True}, validate=True)
    await client.send_hook(token, YES)
    assert await run.result() == Settled("ordered", "signed by lin")


async def test_the_first_no_ends_it(client: Client) -> None:
    run = await client.start(purchase.call("a lathe", 450_000), run_id="p-3", hooks=[(lead, Verdict(True, "lin"))])
    await run.hook(finance, Verdict(False, "max", "next year"))

    assert await run.result() == Settled("rejected", "max: next year")
    assert "place_order" not in scheduled(await run.events())


async def test_who_does_not_answer_in_time_ends_it_too(client: Client) -> None:
    run = await client.start(purchase.call("a lamp", 9_900, patience="500ms"), run_id="p-4")

    assert await run.result() == Settled("overdue", "lead did not answer in 500ms")
    assert kinds(await run.events()).count("timer.fired") == 1


async def test_nonsense_is_refused_and_the_level_is_waited_for(client: Client) -> None:
    """A sender without the type can send anything; the run takes what fits."""
    run = await client.start(purchase.call("a lamp", 9_900), run_id="p-5")
    await wait_event(run, "hook.opened", "lead")
    await run.hook("lead", {"approved": "perhaps"})
    await wait_event(run, "message.refused")
    await run.hook("lead", YES)

    assert (await run.result()).status == "ordered"
