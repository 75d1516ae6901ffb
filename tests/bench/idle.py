"""Case G: what runs that sleep cost, in memory and in CPU; the sleepers' bounds are measured with the same functions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import anyio

from . import workload
from .children import Child, cpu_by_role
from .jetrun_target import Client, JetrunTarget
from .report import Figure
from .setting import Setting
from .throughput import warm_up

SLEEPING = 2_000
SLEEP_S = 7 * 86_400
IDLE_S = 10.0
IN_FLIGHT = 200
WAVE = 2_000
POLL_S = 0.1

QUIET_PERCENT = 3
QUIET_S_MAX = 60.0
"""After a wave of starts: wait until everything together uses less than this of a core, but not for ever."""


def case_g(setting: Setting) -> list[Figure]:
    """2,000 sleeping runs."""
    kib: list[float] = []
    percent: list[float] = []
    for _ in range(setting.rounds):
        with JetrunTarget(mode=setting.mode) as target:
            warm_up(target)
            wait_quiet(target)
            before = sum(child.resident_bytes() for child in target.children.all)
            put_to_sleep(target, SLEEPING)
            wait_quiet(target)
            after = sum(child.resident_bytes() for child in target.children.all)
            kib.append((after - before) / 1024 / SLEEPING)
            percent.append(sum(cpu_percent(target.children.all, IDLE_S).values()))
    return [
        Figure(case="G", name="memory per sleeping run, server and workers", unit="KiB", values=kib),
        Figure(case="G", name="idle CPU, server and workers", unit="% of a core", values=percent),
    ]


def put_to_sleep(target: JetrunTarget, count: int) -> None:
    """Starts runs that sleep for a week; returns when the server holds all their timers.

    In waves, each asleep before the next: a backlog of starts costs memory of its own, which is not what sleeping costs.
    """

    async def measure(client: Client) -> None:
        asleep = await target.timers()
        for first in range(0, count, WAVE):
            wave = range(first, min(first + WAVE, count))
            indices = iter(wave)
            async with anyio.create_task_group() as group:
                for _ in range(IN_FLIGHT):
                    group.start_soon(_start_each, client, indices)
            asleep += len(wave)
            while await target.timers() < asleep:
                await anyio.sleep(POLL_S)

    target.run(measure)


async def _start_each(client: Client, indices: Iterator[int]) -> None:
    tag = time.time_ns()
    for index in indices:
        await client.start(workload.nap.call(SLEEP_S), run_id=f"sleep-{tag}-{index}")


def wait_quiet(target: JetrunTarget) -> None:
    """Waits until what follows a wave of starts is over: indexes, flushes, garbage."""
    deadline = time.monotonic() + QUIET_S_MAX
    time.sleep(1)
    while sum(cpu_percent(target.children.all, 2.0).values()) > QUIET_PERCENT and time.monotonic() < deadline:
        pass


def cpu_percent(children: Sequence[Child], seconds: float) -> dict[str, float]:
    """Measures the CPU that each role uses, in percent of one core."""
    before, started = cpu_by_role(children), time.monotonic()
    time.sleep(seconds)
    after, elapsed_s = cpu_by_role(children), time.monotonic() - started
    return {role: (after[role] - before[role]) * 100 / elapsed_s for role in before}
