"""`python -m tests.bench.testing_kit`: what a test with the testing kit costs.

Each round makes an app, runs a workflow to its end, and closes it: one that sleeps for 30 days, one that sleeps often, one
that waits for steps and a hook, and the crash sweep of that. Needs no server. Prints the figures; 1 where a 30-day workflow takes longer than its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import time
from collections.abc import Callable

from jetrun.actors import hook, sleep, step, workflow
from jetrun.client import testing

from .report import Figure, Floor, table

MONTH_MS_MAX = 100
APPROVED = {"approval": "yes"}


@step
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow
async def month(name: str) -> str:
    greeting = await greet(name)
    await sleep("30d")
    return greeting


@workflow
async def hourly(name: str) -> str:
    for _ in range(30 * 24):
        await sleep("1h")
    return name


@workflow
async def approved(name: str) -> str:
    first = await greet(name)
    parts = await asyncio.gather(greet(first), greet(name))
    answer = await hook("approval", str, timeout="24h")
    return await greet(f"{parts}, {answer}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.testing_kit", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each case (default 15)")
    rounds: int = parser.parse_args().rounds
    logging.disable()  # crashes are logged
    cases: list[tuple[str, Callable[[], object], float | None]] = [
        ("a workflow of one step that sleeps for 30 days", lambda: testing.run(month.call("ann"), month), MONTH_MS_MAX),
        ("a workflow that sleeps 720 times for an hour", lambda: testing.run(hourly.call("ann"), hourly), None),
        ("four steps and a hook", lambda: testing.run(approved.call("ann"), approved, hooks=APPROVED), None),
        (
            "four steps and a hook, crashed at every moment",
            lambda: testing.survives_every_crash(approved.call("ann"), approved, hooks=APPROVED),
            None,
        ),
    ]
    figures = [
        Figure(
            case="T",
            name=name,
            unit="ms",
            values=[_took_ms(run) for _ in range(rounds)],
            floor=None if bound is None else Floor(kind="at most", bound=bound),
        )
        for name, run, bound in cases
    ]
    print(table(figures))
    return 0 if all(figure.is_met is not False for figure in figures) else 1


def _took_ms(run: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
