"""The same messages make the same log in every process, whatever its hash seed and wherever its objects lie (R13, P8)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.shape_logs import log_hashes

TESTS = Path(__file__).parents[2]

BALLAST = """
import gc, random
gc.disable()
kept = [object() if n % 3 else bytearray(random.randrange(4000)) for n in range({count})]
del kept[::2]
import runpy
runpy.run_module("support.shape_logs", run_name="__main__")
"""


@pytest.mark.parametrize(("seed", "count"), [("0", 1), ("1", 20_000), ("424242", 60_001)])
def test_every_process_writes_the_same_logs(seed: str, count: int) -> None:
    """Hash seeds move the order of sets of texts, memory that of sets of objects."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS)}

    found = subprocess.run(
        [sys.executable, "-c", BALLAST.format(count=count)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert found.stdout.splitlines() == log_hashes()
