"""Scenarios: what one seed decides: who works, what runs, what goes wrong and how often.

Drawn as a swarm: each fault is on or off by itself, with a rate of its own, because a mix of everything at once hides
what a few faults alone would show.
"""

from __future__ import annotations

from random import Random

import msgspec

from campaign.graph_shapes import GRAPH_SHAPES
from campaign.plans import Drawing, Plan
from jetrun.actors.engine import ENGINE_WORKFLOWS
from jetrun.streams.memory_faults import Faults

from .shapes import SHAPES

CHAOS_S = 40.0
HEAL_S = 120.0
"""After the last fault everything has to come to its end within this time."""

STARTS_S = 36.0
PARTITIONS = 4

GRAPHS_PER_SEED = 6

ON_SHARE = 0.35
"""How often a fault is on."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the engine that are scaled down, so that small runs reach them."""

    record_bytes: int
    turn_bytes: int
    turn_messages: int
    inline_bytes: int
    cached_runs: int
    schedule_commands: int
    graph_records: int


class Violence(msgspec.Struct, kw_only=True):
    """What is done to processes: times per minute, and chances per opportunity."""

    actor_kills: float
    step_kills: float
    freezes: float
    drains: float
    restarts: float
    """Of the server."""
    snipe_append: float
    snipe_effect: float
    snipe_ack: float
    snipe_step_begin: float
    snipe_step_end: float
    snipe_result: float
    snipe_server: float
    power_loss: float
    """Share of kills where what was sent and has not arrived is lost, and the server does not notice the end."""
    down_s: float
    """A process stays away for up to so long."""
    frozen_s: float
    snipe_freeze: float = 0.0
    """Freezes whoever has just appended, before it carries out what it owes: as late as can be, others have gone on."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """All that a seed decides beforehand."""

    seed: int
    actors: int
    steps: int
    concurrency: int
    faults: Faults
    violence: Violence
    limits: Limits
    partial: frozenset[str]
    """Workflows that the first actor worker does not know until the end of the chaos."""
    skew_us: int
    plans: list[Plan]


def draw(seed: int, only: str = "") -> Scenario:
    """Draws a scenario.

    Args:
        only: How the names of the workflows begin that are run; empty for any.
    """
    rng = Random(f"scenario/{seed}")
    # A seed has few runs: some of the many graphs leave room for all the others.
    graphs = GRAPH_SHAPES if only else rng.sample(GRAPH_SHAPES, GRAPHS_PER_SEED)
    others = [shape for shape in SHAPES if shape not in GRAPH_SHAPES]
    choice = [shape for shape in (*others, *graphs) if shape.workflow.startswith(tuple(only.split(",")))]
    shapes = rng.sample(choice, rng.randint(min(3, len(choice)), len(choice)))
    faults, violence = _faults(rng), _violence(rng)
    own = Random(f"freezes/{seed}")
    violence.snipe_freeze = own.choice([0.02, 0.2]) if own.random() < ON_SHARE else 0.0
    is_partial = rng.random() < 0.2
    known = {workflow.name for workflow in ENGINE_WORKFLOWS}  # to every worker
    names = [shape.workflow for shape in shapes if shape.workflow not in known]
    return Scenario(
        seed=seed,
        actors=rng.randint(1, 3),
        steps=rng.randint(1, 3),
        concurrency=rng.choice([1, 3, 50]),
        faults=faults,
        violence=violence,
        limits=Limits(
            record_bytes=rng.choice([6_000, 12_000, 512 * 1024]),
            turn_bytes=4_000,
            turn_messages=rng.choice([1, 3, 500]),
            inline_bytes=rng.choice([800, 2_000, 192 * 1024]),
            cached_runs=rng.choice([1, 4, 2_000]),
            schedule_commands=rng.choice([4, 12, 1_000]),
            graph_records=rng.choice([4, 12, 5_000]),
        ),
        partial=frozenset(rng.sample(names, 1)) if is_partial and names else frozenset(),
        skew_us=rng.choice([0, 0, 3_600_000_000, -3_600_000_000]),
        plans=Drawing(shapes, rng, STARTS_S).draw(rng.randint(4, 14)),
    )


def _faults(rng: Random) -> Faults:
    def rate(*rates: float) -> float:
        return rng.choice(rates) if rng.random() < ON_SHARE else 0.0

    return Faults(
        request_lost=rate(0.01, 0.05, 0.2),
        ack_lost=rate(0.01, 0.05, 0.2),
        commit_late=rate(0.01, 0.05, 0.2),
        commit_late_s=rng.choice([1.0, 4.0, 12.0]),
        call_lost=rate(0.01, 0.05),
        refusal_false=rate(0.01, 0.1, 0.3),
        refusal_transient=rate(0.01, 0.1, 0.3),
        delivery_doubled=rate(0.01, 0.1),
        delivery_ack_lost=rate(0.01, 0.1, 0.3),
        notice_lost=rate(0.05, 0.3, 0.9),
        read_stale=rate(0.05, 0.3),
        reconnect_s=rate(0.2, 3.0),
        timer_late_s=rng.choice([0.25, 0.25, 2.0, 7.0]),
        timer_doubled=rate(0.05, 0.5),
        delay_s=rng.choice([0.0, 0.0, 0.002, 0.02, 0.3]),
    )


def _violence(rng: Random) -> Violence:
    def per_minute(*rates: float) -> float:
        return rng.choice(rates) if rng.random() < ON_SHARE else 0.0

    def chance(*rates: float) -> float:
        return rng.choice(rates) if rng.random() < ON_SHARE else 0.0

    return Violence(
        actor_kills=per_minute(2, 8, 20),
        step_kills=per_minute(2, 8, 20),
        freezes=per_minute(2, 8),
        drains=per_minute(2, 6),
        restarts=per_minute(1, 4, 10),
        snipe_append=chance(0.02, 0.2),
        snipe_effect=chance(0.02, 0.2),
        snipe_ack=chance(0.02, 0.2),
        snipe_step_begin=chance(0.02, 0.2),
        snipe_step_end=chance(0.02, 0.2),
        snipe_result=chance(0.02, 0.2),
        snipe_server=chance(0.005, 0.03),
        power_loss=rng.choice([0.0, 0.5, 1.0]),
        down_s=rng.choice([0.5, 4.0, 12.0]),
        frozen_s=rng.choice([3.0, 12.0, 35.0]),
    )
