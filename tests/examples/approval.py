"""A human approval with timeout: who does not answer in time is passed over, and the next one up is asked.

Try it:
    wfctl dev -m tests.examples.approval
    wfctl start expense '{"employee": "kay", "cents": 12000, "approvers": ["lin", "max"]}' --run-id e-1
    wfctl hooks list
    wfctl hooks send expense/e-1 decision '{"approved": true, "by": "lin"}'
"""

from __future__ import annotations

import msgspec

from jetrun.actors import HookExpired, hook, step, workflow


class Claim(msgspec.Struct, frozen=True):
    employee: str
    cents: int
    approvers: list[str]


class Decision(msgspec.Struct, frozen=True):
    approved: bool
    by: str


class Settled(msgspec.Struct, frozen=True):
    is_paid: bool
    why: str


@step
async def send_mail(to: str, text: str) -> None:
    """Stands for a mail."""


@step
async def pay(employee: str, cents: int) -> None:
    """Stands for a bank transfer."""


@workflow
async def expense(claim: Claim, patience: str = "3d") -> Settled:
    """Asks one approver after the other until somebody decides; pays what was approved."""
    for approver in claim.approvers:
        await send_mail(approver, f"{claim.employee} claims {claim.cents} cents")
        try:
            decision = await hook("decision", Decision, timeout=patience)
        except HookExpired:
            continue
        if decision.approved:
            await pay(claim.employee, claim.cents)
        return Settled(decision.approved, f"decided by {decision.by}")
    return Settled(is_paid=False, why="nobody answered")
