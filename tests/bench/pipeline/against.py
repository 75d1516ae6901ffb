"""Against: the pipeline beside another program that prints the same kind of lines, in alternating rounds.

The other one is a folder with a `run.py` that takes the server's extra configuration as its argument, starts
everything itself and prints "5000 runs x3 steps K=200: 4559 runs/s … ms/step 14.368" for each load of `SCHEDULE`.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..children import ChildFailed
from ..load import Load
from ..report import Figure, Floor
from ..server import SYNC_ALWAYS
from .target import PipelineTarget


class Shape(NamedTuple):
    """A load."""

    runs: int
    in_flight: int
    steps: int


WARM_UP = Shape(500, 50, 3)
FULL = Shape(5000, 200, 3)
SCHEDULE = (WARM_UP, FULL, FULL, Shape(1, 1, 200), Shape(3, 1, 500))
"""What `run.py` puts on itself, in this order; the pipeline gets the same."""

LINE = re.compile(
    r"(\d+) runs x(\d+) steps K=(\d+): (\d+) runs/s .*p50 ([\d.]+) p99.*\n +cpu s server/actor/steps \[(.*)\]"
)
SHARE_MIN = 0.9
SETTLE_S = 0.5
"""Between two loads: the other side starts a client process meanwhile, and the server finishes what the last load left."""

RUN_S_MAX = 600


class Measured(NamedTuple):
    """One load on one side."""

    shape: Shape
    runs_per_s: float
    p50_ms: float
    cpu_s: float
    """Of server, actor worker and step worker."""


class Outcome(NamedTuple):
    """One round of one side."""

    runs_per_s: float
    """Case A: the better of the full loads."""
    cpu_ms_per_run: float
    ms_per_step: float
    """Case B: the better of the sequential loads."""


def measure_pipeline(mode: str) -> Outcome:
    """Starts the pipeline anew and puts the schedule on it."""
    loads: list[Load] = []
    with PipelineTarget(mode=mode) as target:
        for shape in SCHEDULE:
            time.sleep(SETTLE_S)
            loads.append(target.load(runs=shape.runs, in_flight=shape.in_flight, steps=shape.steps))
    return _outcome(
        [
            Measured(
                shape, load.runs_per_s, load.p50_ms, load.cpu_s["server"] + load.cpu_s["actors"] + load.cpu_s["steps"]
            )
            for shape, load in zip(SCHEDULE, loads, strict=True)
        ]
    )


def measure_other(folder: Path, mode: str) -> Outcome:
    """Runs the other side once, with nothing left behind."""
    with tempfile.TemporaryDirectory(prefix="against-") as scratch:
        process = subprocess.Popen(
            [sys.executable, "run.py", *([mode] if mode == SYNC_ALWAYS else [])],
            cwd=folder,
            env={**os.environ, "TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        try:
            output, _ = process.communicate(timeout=RUN_S_MAX)
        finally:  # it is not known to end its own children when it is ended
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise ChildFailed(f"run.py in {folder} ended with code {process.returncode}:\n{output[-2000:]}")
    loads = [
        Measured(
            Shape(*map(int, line.group(1, 3, 2))), float(line[4]), float(line[5]), sum(map(float, line[6].split(",")))
        )
        for line in LINE.finditer(output)
    ]
    assert tuple(load.shape for load in loads) == SCHEDULE, f"other loads than expected:\n{output}"
    return _outcome(loads)


def figures(ours: Sequence[Outcome], others: Sequence[Outcome]) -> list[Figure]:
    """Compares the rounds: at least nine tenths of the other's speed."""
    return [
        Figure(
            case="A",
            name="3 no-op remote steps, 200 in flight",
            unit="runs/s",
            values=[outcome.runs_per_s for outcome in ours],
            baseline=[outcome.runs_per_s for outcome in others],
            floor=Floor(kind="at least", bound=SHARE_MIN),
        ),
        Figure(
            case="A",
            name="CPU of server and workers",
            unit="ms/run",
            values=[outcome.cpu_ms_per_run for outcome in ours],
            baseline=[outcome.cpu_ms_per_run for outcome in others],
        ),
        Figure(
            case="B",
            name="sequential steps",
            unit="ms/step",
            values=[outcome.ms_per_step for outcome in ours],
            baseline=[outcome.ms_per_step for outcome in others],
            floor=Floor(kind="at most", bound=round(1 / SHARE_MIN, 3)),
        ),
    ]


def _outcome(loads: Sequence[Measured]) -> Outcome:
    # The better of the equal loads: what else the machine does can only slow one down.
    full = [load for load in loads if load.shape == FULL]
    return Outcome(
        max(load.runs_per_s for load in full),
        statistics.mean(load.cpu_s * 1e3 / FULL.runs for load in full),
        min(load.p50_ms / load.shape.steps for load in loads if load.shape.in_flight == 1),
    )
