"""Case G: what runs that sleep cost, in memory and in CPU; the sleepers' bounds are measured with the same functions."""

from __future__ import annotations

import time

import anyio

from . import workload
from .children import Child
from .jetrun_target import Client, JetrunTarget
from .report import Figure
from .setting import Setting
from .throughput import warm_up

SLEEPING = 2_000
SLEEP_S = 7 * 86_400
IDLE_S = 10.0
IN_FLIGHT = 200

QUIET_SHARE = 0.03
QUIET_S_MAX = 60.0
"""After a wave of starts: wait until everything together uses less than this share of a core, but not for ever."""


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
            percent.append(cpu_percent(target.children.all, IDLE_S))
    return [
        Figure(case="G", name="memory per sleeping run, server and workers", unit="KiB", values=kib),
        Figure(case="G", name="idle CPU, server and workers", unit="% of a core", values=percent),
    ]


def put_to_sleep(target: JetrunTarget, count: int) -> None:
    """Starts runs that sleep for a week; returns when the server holds their timers."""

    async def measure(client: Client) -> None:
        tag = time.time_ns()
        before = await target.timers()
        indices = iter(range(count))

        async def lane() -> None:
            for index in indices:
                await client.start(workload.nap.call(SLEEP_S), run_id=f"sleep-{tag}-{index}")

        async with anyio.create_task_group() as group:
            for _ in range(IN_FLIGHT):
                group.start_soon(lane)
        while await target.timers() < before + count:
            await anyio.sleep(0.2)

    target.run(measure)


def wait_quiet(target: JetrunTarget) -> None:
    """Waits until what follows a wave of starts is over: indexes, flushes, garbage."""
    deadline = time.monotonic() + QUIET_S_MAX
    time.sleep(1)
    while cpu_percent(target.children.all, 2.0) > QUIET_SHARE * 100 and time.monotonic() < deadline:
        pass


def cpu_percent(children: list[Child], seconds: float) -> float:
    """Measures the CPU that processes use together, in percent of one core."""
    before, started = sum(child.cpu_s() for child in children), time.monotonic()
    time.sleep(seconds)
    return (sum(child.cpu_s() for child in children) - before) * 100 / (time.monotonic() - started)
