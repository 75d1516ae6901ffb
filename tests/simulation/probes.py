"""Probes: looks inside the engine to tell whether a simulation has reached the rare states that it is there for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Any
from unittest.mock import patch

import anyio
import msgspec

from jetrun.actors.actor import Actor
from jetrun.actors.decision import Decision
from jetrun.actors.names import RunKey
from jetrun.streams.debt import Debt
from jetrun.streams.effects import Effects
from jetrun.streams.loading import Loader
from jetrun.streams.partition import Partition
from jetrun.streams.ports import Delivery

from .hosts import current_process

Count = Callable[[str], None]


class Carrying(msgspec.Struct):
    """The time in which one worker carried out what one run's decision owes."""

    key: RunKey
    worker: str
    began_s: float
    ended_s: float = inf


@contextmanager
def probes(count: Count, carried: list[Carrying]) -> Generator[None]:
    """Counts what happens inside workers, and notes who carries out effects, until the end of the block."""
    with ExitStack() as stack:
        for target, name, make in (
            (Actor, "fold", _fold),
            (Effects, "carry_out", _carry_out),
            (Loader, "_finish", _finish),
            (Partition, "_settle", _settle),
            (Partition, "_on_fired", _on_fired),
        ):
            stack.enter_context(patch.object(target, name, make(getattr(target, name), count)))
        stack.enter_context(patch.object(Effects, "carry_out", _timed(Effects.carry_out, carried)))
        yield


def _fold(fold: Callable[..., Decision], count: Count) -> Callable[..., Decision]:
    def probe(actor: Actor, *args: Any, **kwargs: Any) -> Decision:
        decision = fold(actor, *args, **kwargs)
        for verdict in decision.verdicts:
            if verdict.is_repeat:
                count("redelivery recognised")
            elif verdict.message.body.id and actor.journal.has_id(verdict.message):
                count("duplicate recognised")
        return decision

    return probe


def _carry_out(carry_out: Callable[..., Any], count: Count) -> Callable[..., Any]:
    async def probe(effects: Effects, debts: Sequence[Debt]) -> None:
        for debt in debts:
            owed = debt.owed
            if debt.is_repeat and (owed.steps or owed.retries or owed.timers or owed.outcome or owed.closed_steps):
                count("effects repeated")
        await carry_out(effects, debts)

    return probe


def _timed(carry_out: Callable[..., Any], carried: list[Carrying]) -> Callable[..., Any]:
    async def probe(effects: Effects, debts: Sequence[Debt]) -> None:
        mine = [Carrying(debt.key, current_process(), anyio.current_time()) for debt in debts]
        carried.extend(mine)
        await carry_out(effects, debts)
        for carrying in mine:
            carrying.ended_s = anyio.current_time()

    return probe


def _finish(finish: Callable[..., Any], count: Count) -> Callable[..., Any]:
    async def probe(loader: Loader, actor: Actor) -> None:
        await finish(loader, actor)
        count("half-appended decision finished")

    return probe


def _settle(settle: Callable[..., None], count: Count) -> Callable[..., None]:
    def probe(partition: Partition, mail: list[Delivery], fired: list[Delivery]) -> None:
        if mail:
            count("takeover read found messages")
        if fired:
            count("takeover read found ticks")
        settle(partition, mail, fired)

    return probe


def _on_fired(on_fired: Callable[..., None], count: Count) -> Callable[..., None]:
    def probe(partition: Partition, deliveries: Sequence[Delivery]) -> None:
        on_fired(partition, deliveries)
        if partition._ticks:
            count("tick held until the mailbox was read")

    return probe
