"""Load: many runs kept in flight, the same driver for jetrun and for the bare pipeline."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec

from .children import Child, cpu_by_role
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
    cpu_s: dict[str, float]
    """CPU seconds by role: server, actors, steps, client."""

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
        """Of the run in the middle. Has a meaning only where runs have the machine for themselves, one in flight."""
        return self.p50_ms / self.steps

    def cpu_ms_per_run(self, role: str) -> float:
        return self.cpu_s[role] * 1e3 / self.runs


async def drive(
    start_and_wait: StartAndWait, children: Sequence[Child], *, runs: int, in_flight: int, steps: int
) -> Load:
    """Starts all runs, never more than `in_flight` at once, and waits for every result.

    Args:
        children: The processes that work meanwhile; this process counts as the client.
    """
    tag = time.time_ns()
    indices = iter(range(runs))
    latencies_s: list[float] = []

    async def lane() -> None:
        for index in indices:
            started = time.perf_counter()
            await start_and_wait(f"b{tag}-{index}", steps)
            latencies_s.append(time.perf_counter() - started)

    cpu_before, client_before, before = cpu_by_role(children), time.process_time(), time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(lane)
    seconds, client_after, cpu_after = time.perf_counter() - before, time.process_time(), cpu_by_role(children)
    return Load(
        runs=runs,
        steps=steps,
        seconds=seconds,
        latencies_s=sorted(latencies_s),
        cpu_s={
            **{role: cpu_after[role] - cpu_before[role] for role in cpu_before},
            "client": client_after - client_before,
        },
    )
