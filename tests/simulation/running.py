"""Runs seeds: one world each, with scaled limits and probes, and the invariants at its end."""

from __future__ import annotations

import logging
from collections import Counter

import msgspec

from jetrun.streams.telemetry import LOGGER
from support.simloop import SimLoop, run

from .checks import check
from .probes import Carrying, probes
from .scaled import scaled
from .scenario import CHAOS_S, HEAL_S, Scenario, draw
from .trace import Trace
from .world import Remains, World

LIMIT_S = CHAOS_S + HEAL_S + 60


class Result(msgspec.Struct, kw_only=True):
    """What came of one seed."""

    seed: int
    digest: str
    problems: list[str]
    counts: dict[str, int]
    callbacks: int
    quiet_after_s: float
    story: list[str]
    """The end of the trace, as far as it is about what went wrong."""


def run_seed(seed: int, *, only: str = "", story_lines: int = 60, logs: bool = False) -> Result:
    """Runs one seed; see `scenario.draw`."""
    return run_scenario(draw(seed, only), story_lines=story_lines, logs=logs)


def run_scenario(scenario: Scenario, *, story_lines: int = 60, logs: bool = False) -> Result:
    """Runs one scenario."""
    counts: Counter[str] = Counter()
    carried: list[Carrying] = []
    worlds: list[World] = []

    async def main(loop: SimLoop) -> Remains:
        world = World(loop, scenario, counts, carried)
        worlds.append(world)
        if logs:
            handler.target = world.trace.lines
        return await world.live()

    handler = _Into()
    before = LOGGER.level, LOGGER.propagate
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO if logs else logging.CRITICAL + 1)
    LOGGER.addHandler(handler)
    problems: list[str]
    try:
        with scaled(scenario.limits), probes(lambda what: counts.update([what]), carried):
            remains = run(main, scenario.seed, limit_s=LIMIT_S)
            problems = check(remains)
        callbacks, quiet_after_s = remains.callbacks, remains.quiet_after_s
    except Exception as error:
        problems, callbacks, quiet_after_s = [f"the simulation itself failed: {error!r}"], 0, 0.0
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]
    trace = worlds[0].trace if worlds else Trace(lambda: 0.0)
    return Result(
        seed=scenario.seed,
        digest=trace.digest,
        problems=problems,
        counts=dict(counts),
        callbacks=callbacks,
        quiet_after_s=quiet_after_s,
        story=trace.about(_runs_in(problems, scenario), story_lines) if problems else [],
    )


def _runs_in(problems: list[str], scenario: Scenario) -> list[str]:
    """Names the runs that the problems speak of, as they stand in subjects."""
    text = " ".join(problems)
    return [f"{p.key.workflow}.{p.key.run}." for p in scenario.plans if f"{p.key.workflow}/{p.key.run}" in text] + [
        f"{p.key.workflow}.{p.key.run}" for p in scenario.plans if f"{p.key.workflow}/{p.key.run}" in text
    ]


class _Into(logging.Handler):
    """Puts what workers log into the story."""

    target: list[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.target is not None:
            self.target.append(f"            log {record.getMessage()}")
