"""A short run of the simulation: the long one is `python -m tests.simulation --seeds 1000`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.command import describe
from simulation.running import run_seed

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 40
PER_TEST = 8

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("start", range(1, SEEDS, PER_TEST))
def test_every_invariant_holds(start: int) -> None:
    """Crashes, duplicates, reorderings, lost answers, pauses: nothing acknowledged is lost, nothing decided twice."""
    for seed in range(start, start + PER_TEST):
        result = run_seed(seed)

        assert not result.problems, "\n".join([*describe(result), f"again: python -m tests.simulation --seed {seed}"])


def test_a_seed_is_one_story() -> None:
    """A failing seed can be repeated anywhere: neither addresses nor hashes of strings have a say."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "--lines", "0"]

    stories = [
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=50,
        )
        for hash_seed in ("1", "2")
    ]

    assert [story.returncode for story in stories] == [0, 0], stories[0].stdout + stories[0].stderr
    assert "trace " in stories[0].stdout
    assert stories[0].stdout == stories[1].stdout
