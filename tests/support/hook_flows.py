"""Shapes around hooks: announced by a step, and taken as a stream. As all shapes they have golden logs and never change."""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import HookExpired, StepFailed, define_hook, hook_stream, sleep, step, workflow


class Vote(msgspec.Struct):
    ok: bool
    by: str = ""


vote = define_hook("vote", Vote)
other_vote = define_hook("other-vote", Vote)


@step(max_retries=2, retry_delay="2s")
async def invite(token: str) -> str:
    return token


@workflow
async def invited(patience: str) -> list[str]:
    """Two at once, of which each may expire, or fail to be announced and be asked for once more without."""

    async def ask(which: str) -> str:
        defined = vote if which == "vote" else other_vote
        try:
            return (await defined(timeout=patience, on_created=invite)).by
        except HookExpired:
            return "expired"
        except StepFailed:
            return f"uninvited {(await defined()).by}"

    return list(await asyncio.gather(ask("vote"), ask("other-vote")))


@workflow
async def counted(patience: str) -> list[str]:
    """A stream with a busy body beside another one of the same name."""
    found: list[str] = []

    async def count(name: str) -> None:
        try:
            async for one in hook_stream("vote", Vote, timeout=patience):
                found.append(f"{name} {one.by}")
                await sleep(3)
                if not one.ok:
                    break
        except HookExpired:
            found.append(f"{name} expired")

    await asyncio.gather(count("a"), count("b"))
    return found
