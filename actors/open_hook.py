"""What a run does to wait for a hook: one payload, from the command to the value; a piece of `execution`.

The order is fixed: the hook is opened, its timer started, `on_created` asked for. What comes while that step runs is held
for the code that waits, and given back when that code does not come to use it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from .commands import Close, OpenHook
from .errors import HookExpired
from .execution import Execution
from .hook_schema import ANYTHING
from .hook_token import HookToken
from .inbox import Waiter
from .loop import LoopTimer
from .step import Step


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What workflow code waits for."""

    name: str
    type: Any
    type_name: str
    schema: bytes
    timeout_us: int
    """0 for none."""
    on_created: Step[[str], Any] | None


async def wait_hook(execution: Execution, wanted: Wanted) -> Any:
    """Opens a hook and waits for a payload that fits."""
    execution.check_room()
    n, inbox, loop = execution.last_command + 1, execution.inbox, execution.loop
    future = loop.create_future()
    recorded = execution.decide(
        OpenHook(
            n=n,
            name=wanted.name,
            type=wanted.type_name,
            due_at_us=loop.now_us + wanted.timeout_us if wanted.timeout_us else 0,
            # A hook in a loop, or a stream, publishes once.
            schema=None if inbox.schemas.get(wanted.name, ANYTHING) == wanted.schema else msgspec.Raw(wanted.schema),
        )
    )
    if recorded is None:
        return await future
    if recorded.schema is not None:
        # As the log has it, in the code's own copy where they are equal: one in memory for all runs.
        found = bytes(recorded.schema)
        inbox.schemas[wanted.name] = wanted.schema if found == wanted.schema else found
    waiter = Waiter(name=wanted.name, type=wanted.type, type_name=wanted.type_name, future=future)
    inbox.open(n, waiter)
    timer = _start_timer(execution, wanted, future) if wanted.timeout_us and not future.done() else None
    is_used = False
    try:
        if wanted.on_created is not None:
            await _announce(execution, wanted.on_created, str(HookToken(execution.key, wanted.name)), future)
        value = await future
        is_used = True
        return value
    finally:
        if timer is not None:
            timer.cancel()
        if inbox.close(n):
            execution.decide(Close(n=execution.last_command + 1, target=n))
        elif not is_used and not loop.is_stopped:
            inbox.give_back(waiter)


def _start_timer(execution: Execution, wanted: Wanted, future: asyncio.Future[Any]) -> LoopTimer:
    def expire() -> None:
        if not future.done():
            future.set_exception(HookExpired(f"hook {wanted.name!r}: no payload in time"))

    return execution.start_timer("hook", execution.loop.now_us + wanted.timeout_us, expire)


async def _announce(execution: Execution, step: Step[[str], Any], token: str, future: asyncio.Future[Any]) -> None:
    """Runs `on_created` to its end, or to the hook's timeout; raises what the step failed with."""
    task = execution.loop.create_task(execution.run_step(step, (token,), {}))

    def on_settled(settled: asyncio.Future[Any]) -> None:
        if settled.cancelled() or settled.exception() is not None:
            task.cancel()

    future.add_done_callback(on_settled)
    try:
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
    finally:
        future.remove_done_callback(on_settled)
        task.cancel()
