"""A short crash campaign: the long one is `python -m tests.campaign`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_all_holds_under_kill_9(tmp_path: Path) -> None:
    """Actor workers, step workers and the server are killed while 60 runs are under way."""
    command = [sys.executable, "-m", "tests.campaign", "--runs", "60", "--seconds", "12", "--lease", "6"]

    done = subprocess.run(
        [*command, "--keep", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        stdin=subprocess.DEVNULL,
    )

    # Each invariant holds, and each repeated side effect has a fault that explains it.
    verdicts = re.findall(r"^(holds|BROKEN) +(\w+)", done.stdout, re.MULTILINE)
    assert ("holds", "I1") in verdicts, done.stdout[-6000:] + done.stderr[-2000:]
    assert "BROKEN" not in {verdict for verdict, _ in verdicts}, done.stdout[-6000:]
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
