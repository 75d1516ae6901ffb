"""The testing kit: workflows with their real workers and client inside a test, on a clock that skips every wait.

`run` takes a workflow to its end, `app` gives what a test looks around in, `survives_every_crash` crashes a worker at
every record; `stub`, `returns` and `attempts` stand in for steps. The guide is docs/testing.md.

Not possible while time is skipped: real sockets, subprocesses, and threads other than by `asyncio.to_thread`; and loops
other than asyncio's own.
"""

from __future__ import annotations

from .testing_app import AppUnderTest, RunParked, app
from .testing_rehearsal import rehearse
from .testing_run import AnyCall, Hooks, Updates, run
from .testing_stage import NotStubbed, StepCall
from .testing_stubs import Stub, StubMisfit, Stubs, attempts, returns, stub
from .testing_sweep import CrashPoint, CrashSweep, CrashSweepFailed, Difference, survives_every_crash
from .testing_time import Stuck

__all__ = [
    "AnyCall",
    "AppUnderTest",
    "CrashPoint",
    "CrashSweep",
    "CrashSweepFailed",
    "Difference",
    "Hooks",
    "NotStubbed",
    "RunParked",
    "StepCall",
    "Stub",
    "StubMisfit",
    "Stubs",
    "Stuck",
    "Updates",
    "app",
    "attempts",
    "rehearse",
    "returns",
    "run",
    "stub",
    "survives_every_crash",
]
