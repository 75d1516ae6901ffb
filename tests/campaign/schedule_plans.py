"""Schedules of campaigns and simulations: how one is drawn, and whether it has kept its books."""

from __future__ import annotations

from random import Random
from typing import Final, cast

import msgspec

from jetrun.actors.commands import StartChild
from jetrun.actors.messages import ChildResult, Hook, Message
from jetrun.actors.schedule import ORDERS, SCHEDULE_WORKFLOW, Overlap, ScheduleState, time_in

from .plans import Shape
from .run_logs import Entry, RunLog

EVERY_S: Final = (1, 2)
LENGTHS_S: Final = (0.0, 0.3, 2.5)
TRIGGERS: Final = 3
PAUSE_SHARE: Final = 0.3


def schedule_shape(overlap: Overlap, *, lives_s: tuple[float, float]) -> Shape:
    """Makes the shape of schedules with an overlap policy.

    Args:
        lives_s: After how long one is deleted, least and most.
    """

    def draw(rng: Random) -> list[object]:
        call = {"workflow": "ticked", "args": [rng.choice(LENGTHS_S)]}
        spec = {"every": f"{rng.choice(EVERY_S)}s"}
        return [{"call": call, "schedule": {"spec": spec, "overlap": overlap, "catch_up": "10s"}}]

    def orders(_args: list[object], rng: Random) -> list[tuple[str, object, float]]:
        return _orders(rng, rng.uniform(*lives_s))

    return Shape(SCHEDULE_WORKFLOW, draw, books, hooks=orders)


def _orders(rng: Random, lives_s: float) -> list[tuple[str, object, float]]:
    """Draws what a schedule is told: triggers, some of them twice, perhaps a pause, and its end."""
    mark = rng.randrange(1_000_000)
    orders: list[tuple[float, object]] = []
    for number in range(rng.randrange(TRIGGERS + 1)):
        name = f"trigger-{mark}-{number // 2 if rng.random() < 0.3 else number}"
        runs = [{"at_us": 1_000_000 * (number + 1), "run": name}]
        orders.append((rng.uniform(-0.3, lives_s), {"do": "start", "runs": runs}))
    if rng.random() < PAUSE_SHARE:
        paused_s = rng.uniform(0, lives_s)
        orders += [(paused_s, {"do": "pause"}), (rng.uniform(paused_s, lives_s), {"do": "resume"})]
    orders = [*sorted(orders, key=lambda order: order[0]), (lives_s, {"do": "delete"})]
    return [(ORDERS, {"order": order}, after_s) for after_s, order in orders]


class _Payload(msgspec.Struct):
    order: dict[str, object]


def orders_in(log: RunLog) -> list[tuple[Message, dict[str, object]]]:
    """Lists what a schedule was told, each order once, up to the one that deletes it."""
    found: list[tuple[Message, dict[str, object]]] = []
    for _, message in log.hooks(ORDERS):
        assert isinstance(message.body, Hook)
        order = msgspec.json.decode(message.body.payload, type=_Payload).order
        found.append((message, order))
        if order["do"] == "delete":
            break
    return found


def started_by(log: RunLog) -> list[tuple[Entry, StartChild]]:
    """Lists the runs that a schedule has asked for, in order."""
    return [(entry, c) for entry in log.entries for c in entry.record.commands if isinstance(c, StartChild)]


def nominal_us(run: str) -> int | None:
    """Reads the time that a schedule's run stands for; None for one that was triggered."""
    found = time_in(run)
    return None if found is None else int(found.timestamp() * 1_000_000)


def ends_of(log: RunLog) -> dict[int, tuple[Entry, ChildResult, int]]:
    """Finds what the log was told of the ends of children, by command: where, what, and when it was said."""
    return {
        message.body.command: (entry, message.body, message.at_us)
        for entry, message in log.messages()
        if isinstance(message.body, ChildResult)
    }


def args_of(log: RunLog) -> ScheduleState:
    """Reads with what a schedule was started."""
    start = next(message.body for _, message in log.messages() if message.verb == "start")
    return msgspec.json.decode(start.args, type=tuple[ScheduleState])[0]  # type: ignore[union-attr]


def books(args: list[object], log: RunLog) -> str:
    """Each time and each trigger is started, buffered, passed over or missed, exactly once (I23)."""
    outcome = log.outcome
    assert outcome is not None
    if outcome.status != "completed":
        return f"{outcome.status} ({outcome.error.message if outcome.error else outcome.reason})"
    if outcome.ref is not None:
        return ""
    final = msgspec.json.decode(outcome.result, type=ScheduleState)
    given = cast("dict[str, dict[str, dict[str, str]]]", args[0])
    every_us = 1_000_000 * int(given["schedule"]["spec"]["every"].removesuffix("s"))
    orders = orders_in(log)
    triggers = sum(len(cast("list[object]", order["runs"])) for _, order in orders if order["do"] == "start")
    began_us = next(message.at_us for _, message in log.messages() if message.verb == "start")
    times = final.settled_us // every_us - began_us // every_us
    asked, ends = started_by(log), ends_of(log)
    refused = [ends[c.n][0] for _, c in asked if c.n in ends and ends[c.n][1].status == "refused"]
    late = sum(entry is log.entries[-1] for entry in refused)  # perhaps heard after the order to delete, as nobody's
    if not len(asked) - len(refused) <= final.runs <= len(asked) - len(refused) + late:
        return f"counts {final.runs} runs, and has started {len(asked)}, {len(refused)} of them in vain"
    if final.completed + final.failed + final.cancelled + len(final.running) != final.runs:
        return f"does not know what became of its runs: {final}"
    settled = final.runs + final.skipped + final.missed + len(final.buffered)
    is_paused = any(order["do"] == "pause" for _, order in orders)
    if settled > times + triggers or (settled < times + triggers and not is_paused):
        return f"{times} times and {triggers} triggers, and {settled} are accounted for: {final}"
    return ""
