"""Cases D and E: how long it takes until a run that waits goes on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio

from . import workload
from .jetrun_target import Client, JetrunTarget
from .report import Figure, percentile
from .setting import Setting
from .throughput import warm_up

HOOKS = 200
TIMERS = 1_000
TIMER_S = 2.0
OPEN_POLL_S = 0.05


def case_d(setting: Setting) -> list[Figure]:
    """A hook to a waiting run and its result, 200 times one after the other."""

    async def measure(client: Client) -> list[float]:
        tag = time.time_ns()
        handles = [await client.start(workload.echo.call(0), run_id=f"echo-{tag}-{index}") for index in range(HOOKS)]
        for handle in handles:
            while not (await handle.status()).hooks_open:
                await anyio.sleep(OPEN_POLL_S)
        waits_ms: list[float] = []
        for index, handle in enumerate(handles):
            sent = time.perf_counter()
            await handle.hook("word", index)
            answer = await handle.result()
            waits_ms.append((time.perf_counter() - sent) * 1e3)
            assert answer == index, f"run {index} answered {answer}"
        return waits_ms

    return _percentiles("D", "hook to result", setting, measure)


def case_e(setting: Setting) -> list[Figure]:
    """1,000 runs that sleep for 2 s: how late their results are here."""

    async def measure(client: Client) -> list[float]:
        tag = time.time_ns()
        late_ms: list[float] = []

        async def nap(index: int) -> None:
            handle = await client.start(workload.nap.call(TIMER_S), run_id=f"nap-{tag}-{index}")
            due_s = await handle.result()
            late_ms.append((time.time() - due_s) * 1e3)

        async with anyio.create_task_group() as group:
            for index in range(TIMERS):
                group.start_soon(nap, index)
        assert min(late_ms) >= 0, f"a timer fired {-min(late_ms):.1f} ms early"
        return late_ms

    return _percentiles("E", "lateness of 1,000 timers", setting, measure)


def _percentiles(
    case: str, name: str, setting: Setting, measure: Callable[[Client], Awaitable[list[float]]]
) -> list[Figure]:
    with JetrunTarget(mode=setting.mode) as target:
        warm_up(target)
        rounds = [target.run(measure) for _ in range(setting.rounds)]
    return [
        Figure(
            case=case, name=f"{name} {word}", unit="ms", values=[percentile(values_ms, share) for values_ms in rounds]
        )
        for word, share in (("p50", 0.5), ("p99", 0.99))
    ]
