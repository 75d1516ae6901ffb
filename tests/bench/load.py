"""Load: many runs kept in flight, the same driver for jetrun and for the bare pipeline."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from .report import percentile

StartAndWait = Callable[[str, int], Awaitable[None]]
"""Starts the run of that id with that many steps and returns when its result is here."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a load came to."""

    runs: int
    steps: int
    seconds: float
    latencies_s: list[float]
    """From start to result, one per run, ascending."""
    client_cpu_s: float
    cpu_s: dict[str, float] = {}
    """CPU seconds by role: server, actors, steps."""

    def with_cpu(self, cpu_s: dict[str, float]) -> Load:
        """Adds what the processes under load have used."""
        return msgspec.structs.replace(self, cpu_s=cpu_s)

    @property
    def runs_per_s(self) -> float:
        return self.runs / self.seconds

    @property
    def p50_ms(self) -> float:
        return percentile(self.latencies_s, 0.5) * 1e3

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies_s, 0.99) * 1e3

    @property
    def ms_per_step(self) -> float:
        """Of sequential steps: only a load with one run in flight has a meaning here."""
        return self.seconds * 1e3 / (self.runs * self.steps)


async def drive(start_and_wait: StartAndWait, *, runs: int, in_flight: int, steps: int) -> Load:
    """Starts all runs, never more than `in_flight` at once, and waits for every result."""
    tag = time.time_ns()
    indices = iter(range(runs))
    latencies_s: list[float] = []

    async def lane() -> None:
        for index in indices:
            started = time.perf_counter()
            await start_and_wait(f"b{tag}-{index}", steps)
            latencies_s.append(time.perf_counter() - started)

    cpu_before, before = time.process_time(), time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(lane)
    seconds = time.perf_counter() - before
    return Load(
        runs=runs,
        steps=steps,
        seconds=seconds,
        latencies_s=sorted(latencies_s),
        client_cpu_s=time.process_time() - cpu_before,
    )
