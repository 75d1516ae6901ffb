"""A short crash campaign: the long one is `python -m tests.campaign`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


REPEATS = ("I11", "I13", "P4")
"""What a server killed with acks in memory may break by delivering work again: judged by the long campaign, which
names the fault for each repeat."""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_logs_hold_under_kill_9(tmp_path: Path) -> None:
    """Actor workers, step workers and the server are killed while 60 runs are under way: what the logs say is right."""
    command = [sys.executable, "-m", "tests.campaign", "--runs", "60", "--seconds", "12", "--lease", "6"]

    done = subprocess.run(
        [*command, "--keep", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        stdin=subprocess.DEVNULL,
    )

    verdicts = re.findall(r"^(holds|BROKEN) +(\w+)", done.stdout, re.MULTILINE)
    assert ("holds", "I1") in verdicts, done.stdout[-6000:] + done.stderr[-2000:]
    assert not [name for verdict, name in verdicts if verdict == "BROKEN" and name not in REPEATS], done.stdout[-6000:]
