"""One run from start to end: for tests without async, and what the crash sweep repeats."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from ..actors.durations import Duration
from ..actors.errors import RunEnded
from ..actors.hook import TypedHook
from ..actors.workflow import Call
from .definitions import Definition, workflow_of
from .handle import RunHandle
from .testing_app import LIMIT, START, AppUnderTest, app
from .testing_stage import Unstubbed
from .testing_stubs import Stubs

R = TypeVar("R")

RUN_ID: Final = "run-1"

AnyCall: TypeAlias = Call[Any]
"""A call of any workflow, for tests that are given several."""

Hooks: TypeAlias = Mapping[str, object] | Sequence[tuple[str | TypedHook[Any], object]]
"""Names (or in a sequence, defined hooks) and payloads, in the order in which they are sent: each when the run waits for it."""


def run(
    call: Call[R],
    *definitions: Definition,
    steps: Stubs = (),
    hooks: Hooks = (),
    unstubbed: Unstubbed = "run",
    start: datetime = START,
    limit: Duration = LIMIT,
) -> R:
    """Runs a workflow to its end in virtual time and returns its result: `testing.run(order.call("o-1"), steps=...)`.

    For tests that are not async; it makes an event loop of its own. The run's id is `run-1`.

    Args:
        definitions: As of `app`; without them the workflow is looked for among the loaded modules.
        hooks: Payloads, each sent as soon as the run waits for it.

    Raises:
        RunFailed, RunCancelled, RunTerminated: It ended so; see `RunHandle.result`.
        Stuck: It waits for what does not come, for example for a hook that is not among `hooks`.
        RunParked: It cannot decide.
        RegistrationError, StubMisfit: As `app` says.
    """
    under_test = app(*(definitions or (workflow_of(call),)), steps=steps, unstubbed=unstubbed, start=start, limit=limit)
    return on_own_loop(_run(under_test, call, hooks))


async def begin(under_test: AppUnderTest, call: Call[R], hooks: Hooks) -> RunHandle[R]:
    """Starts the run and has its hooks sent when it waits for them."""
    handle = await under_test.client.start(call, run_id=RUN_ID)
    if hooks:
        under_test.spawn(_send_hooks(under_test, handle, hooks))
    return handle


def on_own_loop(main: Coroutine[Any, Any, R]) -> R:
    """Runs a coroutine on a loop whose time can be skipped, whatever loop the program prefers."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


async def _run(under_test: AppUnderTest, call: Call[R], hooks: Hooks) -> R:
    async with under_test:
        return await (await begin(under_test, call, hooks)).result()


async def _send_hooks(under_test: AppUnderTest, handle: RunHandle[Any], hooks: Hooks) -> None:
    waited: dict[str, int] = {}
    with suppress(RunEnded):  # it went another way, or did not ask for all of them
        for name, payload in hooks.items() if isinstance(hooks, Mapping) else hooks:
            key = name.name if isinstance(name, TypedHook) else name
            waited[key] = await under_test.until_waiting(handle, key, beyond=waited.get(key, 0))
            await under_test.hook(handle, name, payload)
