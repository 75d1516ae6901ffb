"""`python -m tests.campaign.pause`: an actor worker is stopped between decision and append until the fence refuses it.

Hooks flow to a few runs all the time. A worker is stopped (SIGSTOP) in the moment a hook reaches it, for longer than
its lease; another takes its partitions over and goes on. When it wakes up, what it decided on what it remembers is
refused. Prints the count of refused appends; exit code 1 where there was none, or where the audit finds a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from random import Random

from jetrun.actors.names import RunKey

from .campaign import Options, run_campaign
from .folder import Folder
from .plans import Letter, Plan
from .stops import BEYOND_LEASE_S, pause_until_refused

RUNS = 24
HOOKS_PER_S = 2.0
TRIES = 4
"""Pauses at most; nearly always the first one hits."""


def plans_of(seconds: float) -> list[Plan]:
    """Makes runs that are sent a hook again and again."""
    count = int(seconds * HOOKS_PER_S)
    return [_plan(number, count) for number in range(RUNS)]


def main() -> int:
    """Pauses until it hits, audits, and prints what it came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.pause", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default=None, help="folder for logs and histories; kept")
    given = parser.parse_args()
    seconds = TRIES * (BEYOND_LEASE_S + 4)
    with Folder.open(given.keep) as folder:
        options = Options(
            seconds=seconds,
            seed=given.seed,
            ways=[pause_until_refused],
            workers=2,
            lease_s=30.0,
            quiet_s=60.0,
            folder=folder.path,
            command=f"python -m tests.campaign.pause --seed {given.seed}",
        )
        ending = asyncio.run(run_campaign(options, plans_of(BEYOND_LEASE_S + 8), Random(given.seed)))
        is_shown = ending.is_clean and ending.refused_appends > 0
        folder.is_wanted |= not is_shown
    print(ending.report)
    print(f"refused appends: {ending.refused_appends}", flush=True)
    return 0 if is_shown else 1


def _plan(number: int, count: int) -> Plan:
    key = RunKey("collect", f"p{number}")
    start = Letter(id=f"start-{number}", verb="start", body={"id": f"start-{number}", "args": [count]}, at_s=0.0)
    hooks = [
        Letter(
            id=f"hook-{number}-{item}",
            verb="hook",
            name="item",
            body={"id": f"hook-{number}-{item}", "payload": item},
            at_s=(item + number / RUNS) / HOOKS_PER_S,
        )
        for item in range(count)
    ]
    return Plan(key=key, shape=key.workflow, args=[count], letters=[start, *hooks])


if __name__ == "__main__":
    sys.exit(main())
