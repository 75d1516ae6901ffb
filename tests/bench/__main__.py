"""`python -m tests.bench`: the cases A to H against jetrun, A and B beside the bare pipeline, as one table."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable

from .cold import case_f, case_h
from .idle import case_g
from .latency import case_d, case_e
from .report import Figure, as_json, table
from .server import PAGE_CACHE, SYNC_ALWAYS, version
from .setting import Setting
from .throughput import case_a, case_b, case_c

CASES: dict[str, Callable[[Setting], list[Figure]]] = {
    "A": case_a,
    "B": case_b,
    "C": case_c,
    "D": case_d,
    "E": case_e,
    "F": case_f,
    "G": case_g,
    "H": case_h,
}


def main() -> int:
    """Prints the table; 1 where a floor is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=_letters, default=list(CASES), metavar="A,B", help="only these cases")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case (default 5)")
    parser.add_argument("--sync-always", action="store_true", help="the server syncs every write to disk")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    setting = Setting(mode=SYNC_ALWAYS if options.sync_always else PAGE_CACHE, rounds=options.rounds)
    print(_where(setting), file=sys.stderr)
    figures: list[Figure] = []
    try:
        for letter in options.only:
            started = time.monotonic()
            figures.extend(CASES[letter](setting))
            print(
                f"case {letter}: {CASES[letter].__doc__} Took {time.monotonic() - started:.0f} s.",
                file=sys.stderr,
                flush=True,
            )
    finally:  # what was measured is shown, too, when a later case fails or is interrupted
        if options.json:
            sys.stdout.buffer.write(as_json(_where(setting), figures) + b"\n")
        else:
            print(table(figures), flush=True)
    return 1 if any(figure.is_met is False for figure in figures) else 0


def _letters(text: str) -> list[str]:
    letters = [letter.strip().upper() for letter in text.split(",")]
    if unknown := [letter for letter in letters if letter not in CASES]:
        raise argparse.ArgumentTypeError(f"no case {', '.join(unknown)}; the cases are {', '.join(CASES)}")
    return letters


def _where(setting: Setting) -> str:
    return (
        f"jetrun {importlib.metadata.version('jetrun')}, Python {platform.python_version()}, nats-server {version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; durability: {setting.mode}; rounds: {setting.rounds}"
    )


if __name__ == "__main__":
    sys.exit(main())
