"""A purchase that one level after the other signs off: each is sent the token of its hook, and has so long to answer.

Try it:
    wfctl dev -m tests.examples.sign_off
    wfctl start purchase '"a lathe"' 450000 --run-id p-1
    wfctl hooks list purchase/p-1
    wfctl hooks info purchase/p-1 lead
    wfctl hooks send purchase/p-1 lead '{"approved": true, "by": "lin"}'
    wfctl hooks send purchase/p-1 finance '{"approved": false, "by": "max", "note": "next year"}'

Without the JSON, `wfctl hooks send purchase/p-1 lead` asks for each field.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from jetrun.actors import HookExpired, HookToken, define_hook, step, workflow


class Verdict(msgspec.Struct, frozen=True):
    approved: bool
    by: str
    note: str = ""


class Settled(msgspec.Struct, frozen=True):
    status: Literal["ordered", "rejected", "overdue"]
    why: str = ""


lead = define_hook("lead", Verdict)
finance = define_hook("finance", Verdict)
board = define_hook("board", Verdict)

LEVELS = ((0, lead), (100_000, finance), (1_000_000, board))
"""From how many cents on whose signature is needed."""


@step
async def ask_for_verdict(token: str) -> str:
    """Stands for a mail with a link that holds the token; whoever follows it sends the hook."""
    run, level = HookToken.parse(token)
    return f"mail to {level} about {run}: /answer/{token}"


@step
async def place_order(article: str, cents: int) -> None:
    """Stands for a letter to the supplier."""


@workflow
async def purchase(article: str, cents: int, patience: str = "2d") -> Settled:
    """Orders what all levels have approved; the first that says no, or nothing in time, ends it."""
    signed: list[str] = []
    for least, level in LEVELS:
        if cents < least:
            break
        try:
            verdict = await level(timeout=patience, on_created=ask_for_verdict)
        except HookExpired:
            return Settled("overdue", f"{level.name} did not answer in {patience}")
        if not verdict.approved:
            return Settled("rejected", f"{verdict.by}: {verdict.note}")
        signed.append(verdict.by)
    await place_order(article, cents)
    return Settled("ordered", f"signed by {', '.join(signed)}")
