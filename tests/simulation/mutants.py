"""Mutants: bugs put into the engine on purpose. A simulation that does not find them would not find real ones either."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from jetrun.actors import graph_run, schedule_run
from jetrun.actors.actor import Actor
from jetrun.actors.commands import Advance
from jetrun.actors.desk import Desk
from jetrun.actors.fold import Fold
from jetrun.actors.graph_fold import GraphFold
from jetrun.actors.graph_interpreter import Interpreter
from jetrun.actors.graph_run import GraphRun
from jetrun.actors.graph_state import Scope
from jetrun.actors.journal import Journal
from jetrun.actors.messages import CONTINUED
from jetrun.actors.names import RunKey
from jetrun.actors.records import Record
from jetrun.actors.retry import RetryPolicy
from jetrun.actors.schedule import PauseOrder
from jetrun.actors.seen import Seen
from jetrun.streams.appends import Appends
from jetrun.streams.debt import Debt
from jetrun.streams.effects import Effects
from jetrun.streams.held import Held
from jetrun.streams.partition import Partition
from jetrun.streams.ports import Delivery, Outgoing
from jetrun.streams.run_log import RunLog
from jetrun.streams.slots import Pending
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.taking_back import TakingBack, _Doomed
from jetrun.streams.turns import Turns

from .running import run_seed

SEEDS_MAX = 200


class Mutant(NamedTuple):
    """One bug."""

    name: str
    target: type | ModuleType
    attribute: str
    make: Callable[[Any], object]
    """Makes the replacement of the attribute's value."""


class Caught(NamedTuple):
    """How a mutant was found out; `seed` is 0 where it was not."""

    mutant: Mutant
    seed: int
    problem: str


@contextmanager
def bred(mutant: Mutant) -> Generator[None]:
    """Puts the bug in until the end of the block."""
    with ExitStack() as stack:
        original = mutant.target.__dict__[mutant.attribute]
        stack.enter_context(patch.object(mutant.target, mutant.attribute, mutant.make(original)))
        yield


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Caught:
    """Runs seeds until one finds the bug."""
    with bred(mutant):
        for seed in seeds:
            for problem in run_seed(seed).problems:
                if "itself failed" in problem or "Error: " in problem:
                    raise AssertionError(f"the mutant {mutant.name!r} does not fit the engine any more: {problem}")
                return Caught(mutant, seed, problem)
    return Caught(mutant, 0, "")


# --- what they do ---------------------------------------------------------------------------------
def _ack_before_append(complete: Any) -> Any:
    async def mutant(turns: Turns, pending: list[Pending]) -> None:
        for part in pending:
            for letter in part.letters:
                if letter.delivery.reply:
                    turns._broker.ack(letter.delivery.reply)
        await complete(turns, pending)

    return mutant


def _without_fence(_entry: Any) -> Any:
    def mutant(log: RunLog, key: RunKey, raw: bytes, _after_seq: int) -> Outgoing:
        return Outgoing(log._app.log_of(key), raw)

    return mutant


def _effects_before_append(complete: Any) -> Any:
    async def mutant(turns: Turns, pending: list[Pending]) -> None:
        debts = [turns._debt(part, is_repeat=False) for part in pending if part.decision.records]
        await turns._effects.carry_out(debts)
        await complete(turns, pending)

    return mutant


def _skip_repeats(carry_out: Any) -> Any:
    async def mutant(effects: Effects, debts: Sequence[Debt]) -> None:
        await carry_out(effects, [debt for debt in debts if not debt.is_repeat])

    return mutant


def _forget_park_timer(carry_out: Any) -> Any:
    async def mutant(effects: Effects, debts: Sequence[Debt]) -> None:
        plain = [msgspec.structs.replace(d, owed=msgspec.structs.replace(d.owed, parked=None)) for d in debts]
        await carry_out(effects, plain)

    return mutant


def _timers_early(advance: Any) -> Any:
    def mutant(fold: Fold, at_us: int) -> None:
        advance(fold, at_us + 1_500_000)

    return mutant


def _ack_work_first(report: Any) -> Any:
    def mutant(worker: StepWorker, held: Held, *rest: Any) -> None:
        worker._broker.ack(held.reply)
        report(worker, held, *rest)

    return mutant


def _ticks_not_held(_release_ticks: Any) -> Any:
    def mutant(partition: Partition) -> None:
        ready = list(partition._ticks.values())
        partition._ticks.clear()
        if ready:
            partition._on_letters(ready)

    return mutant


def _no_takeover_read(_left: Any) -> Any:
    async def mutant(partition: Partition, stream: str, consumer: str, _subject: str) -> list[Delivery]:
        state = await partition._broker.consumer_state(stream, consumer)
        partition._mail_order = max(partition._mail_order, state.handed_out)
        return []

    return mutant


def _any_record_is_ours(_find: Any) -> Any:
    async def mutant(log: RunLog, key: RunKey, _raw: bytes, after_seq: int) -> int | None:
        last = await log._broker.last(log._app.log, log._app.log_of(key))
        return last.seq if last is not None and last.seq > after_seq else None

    return mutant


def _always_async(value: object) -> Callable[[Any], Any]:
    def make(_original: Any) -> Any:
        async def mutant(*_args: Any, **_kwargs: Any) -> object:
            return value

        return mutant

    return make


def _always(value: object) -> Callable[[Any], Any]:
    return lambda _original: lambda *_args, **_kwargs: value


def _never_final(decide: Any) -> Any:
    def mutant(policy: RetryPolicy, **kwargs: Any) -> int:
        delay_us = decide(policy, **kwargs)
        return 300_000 if delay_us is None else delay_us

    return mutant


def _drop_carried(follow_links: Any) -> Any:
    def mutant(journal: Journal, record: Record, seq: int) -> None:
        follow_links(journal, record, seq)
        if record.continued is not None:
            journal.backlog = [folded for folded in journal.backlog if folded.verb != "hook"]

    return mutant


def _begin_old_link(beginning: Any) -> Any:
    def mutant(effects: Effects, debt: Debt) -> Outgoing:
        if debt.owed.rests_until_us or debt.link is None:
            return beginning(effects, debt)  # type: ignore[no-any-return]
        return effects.tick(debt.key, debt.link.n - 1, wake=CONTINUED)

    return mutant


def _sweep_all_of_run(_of_link: Any) -> Any:
    async def mutant(taking_back: TakingBack, debt: Debt) -> list[_Doomed]:
        app, key = taking_back._app, debt.key
        return [
            _Doomed(app.work, app.work_of_run(key)),
            _Doomed(app.work, app.retry_of_run(key)),
            _Doomed(app.timers, app.timers_of_run(key)),
        ]

    return mutant


def _begin_twice(begin: Any) -> Any:
    def mutant(desk: Desk, *args: Any) -> None:
        begin(desk, *args)
        begin(desk, *args)

    return mutant


def _start_twice(start: Any) -> Any:
    def mutant(keeper: Any, planned: Any) -> None:
        start(keeper, planned)
        keeper._state.running.pop()
        start(keeper, planned)

    return mutant


def _ignore_pauses(follow: Any) -> Any:
    def mutant(keeper: Any, order: Any) -> None:
        if not isinstance(order.order, PauseOrder):
            follow(keeper, order)

    return mutant


def _join_again(arrive: Any) -> Any:
    def mutant(fold: GraphFold, join: str, ended: Any, scope: Scope) -> None:
        met = set(fold.state.fired)
        fold.state.fired.clear()
        arrive(fold, join, ended, scope)
        late = [key for key in met if key in fold.state.joins]
        for key in late:  # begins once more for who comes late
            instance = fold.state.joins.pop(key)
            fold._activate(join, instance.scope, instance.ancestry, tuple(instance.arrivals.values()))
        fold.state.fired |= met

    return mutant


def _last_to_arrive(_absorb: Any) -> Any:
    def mutant(scope: Scope, other: Scope) -> None:
        scope.values.update(other.values)
        scope.versions.update(other.versions)

    return mutant


def _decide_anew(moved: Any) -> Any:
    def mutant(run: GraphRun, event: Any) -> Any:
        recorded = run._execution.recorded_next()
        if not isinstance(recorded, Advance):
            return moved(run, event)
        # Under the code's definition, when the log was read: a clock of its own.
        now_us = run._execution.loop.now_us + 1_000_000
        moves, asks = run._interpreter.advance(event, now_us=now_us)
        run._unsaid = None
        run._execution.decide(recorded)
        return moves, asks, False

    return mutant


def _without_results(replay: Any) -> Any:
    def mutant(interpreter: Interpreter, event: Any, moves: Any) -> Any:
        asks = replay(interpreter, event, moves)
        interpreter.results.clear()
        return asks

    return mutant


def _nothing_met(packed: Any) -> Any:
    def mutant(*args: Any, **kwargs: Any) -> Any:
        return msgspec.structs.replace(packed(*args, **kwargs), fired=[])

    return mutant


def _all_are_last(activate: Any) -> Any:
    def mutant(fold: GraphFold, *args: Any) -> None:
        fails, fold._fails = fold._fails, True
        activate(fold, *args)
        fold._fails = fails

    return mutant


MUTANTS = [
    Mutant("messages are acked before the append", Turns, "_complete", _ack_before_append),
    Mutant("appends are not fenced", RunLog, "entry", _without_fence),
    Mutant("effects go out before the append", Turns, "_complete", _effects_before_append),
    Mutant("owed effects are not repeated", Effects, "carry_out", _skip_repeats),
    Mutant("folded deliveries are forgotten", Journal, "has_folded", _always(False)),
    Mutant("senders' ids are forgotten", Seen, "has_id", _always(False)),
    Mutant("timers fire early", Fold, "_advance", _timers_early),
    Mutant("work is acked before its result is stored", StepWorker, "_report", _ack_work_first),
    Mutant("verdicts are given without a look at the log", Appends, "_is_current", _always_async(True)),
    Mutant("nobody reads what the owner before had in hand", Partition, "_left", _no_takeover_read),
    Mutant("ticks do not wait for the mailbox", Partition, "_release_ticks", _ticks_not_held),
    Mutant("repeated effects do not look for what is under way", Effects, "_is_under_way", _always_async(False)),
    Mutant("a stranger's record is taken for the own one", RunLog, "_find", _any_record_is_ours),
    Mutant("half-appended decisions are not finished", Actor, "unfinished", lambda _: property(lambda _actor: None)),
    Mutant("parked runs are not tried again", Effects, "carry_out", _forget_park_timer),
    Mutant("retries have no end", RetryPolicy, "decide", _never_final),
    Mutant("hooks that a switch carries are dropped", Journal, "_follow_links", _drop_carried),
    Mutant("the tick that begins a link names the old one", Effects, "_beginning", _begin_old_link),
    Mutant("what earlier links have taken is forgotten", Seen, "pack", _always("")),
    Mutant("the end of a link takes the next one's work", TakingBack, "_of_link", _sweep_all_of_run),
    Mutant("updates are applied twice", Desk, "begin", _begin_twice),
    Mutant("answers are not recorded", Desk, "_answer", _always(None)),
    Mutant("a schedule starts a time twice", schedule_run._Keeper, "_start", _start_twice),
    Mutant("schedules do not look at what is under way", schedule_run, "admit", _always("start")),
    Mutant("schedules do not pause", schedule_run._Keeper, "_follow", _ignore_pauses),
    Mutant("a join begins again for who comes late", GraphFold, "_arrive", _join_again),
    Mutant("at a join the last to arrive overwrites", Scope, "absorb", _last_to_arrive),
    Mutant("a graph run goes on under today's definition", GraphRun, "_logged_definition", _always(None)),
    Mutant("moves are decided anew on replay", GraphRun, "_moved", _decide_anew),
    Mutant("results of items are forgotten on replay", Interpreter, "replay", _without_results),
    Mutant("a new link does not know which joins were met", graph_run, "packed", _nothing_met),
    Mutant("graphs that stop begin what was ready", GraphFold, "_activate", _all_are_last),
]
