"""Waiting inside of a step: a pace between requests, a job elsewhere that is polled, a server that asks for patience.

`asyncio.sleep` in a step is no durable sleep: it holds a place of its worker, and begins anew with a lost worker. That is right
for seconds. What waits longer leaves the step: `RetryableError(retry_after=...)`, or `sleep` in the workflow, hold nothing.

Try it:
    wfctl dev -m tests.examples.pacing
    wfctl start newsletter '["ann", "bob", "eve"]' --run-id n-1 --wait
    wfctl runs log newsletter/n-1
"""

from __future__ import annotations

import asyncio

import msgspec

from jetrun.actors import RetryableError, attempt, step, workflow


class Sent(msgspec.Struct, frozen=True):
    document: str
    looks: int
    """How often the renderer was asked."""
    letters: int


@step(timeout="30s")
async def post_letters(names: list[str], per_second: int) -> int:
    """Keeps a pace: the service takes so many a second."""
    for _ in names:
        await asyncio.sleep(1 / per_second)  # stands for the request, too
    return len(names)


@step(timeout="2m")
async def render(title: str) -> tuple[str, int]:
    """Polls a job, ever more slowly. Past the timeout the step has failed, and is tried again as its policy says."""
    looks, pause_s = 1, 0.05
    while not is_rendered(looks):
        await asyncio.sleep(pause_s)
        looks, pause_s = looks + 1, min(2 * pause_s, 5.0)
    return f"{title}.pdf", looks


@step(max_retries=10)
async def upload(document: str) -> str:
    """A limit of requests: minutes of patience are not waited for here, but as a durable timer."""
    if attempt().number == 1:
        raise RetryableError("429 too many requests", retry_after="200ms")
    return f"https://docs.example/{document}"


@workflow
async def newsletter(names: list[str], per_second: int = 20) -> Sent:
    document, looks = await render("news")
    return Sent(await upload(document), looks, await post_letters(names, per_second))


def is_rendered(looks: int) -> bool:
    """Stands for a question to the renderer, which is done at the third."""
    return looks >= 3
