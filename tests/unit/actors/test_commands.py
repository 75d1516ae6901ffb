"""Commands: when two are the same decision, and how a person reads them."""

from __future__ import annotations

import msgspec
import pytest

from jetrun.actors.commands import Close, Command, OpenHook, RunStep, StartTimer, describe, input_hash, signature
from jetrun.actors.messages import Ref

STEP = RunStep(n=1, name="charge", queue="default", args=msgspec.Raw(b"[100]"), hash="h1")
TIMER = StartTimer(n=1, due_at_us=5)
HOOK = OpenHook(n=1, name="go", type="int")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STEP, msgspec.structs.replace(STEP, queue="cards", timeout_us=9, recoveries_max=1)),
        (HOOK, msgspec.structs.replace(HOOK, type="str")),
    ],
)
def test_what_may_change_while_runs_are_under_way(one: Command, other: Command) -> None:
    assert signature(one) == signature(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STEP, msgspec.structs.replace(STEP, name="refund")),
        (STEP, msgspec.structs.replace(STEP, hash="h2")),
        (TIMER, msgspec.structs.replace(TIMER, due_at_us=6)),
        (TIMER, msgspec.structs.replace(TIMER, what="hook")),
        (HOOK, msgspec.structs.replace(HOOK, name="stop")),
        (Close(n=1, target=2), Close(n=1, target=3)),
        (STEP, TIMER),
        (TIMER, HOOK),
    ],
)
def test_what_makes_another_decision(one: Command, other: Command) -> None:
    assert signature(one) != signature(other)


def test_commands_are_described_in_a_few_words() -> None:
    large = RunStep(n=1, name="charge", queue="q", ref=Ref(sha256="ab" * 32, size=9), hash="h")

    assert describe(None) == "nothing"
    assert describe(STEP) == "step 'charge' on queue 'default' with [100]"
    assert describe(large) == "step 'charge' on queue 'q' with abababababab"
    assert describe(TIMER) == "timer (sleep) due at 5 us"
    assert describe(HOOK) == "hook 'go'"
    assert describe(Close(n=2, target=1)) == "close of command 1"


def test_long_arguments_are_cut() -> None:
    step = msgspec.structs.replace(STEP, args=msgspec.Raw(b'["' + "ä".encode() * 10_000 + b'"]'))

    assert len(describe(step)) < 300


def test_hash_keeps_its_parts_apart() -> None:
    assert input_hash(b"ab", b"c") != input_hash(b"a", b"bc")
    assert len(input_hash(b"")) == 16
