"""`python -m tests.campaign`: 300 runs under kill -9 for a minute, then the audit. Exit code 1 where an invariant is broken."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

from .campaign import Options, run_campaign


def main() -> int:
    """Runs one campaign and prints its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    parser.add_argument(
        "--kinds", default="actors,steps,server", help="who is killed; `pauses` stops actor workers beyond their lease"
    )
    parser.add_argument("--workers", type=int, default=2, help="of each kind (default 2)")
    parser.add_argument("--lease", type=float, default=30.0, help="ack wait of the work queue in seconds (default 30)")
    parser.add_argument("--quiet", type=float, default=None, help="most seconds to wait for quiet (default lease + 60)")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and histories; kept")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else Random().randrange(1_000_000)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="campaign-"))
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        runs=given.runs,
        seconds=given.seconds,
        seed=seed,
        kinds=[kind for kind in given.kinds.split(",") if kind],
        workers=given.workers,
        lease_s=given.lease,
        quiet_s=given.quiet if given.quiet is not None else given.lease + 60,
        folder=folder.absolute(),
    )
    text, is_clean = asyncio.run(run_campaign(options))
    print(text, flush=True)
    if is_clean and given.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
