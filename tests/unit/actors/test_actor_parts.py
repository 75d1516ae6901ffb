"""Decisions larger than a record: cut into parts, and finished by whoever comes after a crash (R10)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from jetrun.actors import StepFailed, hook, step, workflow
from jetrun.actors.errors import ErrorInfo
from jetrun.actors.limits import RECORD_BYTES_MAX
from jetrun.actors.parts import joined, missing, split
from jetrun.actors.records import Record, Refused, Summary
from support.log_rig import LogRig, hook_body, result_body, start_body, state_of


@step(max_retries=1)
async def work(text: str) -> int:
    raise AssertionError


@workflow(name="wide")
async def wide(width: int) -> int:
    results = await asyncio.gather(*(work("x" * 10_000 + str(n)) for n in range(width)), return_exceptions=True)
    return sum(1 for result in results if not isinstance(result, StepFailed))


@workflow(name="wide")
async def smaller(width: int) -> int:
    return len(await asyncio.gather(*(work(str(n)) for n in range(width))))


@workflow
async def collector() -> int:
    return sum([await hook("number", int) for _ in range(3)])


def test_wide_fan_out_is_cut_into_parts() -> None:
    rig = LogRig(wide)

    decision = rig.start(500)

    assert len(decision.parts) == 10
    assert all(len(raw) <= RECORD_BYTES_MAX for raw in decision.records)
    assert [part.more for part in decision.parts] == [True] * 9 + [False]
    assert [bool(part.messages) for part in decision.parts] == [True] + [False] * 9
    assert len(rig.owed.steps) == 500
    assert [c.n for part in decision.parts for c in part.commands] == list(range(1, 501))


@pytest.mark.parametrize("stored", [1, 4, 9])
def test_successor_derives_the_parts_that_are_missing(stored: int) -> None:
    """Deciding is pure: what a crash cut off is decided again, byte for byte, and all of it is owed."""
    whole = LogRig(wide)
    whole.start(500)
    rig = LogRig(wide, check=False)
    decision = rig.fold(rig.message(start_body(500)))

    rig.store(decision, parts=stored)

    assert rig.commands() == whole.commands()
    assert len(rig.owed.steps) == 500
    assert rig.actor.unfinished is None
    assert state_of(rig.actor)[2] == state_of(whole.actor)[2]
    for n in range(1, 501):
        rig.step(n, n)
    assert rig.result == 500


def test_run_parked_between_two_parts_is_finished_before_it_goes_on() -> None:
    """The messages kept since then belong to the next decision, not to the half one."""
    rig = LogRig(wide, check=False)
    decision = rig.fold(rig.message(start_body(500)))
    rig.workflow = smaller
    rig.objects |= decision.uploads
    rig.log.append((decision.records[0], 7))
    rig.load()
    rig.step(1, 1)
    rig.hook("stray", 5)
    assert rig.status == "parked"
    assert [record.undecided for record in rig.records] == [False, True, True]

    rig.deploy(wide)
    rig.tick(600, wake="parked")

    assert rig.status == "running"
    assert len(rig.commands()) == 500
    assert len(rig.actor._execution.steps if rig.actor._execution else {}) == 499
    for n in range(2, 501):
        rig.step(n, n)
    assert rig.result == 500
    assert [(one.seq, one.code) for record in rig.records for one in record.refused] == [(3, "ended")]


def test_thousands_of_refusals_fit_into_records() -> None:
    """A parked run may have kept thousands of payloads that do not fit; one record could not say so."""
    rig = LogRig(collector, check=False)
    rig.start()
    rig.deploy(None)
    rig.feed(*(rig.message(hook_body("no number " + "y" * 60), "number") for _ in range(6_000)))
    rig.workflow = collector
    rig.load()

    decision = rig.tick(600, wake="parked")

    assert len(decision.parts) > 1
    assert all(len(raw) <= RECORD_BYTES_MAX for raw in decision.records)
    assert sum(len(part.refused) for part in decision.parts) == 6_000
    assert len(rig.owed.refused) == 6_000
    rig.check()


@pytest.mark.parametrize("stored", [1, 2])
def test_retries_that_a_crash_cut_off_are_decided_again(stored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt without its retry in the log was not final: the rest of the decision is still to be made."""
    whole = _failed_all(monkeypatch)
    rig = _failed_all(monkeypatch, parts=stored)

    retries = [[msgspec.json.encode(one) for record in r.records for one in record.retries] for r in (rig, whole)]
    assert retries[0] == retries[1]
    assert len(retries[0]) == 40
    assert len(rig.owed.retries) == 40
    assert len(whole.records) > 3


def _failed_all(monkeypatch: pytest.MonkeyPatch, parts: int | None = None) -> LogRig:
    rig = LogRig(wide, check=False)
    rig.start(40)
    with monkeypatch.context() as patch:
        patch.setattr("jetrun.actors.parts.RECORD_BYTES_MAX", 1_500)
        failures = [rig.message(result_body(n, ErrorInfo(type="OSError", message="no"))) for n in range(1, 41)]
        rig.store(rig.fold(*failures), parts=parts)
    return rig


def test_parts_join_to_what_was_cut() -> None:
    record = Record(
        v=1,
        k=5,
        prev="p",
        nonce="n",
        by="w",
        at_us=1,
        fired=list(range(50_000)),
        refused=[Refused(source="m", seq=seq, code="payload", reason="r" * 100) for seq in range(5_000)],
        summary=Summary(status="running"),
    )

    parts, _ = split(record)
    ((whole, is_open),) = joined(parts)
    ((found, is_cut),) = joined(parts[:2])

    assert len(parts) == 3
    assert not is_open
    assert (whole.fired, whole.refused, whole.more) == (record.fired, record.refused, False)
    assert is_cut
    rest = missing(record, found)
    assert [*found.refused, *rest.refused] == record.refused
    assert [*found.fired, *rest.fired] == record.fired
