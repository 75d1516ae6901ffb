"""The shape of a workflow whose steps have limits and fallbacks; as all shapes, it is never changed."""

from __future__ import annotations

import asyncio

from jetrun.actors import step, workflow
from jetrun.actors.commands import RunStep
from jetrun.actors.errors import ErrorInfo


@step
async def double(x: int) -> int:
    return 2 * x


@step(max_retries=9, retry_delay="4s", schedule_to_close="10s", on_failure=-1)
async def hasty(x: int) -> int:
    return x


@step(retry_for="9s", retry_delay="4s", on_failure=double)
async def patient(x: int) -> int:
    return x


@workflow
async def limits(x: int) -> list[int]:
    late = hasty.options(retry_delay="1s", queue="late", on_failure=lambda failed: failed.attempts)
    found = list(await asyncio.gather(hasty(x), late(x), patient(x)))
    try:
        async with asyncio.timeout(1):
            found.append(await hasty(7))
    except TimeoutError:
        found.append(await hasty.options(schedule_to_close="1h")(7))
    return found


def no_luck(command: RunStep) -> ErrorInfo | None:
    """Fails the steps that get a three, but for the fallback."""
    is_in_vain = bytes(command.args) == b"[3]" and command.name != "double"
    return ErrorInfo(type="OSError", message="no luck") if is_in_vain else None
