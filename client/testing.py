"""The testing kit. See docs/testing.md."""

from __future__ import annotations

from .testing_app import AppUnderTest, RunParked, app
from .testing_run import AnyCall, Hooks, run
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
    "app",
    "attempts",
    "returns",
    "run",
    "stub",
    "survives_every_crash",
]
