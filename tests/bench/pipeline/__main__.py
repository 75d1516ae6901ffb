"""`python -m tests.bench.pipeline`: how fast the bare pipeline is here and now; `--against FOLDER` beside another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..report import Figure, table
from ..server import PAGE_CACHE, SYNC_ALWAYS, version
from . import against


def main() -> int:
    """Prints a table; 1 where a floor is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pipeline", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="alternate with FOLDER/run.py and compare")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default 5)")
    parser.add_argument("--sync-always", action="store_true", help="the server syncs every write to disk")
    options = parser.parse_args()
    mode = SYNC_ALWAYS if options.sync_always else PAGE_CACHE
    print(f"nats-server {version()}, durability: {mode}, {options.rounds} rounds")
    if options.against is not None and not (options.against / "run.py").is_file():
        print(f"skipped: no run.py in {options.against}")
        return 0
    ours: list[against.Outcome] = []
    others: list[against.Outcome] = []
    for index in range(options.rounds):
        # Who goes first alternates too: a machine that is getting busier favours neither.
        for side in ("pipeline", "other") if index % 2 == 0 else ("other", "pipeline"):
            if side == "pipeline":
                ours.append(_told(index, side, against.measure_pipeline(mode)))
            elif options.against is not None:
                others.append(_told(index, side, against.measure_other(options.against, mode)))
    figures = against.figures(ours, others)
    if not others:
        figures = [
            Figure(case=figure.case, name=figure.name, unit=figure.unit, values=figure.values) for figure in figures
        ]
    print(table(figures))
    return 1 if any(figure.is_met is False for figure in figures) else 0


def _told(index: int, side: str, outcome: against.Outcome) -> against.Outcome:
    print(
        f"round {index + 1}, {side:8}: {outcome.runs_per_s:.0f} runs/s, {outcome.ms_per_step:.3f} ms/step", flush=True
    )
    return outcome


if __name__ == "__main__":
    sys.exit(main())
