"""The onboarding: in days of some milliseconds, in days of a day, and with a crash at every moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examples.onboarding import onboarding
from jetrun.client import Client, testing
from support.story import kinds


@pytest.mark.slow
async def test_mails_are_sent_with_days_in_between(client: Client) -> None:
    day = timedelta(milliseconds=30)
    run = await client.start(onboarding.call("bob@example.org", day=day), run_id="bob")

    sent = await run.result()
    events = await run.events()
    assert [letter.split(" to ")[0] for letter in sent] == ["welcome", "first steps", "voucher", "how was it"]
    assert kinds(events).count("timer.fired") == 3
    assert events[-1].at_us - events[0].at_us >= 30 * day / timedelta(microseconds=1)


async def test_a_month_passes_at_once_in_a_test() -> None:
    """The clock of the kit skips what nobody waits for."""
    async with testing.app(onboarding) as app:
        begun = app.now()
        run = await app.client.start(onboarding.call("ann@example.org"), run_id="ann")

        assert len(await run.result()) == 3
        assert app.now() - begun >= timedelta(days=30)


def test_onboarding_survives_every_crash() -> None:
    testing.survives_every_crash(onboarding.call("bob@example.org"))
