"""Cases A, B and C: how much goes through. A and B stand beside the bare pipeline, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from . import workload
from .jetrun_target import Client, JetrunTarget
from .load import Load
from .pipeline.target import PipelineTarget
from .report import Figure, Floor
from .setting import Setting

RUNS = 2_000
IN_FLIGHT = 200
STEPS = 3
STEPS_SEQUENTIAL = 200
WIDTH = 500
ROUNDS_TIMES = 2
"""A and B have floors, and a pair of loads takes a second or two: the median of so many more rounds is steadier."""
ROLES = ("server", "actors", "steps", "client")


def case_a(setting: Setting) -> list[Figure]:
    """2,000 runs of 3 no-op remote steps, 200 in flight."""
    loads, bare = _beside(setting, runs=RUNS, in_flight=IN_FLIGHT, steps=STEPS)
    floor = Floor(kind="at least", bound=0.5)
    return [
        _pair("A", "throughput", "runs/s", loads, bare, lambda load: load.runs_per_s, floor),
        _pair("A", "start to result p50", "ms", loads, bare, lambda load: load.p50_ms),
        _pair("A", "start to result p99", "ms", loads, bare, lambda load: load.p99_ms),
        *(_pair("A", f"CPU of {role}", "ms/run", loads, bare, _cpu_of(role)) for role in ROLES),
    ]


def case_b(setting: Setting) -> list[Figure]:
    """One run of 200 sequential steps."""
    loads, bare = _beside(setting, runs=1, in_flight=1, steps=STEPS_SEQUENTIAL)
    return [
        _pair(
            "B",
            "sequential step",
            "ms/step",
            loads,
            bare,
            lambda load: load.ms_per_step,
            Floor(kind="at most", bound=2),
        )
    ]


def case_c(setting: Setting) -> list[Figure]:
    """One run that fans out to 500 steps and waits for all."""
    with JetrunTarget(mode=setting.mode) as target:
        warm_up(target)

        async def measure(client: Client) -> float:
            started = time.perf_counter()
            handle = await client.start(workload.fan_out.call(WIDTH), run_id=f"fan-{time.time_ns()}")
            width = await handle.result()
            seconds = time.perf_counter() - started
            assert width == WIDTH, f"{width} results of {WIDTH} steps"
            return seconds

        return [
            Figure(
                case="C", name="500-way fan-out", unit="s", values=[target.run(measure) for _ in range(setting.rounds)]
            )
        ]


def warm_up(target: JetrunTarget | PipelineTarget) -> None:
    """Lets every process run its code once before anything is measured."""
    target.load(runs=300, in_flight=50, steps=STEPS)


def _beside(setting: Setting, *, runs: int, in_flight: int, steps: int) -> tuple[list[Load], list[Load]]:
    loads: dict[str, list[Load]] = {"jetrun": [], "baseline": []}
    # Both stay up all the time, one of them idle (well below one percent of a core): the loads of a round follow each
    # other within seconds, so what else the machine does meanwhile weighs on both.
    with JetrunTarget(mode=setting.mode) as jetrun, PipelineTarget(mode=setting.mode) as bare:
        targets: dict[str, JetrunTarget | PipelineTarget] = {"jetrun": jetrun, "baseline": bare}
        for target in targets.values():
            warm_up(target)
        for side in setting.sides(times=ROUNDS_TIMES):
            loads[side].append(targets[side].load(runs=runs, in_flight=in_flight, steps=steps))
    return loads["jetrun"], loads["baseline"]


def _pair(
    case: str,
    name: str,
    unit: str,
    loads: Sequence[Load],
    bare: Sequence[Load],
    value: Callable[[Load], float],
    floor: Floor | None = None,
) -> Figure:
    return Figure(
        case=case, name=name, unit=unit, values=[*map(value, loads)], baseline=[*map(value, bare)], floor=floor
    )


def _cpu_of(role: str) -> Callable[[Load], float]:
    return lambda load: load.cpu_ms_per_run(role)
