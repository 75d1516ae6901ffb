"""Bounds: what a run may have, and what becomes of it beyond that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetrun.actors import hook, sleep, step, workflow
from jetrun.actors.limits import HOOKS_KEPT_MAX, TURN_BYTES_MAX, TURN_MESSAGES_MAX
from support.log_rig import LogRig, hook_body, result_body


@step
async def work(x: int) -> int:
    raise AssertionError


@workflow
async def counting() -> None:
    while True:
        await hook("go")


@workflow
async def greedy(width: int) -> list[str]:
    found = await asyncio.gather(
        *(work(n) for n in range(width)),
        *(sleep(60) for _ in range(width)),
        *(hook("go") for _ in range(width)),
        return_exceptions=True,
    )
    return [str(error) for error in found if isinstance(error, Exception)]


def test_turn_takes_so_many_messages() -> None:
    """Then other runs have theirs (R3)."""
    rig = LogRig(counting, check=False)
    rig.start()
    messages = [rig.message(hook_body(n), "go") for n in range(TURN_MESSAGES_MAX + 5)]

    decision = rig.fold(*messages)

    assert (len(decision.folded), len(decision.rest)) == (TURN_MESSAGES_MAX, 5)
    assert decision.rest == messages[-5:]


def test_turn_takes_so_many_bytes() -> None:
    rig = LogRig(counting, check=False)
    rig.start()
    messages = [rig.message(hook_body("x" * 150_000), "go") for _ in range(6)]

    decision = rig.fold(*messages)

    assert len(decision.folded) == TURN_BYTES_MAX // 150_000
    assert len(decision.records) == 1
    assert len(decision.rest) == 6 - len(decision.folded)


def test_run_that_never_ends_ends_with_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "records_max", 5)
    rig = LogRig(counting)
    rig.start()
    for _ in range(4):
        rig.hook("go")

    assert (rig.status, rig.error.code, rig.last.k) == ("failed", "run_too_long", 5)


@pytest.mark.parametrize("is_paused", [True, False])
def test_run_that_only_keeps_messages_ends_too(is_paused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paused or parked it would grow for ever; what waits is refused."""
    monkeypatch.setattr("jetrun.actors.actor.RECORDS_MAX", 6)
    monkeypatch.setattr(counting, "records_max", 6)
    rig = LogRig(counting)
    rig.start()
    if is_paused:
        rig.pause()
    else:
        rig.deploy(None)
    for n in range(5 - is_paused):
        rig.hook("go", n)

    assert (rig.status, rig.error.code, rig.last.k) == ("failed", "run_too_long", 6)
    assert [one.code for one in rig.last.refused] == ["ended"] * (5 - is_paused)


def test_open_commands_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, timers and hooks: each costs memory for as long as it is open."""
    monkeypatch.setattr("jetrun.actors.execution.COMMANDS_OPEN_MAX", 7)
    rig = LogRig(greedy)
    rig.start(5)
    for n in range(1, 6):
        rig.step(n, n)
    rig.tick(61)

    assert rig.result == ["7 commands are open; wait for some before asking for more"] * 8


def test_messages_that_wait_for_a_start_are_bounded() -> None:
    """Anybody may send them, to any run id (`full`)."""
    rig = LogRig(counting, check=False)
    rig.hook("go")
    rig.actor.journal.backlog *= HOOKS_KEPT_MAX

    (hook_verdict,) = rig.hook("go").verdicts
    (cancel_verdict,) = rig.cancel().verdicts

    assert (hook_verdict.code, cancel_verdict.code) == ("full", "full")
    assert str(HOOKS_KEPT_MAX) in hook_verdict.reason


def test_ten_thousand_results_are_folded_in_turns() -> None:
    @workflow
    async def wide(width: int) -> int:
        return sum(await asyncio.gather(*(work(n) for n in range(width))))

    rig = LogRig(wide, check=False)
    rig.start(2_000)
    results: list[Any] = [rig.message(result_body(n, 1)) for n in range(1, 2_001)]

    rig.feed(*results)

    assert rig.result == 2_000
    assert len([record for record in rig.records if record.messages]) == 5


def test_newest_ids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many per run, also by whoever reads the log anew (R5)."""
    monkeypatch.setattr("jetrun.actors.seen.MESSAGE_IDS_MAX", 3)
    rig = LogRig(counting)
    rig.start()
    for name in ("a", "b", "c", "d"):
        rig.hook("go", message_id=name)

    for _ in range(2):
        assert [bool(rig.fold(rig.message(hook_body(message_id=n), "go")).verdicts) for n in "bcd"] == [True] * 3
        rig.load()
    rig.hook("go", message_id="a")
    assert rig.last.messages[0].seq == 12
