"""A short crash campaign: the long one is `python -m tests.campaign`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_everything_holds_under_kill_9(tmp_path: Path) -> None:
    """Actor workers, step workers and the server are killed while 60 runs are under way; every invariant holds."""
    command = [sys.executable, "-m", "tests.campaign", "--runs", "60", "--seconds", "12", "--lease", "6"]

    done = subprocess.run(
        [*command, "--keep", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=140, stdin=subprocess.DEVNULL
    )

    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"kill", done.stdout), "the report counts its kills"
