"""`python -m tests.campaign`: 300 runs under kill -9 for a minute, then the audit.

Exit code 1 where an invariant is broken, 2 where the campaign itself failed. Whatever happens, its processes end with it.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import traceback
from collections.abc import Coroutine
from random import Random

from .campaign import Ending, Options, run_campaign
from .faults import Disturb
from .folder import Folder
from .kills import kill_actors, kill_server, kill_steps
from .plans import Drawing
from .scaled import scale
from .shapes import SHAPES
from .stops import drain_workers, pause_actors, restart_server

WAYS: dict[str, Disturb] = {
    "actors": kill_actors,
    "steps": kill_steps,
    "server": kill_server,
    "pauses": pause_actors,
    "drains": drain_workers,
    "restarts": restart_server,
}
SEEDS = 1_000_000

FAILED_ITSELF = 2
INTERRUPTED = 130


def main() -> int:
    """Runs one campaign and prints its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=Random().randrange(SEEDS), help="by default another one each time")
    parser.add_argument(
        "--kinds",
        default="actors,steps,server",
        help="who is killed (actors, steps, server), and gentler things: `pauses` stops actor workers beyond their "
        "lease, `drains` tells workers to end, `restarts` restarts the server in order",
    )
    parser.add_argument("--workers", type=int, default=2, help="of each kind (default 2)")
    parser.add_argument("--lease", type=float, default=30.0, help="ack wait of the work queue in seconds (default 30)")
    parser.add_argument("--quiet", type=float, default=None, help="most seconds to wait for quiet (default lease + 60)")
    parser.add_argument(
        "--only", default="", help="run only workflows whose names begin so: g-,jetrun-graph for graphs"
    )
    parser.add_argument("--keep", default=None, help="folder for logs and histories; kept")
    given = parser.parse_args()
    kinds = [kind for kind in given.kinds.split(",") if kind]
    if unknown := set(kinds) - set(WAYS):
        parser.error(f"--kinds {', '.join(sorted(unknown))}: choose from {', '.join(WAYS)}")
    scale()
    rng = Random(given.seed)
    shapes = [shape for shape in SHAPES if shape.workflow.startswith(tuple(given.only.split(",")))]
    plans = Drawing(shapes, rng, given.seconds).draw(given.runs)
    with Folder.open(given.keep) as folder:
        options = Options(
            seconds=given.seconds,
            seed=given.seed,
            ways=[WAYS[kind] for kind in kinds],
            workers=given.workers,
            lease_s=given.lease,
            quiet_s=given.quiet if given.quiet is not None else given.lease + 60,
            folder=folder.path,
            command=f"python -m tests.campaign --runs {given.runs} --seconds {given.seconds:g} --seed {given.seed} "
            f"--kinds {','.join(kinds)} --workers {given.workers} --lease {given.lease:g}"
            + (f" --only {given.only}" if given.only else ""),
        )
        try:
            ending = asyncio.run(_until_told(run_campaign(options, plans, rng)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
        except Exception:
            folder.is_wanted = True
            traceback.print_exc()
            print(f"THE CAMPAIGN ITSELF FAILED, which says nothing of the engine; its folder is {folder.path}")
            print(f"again: {options.command}", flush=True)
            return FAILED_ITSELF
        folder.is_wanted |= not ending.is_clean
    print(ending.report, flush=True)
    return 0 if ending.is_clean else 1


async def _until_told(campaign: Coroutine[object, object, Ending]) -> Ending:
    """SIGTERM ends a campaign as Ctrl-C does: with all its processes."""
    task = asyncio.ensure_future(campaign)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    sys.exit(main())
