"""Cases F and H: what a fresh process has to do before it is of use."""

from __future__ import annotations

import statistics
import time
from functools import partial

import anyio

from . import workload
from .jetrun_target import Client, DevTarget, JetrunTarget
from .report import Figure
from .setting import Setting

STEPS = 2_000
SHORT_RUNS = 40
"""Runs without history. The first ones wake every partition of the fresh worker, the last ones tell what a hook costs there."""

SHORT_MEASURED = 10
POLL_S = 0.05


def case_f(setting: Setting) -> list[Figure]:
    """A hook to a run of 2,000 steps in a worker that has never seen it, less a hook to a run without history."""
    values: list[float] = []
    with JetrunTarget(mode=setting.mode) as target:
        for index in range(setting.rounds):
            long, short = f"long-{index}", [f"short-{index}-{number}" for number in range(SHORT_RUNS)]
            target.run(partial(_prepare, long, short))
            target.replace_actors()
            values.append(target.run(partial(_wake, long, short)) * 1e3 / (STEPS / 1_000))
    return [Figure(case="F", name="replay of 2,000 steps", unit="ms/1,000 steps", values=values)]


def case_h(setting: Setting) -> list[Figure]:
    """From nothing to the first result: server, streams, workers, client, one run of one step."""
    figures: list[Figure] = []
    for name, kind in (("separate processes", JetrunTarget), ("wfctl dev", DevTarget)):
        seconds: list[float] = []
        for _ in range(setting.rounds):
            started = time.perf_counter()
            with kind(mode=setting.mode) as target:
                target.run(_first_result)
                seconds.append(time.perf_counter() - started)
        figures.append(Figure(case="H", name=f"cold start to first result, {name}", unit="s", values=seconds))
    return figures


async def _prepare(long: str, short: list[str], client: Client) -> None:
    handles = [await client.start(workload.echo.call(0), run_id=run) for run in short]
    handles.append(await client.start(workload.echo.call(STEPS), run_id=long))
    for handle in handles:
        while not (await handle.status()).hooks_open:
            await anyio.sleep(POLL_S)


async def _wake(long: str, short: list[str], client: Client) -> float:
    waits_s = [await _hook_to_result(client, run) for run in short]
    return await _hook_to_result(client, long) - statistics.median(waits_s[-SHORT_MEASURED:])


async def _hook_to_result(client: Client, run: str) -> float:
    handle = client.get(workload.echo, run)
    sent = time.perf_counter()
    await handle.hook("word", 1)
    await handle.result()
    return time.perf_counter() - sent


async def _first_result(client: Client) -> None:
    await (await client.start(workload.chain.call(1), run_id="first")).result()
