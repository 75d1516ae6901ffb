"""Hooks under crashes, and from a test's side: tokens, streams, steps that are run when a hook is opened."""

from __future__ import annotations

import pytest

from examples.readings import Reading, meter, reading
from examples.sign_off import Settled, Verdict, ask_for_verdict, finance, lead, purchase
from jetrun.actors import FatalError
from jetrun.client import RunEnded, RunFailed, testing

YES = {"approved": True, "by": "lin"}


def test_hooks_with_announcements_survive_every_crash() -> None:
    """Whichever worker dies at whichever moment: the same decisions, nothing asked for twice."""
    testing.survives_every_crash(purchase.call("a lathe", 450_000), hooks={"lead": YES, "finance": YES})


def test_timeouts_of_announced_hooks_survive_every_crash() -> None:
    testing.survives_every_crash(purchase.call("a lathe", 450_000), hooks={"lead": YES})


def test_streams_survive_every_crash() -> None:
    """No payload is lost or taken twice, those kept while a step runs included."""
    testing.survives_every_crash(meter.call("m-1"), hooks=[(reading, Reading(n, is_last=n == 4)) for n in range(1, 5)])


async def test_failed_announcement_fails_the_run() -> None:
    """Nobody was asked, so nobody can answer."""
    async with testing.app(purchase, steps=[testing.attempts(ask_for_verdict, FatalError("no mail"))]) as app:
        run = await app.client.start(purchase.call("a lamp", 1), run_id="p-1")

        with pytest.raises(RunFailed, match="no mail"):
            await run.result()


async def test_answer_that_overtakes_the_announcement_counts() -> None:
    """The mail is out before its step has ended."""
    async with testing.app(purchase) as app:
        run = await app.client.start(purchase.call("a lathe", 450_000), run_id="p-1")
        await run.hook(finance, Verdict(True, "max"))
        await app.client.send_hook("purchase/p-1/lead", Verdict(True, "lin"), hook=lead)

        assert await run.result() == Settled("ordered", "signed by lin, max")
        with pytest.raises(RunEnded):
            await run.hook(lead, Verdict(True, "late"))


async def test_defined_hooks_are_waited_for_and_sent_in_tests() -> None:
    async with testing.app(purchase) as app:
        run = await app.client.start(purchase.call("a lamp", 1), run_id="p-1")
        await app.until_waiting(run, lead)
        await app.hook(run, lead, Verdict(True, "lin"), after="1d")

        assert (await run.result()).status == "ordered"


async def test_payload_sent_twice_under_one_id_is_taken_once() -> None:
    async with testing.app(meter) as app:
        run = await app.client.start(meter.call("m-1"), run_id="m-1")
        for kwh in (1, 1, 2):
            await run.hook(reading, Reading(kwh), id=f"r-{kwh}")
        await run.hook(reading, Reading(3, is_last=True))

        assert await run.result() == [[1, 2, 3]]
