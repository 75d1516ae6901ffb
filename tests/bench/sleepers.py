"""`python -m tests.bench.sleepers`: 100,000 sleeping runs cost a worker little memory and the machine little CPU.

Puts 1,000 runs to sleep, reads the actor worker's resident memory, goes on to 100,000, reads again, and measures the
CPU of server and workers over 60 idle seconds. Prints both against their bounds; 1 where one is missed.
"""

from __future__ import annotations

import argparse
import sys
import time

from .idle import cpu_percent, put_to_sleep, wait_quiet
from .jetrun_target import JetrunTarget
from .report import Figure, Floor, table
from .server import PAGE_CACHE, version
from .throughput import warm_up

FEW = 1_000
MANY = 100_000
GROWTH_MIB_MAX = 64
CPU_PERCENT_MAX = 2
IDLE_S = 60.0
MIB = 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sleepers", description=__doc__)
    parser.add_argument("--many", type=int, default=MANY, help=f"runs that sleep at the end (default {MANY})")
    parser.add_argument("--idle-s", type=float, default=IDLE_S, help=f"idle seconds (default {IDLE_S:.0f})")
    options = parser.parse_args()
    print(f"nats-server {version()}, durability: {PAGE_CACHE}")
    with JetrunTarget(mode=PAGE_CACHE) as target:
        warm_up(target)
        put_to_sleep(target, FEW)
        wait_quiet(target)
        few = _memory_mib(target)
        print(f"{FEW} runs sleep: {_shown(few, 'MiB')}", flush=True)
        started = time.monotonic()
        put_to_sleep(target, options.many - FEW)
        print(f"{options.many} runs sleep after {time.monotonic() - started:.0f} s more", flush=True)
        wait_quiet(target)
        many = _memory_mib(target)
        print(f"{options.many} runs sleep: {_shown(many, 'MiB')}", flush=True)
        percent = cpu_percent(target.children.all, options.idle_s)
        print(f"{options.many} runs sleep: {_shown(percent, '% of a core')}", flush=True)
    figures = [
        Figure(
            case="7",
            name=f"actor worker, memory at {options.many} above {FEW}",
            unit="MiB",
            values=[many["actors"] - few["actors"]],
            floor=Floor(kind="at most", bound=GROWTH_MIB_MAX),
        ),
        Figure(
            case="7",
            name=f"server and workers, CPU over {options.idle_s:.0f} idle seconds",
            unit="% of a core",
            values=[sum(percent.values())],
            floor=Floor(kind="at most", bound=CPU_PERCENT_MAX),
        ),
    ]
    print(table(figures))
    return 0 if all(figure.is_met for figure in figures) else 1


def _memory_mib(target: JetrunTarget) -> dict[str, float]:
    return {child.role: child.resident_bytes() / MIB for child in target.children.all}


def _shown(by_role: dict[str, float], unit: str) -> str:
    return ", ".join(f"{role} {value:.2f} {unit}" for role, value in by_role.items())


if __name__ == "__main__":
    sys.exit(main())
