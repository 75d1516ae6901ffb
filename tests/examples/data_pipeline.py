"""Lost workers: what becomes of work whose worker was killed, by the choice of its workflow.

`nightly` goes on: what is recorded stays, the step that was under way runs again on another worker. `payout` must not: to
pay twice is worse than not to know, so it asks somebody to look. `digest` has no record per step and begins again.

Try it, and kill the step worker (`kill -9`) while a step works; start another one, and wait 30 s, which is how long a worker
may be silent:
    wfctl dev -m tests.examples.data_pipeline
    wfctl start nightly '"sales"' 20 --run-id n-1
    wfctl start payout '"ann"' 20 --run-id p-1
    wfctl start digest '"clicks"' 20 --run-id d-1
    wfctl runs log nightly/n-1
"""

from __future__ import annotations

import asyncio

from jetrun.actors import WorkerLost, step, workflow


@step
async def extract(source: str) -> list[int]:
    print(f"extract {source}", flush=True)
    return [len(word) for word in (source, "of", "today")]


@step
async def transform(rows: list[int], seconds: float) -> list[int]:
    """Long enough to lose a worker in it. It may run twice: it reads and writes nothing but its values."""
    print(f"transform {rows}", flush=True)
    await asyncio.sleep(seconds)
    return sorted(rows)


@step
async def wire_money(name: str, seconds: float) -> str:
    """A bank that cannot tell a repeated payment from a second one."""
    print(f"wiring to {name}", flush=True)
    await asyncio.sleep(seconds)
    return f"paid {name}"


@workflow(max_recovery_attempts=5)
async def nightly(source: str, seconds: float) -> list[int]:
    """Loses no more than the step that was under way."""
    return await transform(await extract(source), seconds)


@workflow(recover_on_worker_loss=False)
async def payout(name: str, seconds: float) -> str:
    """Holds for all of its steps that do not say otherwise."""
    try:
        return await wire_money(name, seconds)
    except WorkerLost as lost:
        return f"look whether {name} was paid: {lost}"


@workflow(durable=False)
async def digest(source: str, seconds: float) -> int:
    """Begins again with `extract`."""
    return len(await transform(await extract(source), seconds))
