"""The command: runs seeds, prints what was found and how to repeat it, and what was never reached."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from .mutants import MUTANTS, SEEDS_MAX, hunt
from .running import Result, run_seed
from .scenario import draw

SOMETIMES = (
    "append refused",
    "zombie append refused",
    "crash at append",
    "takeover read found messages",
    "effects repeated",
    "redelivery recognised",
    "duplicate recognised",
    "tick held until the mailbox was read",
    "parked and unparked",
    "half-appended decision finished",
    "early hook",
    "paused and resumed",
    "attempt begun twice",
    "link begun",
    "step ended by its time",
    "went on from a heartbeat",
    "graph begun as a new link",
    "late arrival at a join",
    "graph stopped with tasks to begin",
    "graph gone on with by a worker that knows it otherwise",
)
"""States that a long run has to reach; else it has not tried what it is there for."""

SOMETIMES_SEEDS = 300


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where an invariant broke or a rare state was never reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many seeds (default 100)")
    parser.add_argument("--start", type=int, default=1, metavar="S0", help="the first of them (default 1)")
    parser.add_argument("--seed", type=int, metavar="S", help="only this one, with its story")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side (default 1)")
    parser.add_argument("--logs", action="store_true", help="with --seed: put what workers log into the story")
    parser.add_argument("--lines", type=int, default=60, help="lines of a story (default 60)")
    parser.add_argument(
        "--only", default="", help="run only workflows whose names begin so: g-,jetrun-graph for graphs"
    )
    parser.add_argument("--mutants", action="store_true", help="put bugs into the engine: each has to be found")
    options = parser.parse_args(argv)
    if options.mutants:
        return _mutants(options.jobs)
    if options.seed is not None:
        return _one(options.seed, only=options.only, lines=options.lines, logs=options.logs)
    return _many(range(options.start, options.start + options.seeds), only=options.only, jobs=options.jobs)


def _one(seed: int, *, only: str, lines: int, logs: bool) -> int:
    result = run_seed(seed, only=only, story_lines=lines, logs=logs)
    print("\n".join(describe(result, only)))
    print(f"seed {seed}: trace {result.digest}, {result.callbacks} callbacks, quiet after {result.quiet_after_s:.1f} s")
    print(", ".join(f"{what} {n}" for what, n in sorted(result.counts.items())))
    return 1 if result.problems else 0


def _many(seeds: Sequence[int], *, only: str, jobs: int) -> int:
    began, counts, failed = time.monotonic(), Counter[str](), list[int]()
    slowest_s = 0.0
    for result in _results(seeds, only, jobs):
        counts.update(result.counts)
        slowest_s = max(slowest_s, result.quiet_after_s if result.quiet_after_s < 1e6 else 0)
        if result.problems:
            failed.append(result.seed)
            print("\n".join(describe(result, only)), flush=True)
    for what, n in sorted(counts.items()):
        print(f"{n:8d}  {what}")
    seconds = time.monotonic() - began
    print(
        f"{len(seeds)} seeds in {seconds:.0f} s; {len(failed)} failed: {failed}; slowest end {slowest_s:.0f} s after healing"
    )
    is_long = len(seeds) >= SOMETIMES_SEEDS and not only
    missed = [what for what in SOMETIMES if not counts[what]] if is_long else []
    for what in missed:
        print(f"never reached: {what}")
    return 1 if failed or missed else 0


def _mutants(jobs: int) -> int:
    missed = 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for number, seed, problem in pool.imap(_hunt, range(len(MUTANTS))):
            missed += not seed
            how = f"seed {seed}: {problem[:150]}" if seed else f"NOT FOUND in {SEEDS_MAX} seeds"
            print(f"{MUTANTS[number].name}: {how}", flush=True)
    print(f"{len(MUTANTS)} mutants, {missed} not found")
    return 1 if missed else 0


def _hunt(number: int) -> tuple[int, int, str]:
    caught = hunt(MUTANTS[number], range(1, SEEDS_MAX + 1))
    return number, caught.seed, caught.problem


def _results(seeds: Iterable[int], only: str, jobs: int) -> Iterator[Result]:
    run = partial(run_seed, only=only)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds)


def describe(result: Result, only: str = "") -> list[str]:
    """Tells what went wrong, under which faults, and how to see it again; nothing where all is well."""
    if not result.problems:
        return []
    scenario = draw(result.seed, only)
    faults = {name: value for name in scenario.faults.__struct_fields__ if (value := getattr(scenario.faults, name))}
    violence = {n: value for n in scenario.violence.__struct_fields__ if (value := getattr(scenario.violence, n))}
    return [
        *result.story,
        f"seed {result.seed}: {scenario.actors} actor and {scenario.steps} step workers, concurrency {scenario.concurrency}",
        f"  faults {faults}",
        f"  violence {violence}",
        f"  limits {scenario.limits}, partial {sorted(scenario.partial)}",
        *(f"  BROKEN {problem}" for problem in result.problems),
        f"  again: python -m tests.simulation --seed {result.seed}{f' --only {only}' if only else ''}",
    ]
