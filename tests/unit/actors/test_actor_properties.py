"""What holds for every shape of workflow, whatever the order, the grouping and the crashes (I2, I5, I6, R12, P8)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetrun.actors.decision import Owed
from jetrun.actors.records import Record, encode_record
from support.log_rig import LogRig, messages_of
from support.player import CALM, Player, Trouble, check_live, check_prefixes, check_time, regrouped
from support.workflow_shapes import SHAPES, Shape

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
shapes = st.sampled_from(SHAPES)
seeds = st.integers(0, 2**32)
troubles = st.builds(
    Trouble,
    group_max=st.integers(1, 8),
    twice=st.sampled_from([0.0, 0.3]),
    shuffle=st.sampled_from([0.0, 0.5]),
    crash=st.sampled_from([0.0, 0.3]),
    late_us=st.sampled_from([0, 50_000, 3_600_000_000]),
    evict=st.booleans(),
    lost_code=st.sampled_from([0.0, 0.2]),
)


def essence(rig: LogRig) -> tuple[object, ...]:
    """What a run came to, however its messages were grouped."""
    records = rig.records
    retries = [msgspec.json.encode(retry) for record in records for retry in record.retries]
    fired = [n for record in records for n in record.fired]
    return (
        rig.commands(),
        fired,
        retries,
        rig.dead,
        outcome_of(rig),
        msgspec.structs.replace(rig.summary, ended_at_us=0),
    )


def outcome_of(rig: LogRig) -> bytes:
    outcome = rig.last.outcome
    assert outcome is not None
    return msgspec.json.encode(outcome)


def essence_of(owed: Owed) -> tuple[object, ...]:
    refused = [(verdict.message.seq, verdict.code) for verdict in owed.refused]
    if owed.outcome is not None:
        return True, refused  # what an ended run has left is purged by one wildcard
    return (
        [command.n for command in owed.steps],
        [(command.n, retry) for command, retry in owed.retries],
        owed.timers,
        sorted(owed.closed_timers),
        sorted(command.n for command in owed.closed_steps),
        refused,
    )


@every_shape
def test_every_prefix_of_a_log_leads_to_the_next_decision(shape: Shape) -> None:
    """A worker that takes over anywhere decides byte for byte as the one before it would have (I6)."""
    rig = Player(shape, check=True).play()

    check_prefixes(rig)
    check_live(rig)
    check_time(rig)
    numbers = [command.n for record in rig.records for command in record.commands]
    assert numbers == list(range(1, len(numbers) + 1))


@given(shape=shapes, seed=seeds, trouble=troubles)
def test_whatever_happens_runs_end_and_their_logs_replay(shape: Shape, seed: int, trouble: Trouble) -> None:
    """Doubles, disorder, crashes, eviction and hours of delay change when something is decided, never that it fits."""
    rig = Player(shape, seed, trouble).play()

    check_prefixes(rig)
    check_time(rig)
    terminal = [record.k for record in rig.records if record.outcome is not None]
    assert terminal == [rig.last.k]
    taken = [(message.source, message.seq) for message in messages_of(rig.records)]
    assert len(set(taken)) == len(taken)


@given(shape=shapes, seed=seeds, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_how_messages_are_grouped_never_matters(shape: Shape, seed: int, sizes: list[int]) -> None:
    """fold(a, b) is fold(a) and then fold(b) (R12)."""
    player = Player(shape, seed)
    single = player.play()

    grouped = regrouped(player, itertools.cycle(sizes))

    assert essence(grouped) == essence(single)
    check_prefixes(grouped)


@given(shape=shapes, seed=seeds, evict=st.booleans())
def test_a_crash_changes_nothing_that_is_decided(shape: Shape, seed: int, evict: bool) -> None:
    """Before the append the same messages lead to the same record; after it the successor owes the same."""
    calm = Player(shape, seed)
    rig = calm.play()

    crashing = LogRig(shape.workflow, run=rig.key.run, evict=evict, check=False)
    crashing.objects = dict(rig.objects)
    debts = iter(calm.debts)
    for message in calm.delivered:
        left = [message]
        while left:
            decision = crashing.fold(*left)
            crashing.load()
            again = crashing.fold(*left)
            assert [anonymous(part) for part in again.parts] == [anonymous(part) for part in decision.parts]
            crashing.store(again)
            if again.records:
                crashing.load()
                assert essence_of(crashing.owed) == essence_of(next(debts))
            left = again.rest

    assert crashing.commands() == rig.commands()
    assert outcome_of(crashing) == outcome_of(rig)


def anonymous(record: Record) -> bytes:
    return encode_record(msgspec.structs.replace(record, nonce=""))


@every_shape
def test_worker_without_the_code_owes_the_same(shape: Shape) -> None:
    """What a decision asks for is in the log; only the limit of the whole run, and missing parts, need the code."""
    rig = Player(shape).play()
    for index in range(1, len(rig.log)):
        with_code = LogRig(shape.workflow, run=rig.key.run, check=False)
        without = LogRig(None, name=rig.key.workflow, run=rig.key.run, check=False)
        for one in (with_code, without):
            one.objects = rig.objects
            one.log = rig.log[:index]
            one.load()
        expected = msgspec.structs.replace(
            with_code.owed, timers=[timer for timer in with_code.owed.timers if timer[0] != "max"]
        )
        assert essence_of(without.owed) == essence_of(expected)
        with_code.actor.close()


@every_shape
def test_eviction_after_every_turn_changes_nothing(shape: Shape) -> None:
    """A cached actor is a convenience: the log alone is the run."""
    hot = Player(shape, 3).play()
    cold = Player(shape, 3, replace(CALM, evict=True)).play()

    assert cold.log == hot.log


def test_seeds_vary_what_happens() -> None:
    """Otherwise the tests above would test one order only."""
    shape = next(shape for shape in SHAPES if shape.name == "assembly")

    assert len({bytes(Player(shape, seed).play().log[-1][0]) for seed in range(5)}) > 1
    assert Random(1).random() != Random(2).random()
