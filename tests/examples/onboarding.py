"""A run of a month: mails to a new member with days in between, in which no process waits and every process may restart.

Try it, with days of ten seconds:
    wfctl dev -m tests.examples.onboarding
    wfctl start onboarding '"ann@example.org"' --kwargs '{"day": "PT10S"}' --run-id ann
    wfctl runs show onboarding/ann
    wfctl tail onboarding/ann
"""

from __future__ import annotations

from datetime import timedelta

from jetrun.actors import info, sleep, step, workflow


@step(max_retries=20, retry_delay="exponential")
async def mail_member(member: str, letter: str) -> str:
    """Stands for a mail server, which may be down for a while."""
    return f"{letter} to {member}"


@step
async def has_ordered(member: str) -> bool:
    """Stands for a query."""
    return member.startswith("ann")


@workflow(max_duration="60d")
async def onboarding(member: str, day: timedelta = timedelta(days=1)) -> list[str]:
    """What happened meanwhile is asked when it is due, not when the run began."""
    sent = [await mail_member(member, "welcome")]
    await sleep(day)
    sent.append(await mail_member(member, "first steps"))
    await sleep(6 * day)
    if not await has_ordered(member):
        sent.append(await mail_member(member, "voucher"))
    await sleep(info().started_at + 30 * day)  # a point in time: what the mails took does not add up
    sent.append(await mail_member(member, "how was it"))
    return sent
