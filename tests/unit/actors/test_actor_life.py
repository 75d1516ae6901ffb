"""The life of a run: from its start to its terminal record, and what comes after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from jetrun.actors import info, sleep, step, workflow
from jetrun.actors.commands import RunStep, StartTimer
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Ref, Start
from jetrun.actors.names import RunKey
from jetrun.actors.records import StartMark, start_hash
from support.log_rig import SECOND, START_US, LogRig, result_body, start_body


@dataclass
class Order:
    id: str
    price: Decimal
    tags: set[str]


@step(queue="stock", timeout="30s")
async def reserve(order: Order, *, count: int = 1) -> Order:
    raise AssertionError


@step
async def double(x: int) -> int:
    raise AssertionError


@step
async def anything(value: Any) -> Any:
    raise AssertionError


@workflow
async def order_flow(order: Order) -> Decimal:
    kept = await reserve(order, count=2)
    await sleep("1m")
    return kept.price


@workflow
async def adding(x: int, y: int = 1) -> int:
    return await double(x) + await double(y)


@workflow
async def mutable(values: list[int]) -> list[Any]:
    asked = asyncio.ensure_future(anything(values))
    await asyncio.sleep(0)
    values.append(99)
    first = await asked
    first.append("mine")
    second = await anything(first)
    return [values, first, second]


@workflow
async def big(text: str) -> Any:
    return await anything(text * 10)


@workflow
async def nothing() -> None:
    return None


@workflow
async def broken() -> Any:
    return object()


ARGS = {"id": "o-1", "price": "9.90", "tags": ["a"]}


def test_run_goes_from_start_to_end() -> None:
    """Decision before effect: each record says what is to be done, its result comes with a later message (P2, P5)."""
    rig = LogRig(order_flow)

    rig.start(ARGS, at_s=0)
    assert [(c.name, c.queue, c.timeout_us) for c in rig.owed.steps] == [("reserve", "stock", 30 * SECOND)]
    rig.step(1, ARGS, at_s=2)
    assert rig.owed.timers == [("2", START_US + 62 * SECOND)]
    rig.tick(62.01, n=2)

    assert rig.result == "9.90"
    assert [record.k for record in rig.records] == [1, 2, 3]
    assert [record.fired for record in rig.records] == [[], [], [2]]
    assert rig.owed.outcome is not None
    assert rig.actor.journal.has_ended


def test_log_chains_and_says_who_decided() -> None:
    rig = LogRig(adding)
    rig.start(1)
    rig.step(1, 2)
    first, second = rig.records

    assert (first.prev, first.k, second.k) == ("", 1, 2)
    assert len(second.prev) == 32
    assert {first.by, second.by} == {"w.1"}
    assert first.code == adding.code_hash
    assert first.start == second.start == StartMark(id="", hash=start_hash(b"[1]", None))


def test_summary_answers_for_the_run() -> None:
    """The last record alone is what `status` and `list` read."""
    rig = LogRig(order_flow)
    rig.start(ARGS, at_s=0)

    assert rig.status == "running"
    assert (rig.summary.started_at_us, rig.summary.commands, rig.summary.steps_open) == (START_US, 1, 1)
    rig.fail(1, attempt=1, at_s=1)
    assert rig.summary.failures == 1
    rig.step(1, ARGS, attempt=2, at_s=2)
    assert (rig.summary.commands, rig.summary.steps_open, rig.summary.timers_open) == (2, 0, 1)
    rig.tick(62, n=2)
    assert rig.status == "completed"
    assert (rig.summary.ended_at_us, rig.summary.timers_open) == (START_US + 62 * SECOND, 0)


def test_arguments_that_do_not_fit_are_a_verdict_on_the_message() -> None:
    """No run begins; the sender finds the parameter's name among the dead letters."""
    rig = LogRig(adding)

    (verdict,) = rig.start("one").verdicts

    assert (verdict.code, rig.log) == ("args", [])
    assert "argument 'x' of workflow adding: expected int, got str" in verdict.reason


def test_same_start_again_is_the_same_run() -> None:
    """However it is written, and whatever its id: the caller gets the run that is there (R15)."""
    rig = LogRig(adding)
    rig.start(1)

    for body in (
        start_body(1),
        start_body(1, message_id="x"),
        Start(args=msgspec.Raw(b" [ 1 ] "), kwargs=msgspec.Raw(b"{}")),
    ):
        (verdict,) = rig.feed(rig.message(body)).verdicts
        assert (verdict.code, verdict.is_repeat) == ("", False)

    assert len(rig.log) == 1


def test_start_with_other_arguments_is_refused() -> None:
    rig = LogRig(adding)
    rig.start(1)

    codes = [
        verdict.code for body in (start_body(2), start_body(1, y=1)) for verdict in rig.feed(rig.message(body)).verdicts
    ]

    assert codes == ["exists", "exists"]


def test_two_starts_in_one_turn_begin_one_run() -> None:
    rig = LogRig(adding)

    decision = rig.feed(rig.message(start_body(1)), rig.message(start_body(2)), rig.message(start_body(1)))

    assert [message.seq for message in decision.folded] == [1]
    assert [(verdict.message.seq, verdict.code) for verdict in decision.verdicts] == [(2, "exists"), (3, "")]


def test_redelivery_is_recognised() -> None:
    """By stream, sequence and time: whatever the cause, nothing is decided twice (R5)."""
    rig = LogRig(adding)
    start, result = rig.message(start_body(1)), rig.message(result_body(1, 5))
    rig.feed(start)
    rig.feed(result)

    for message in (start, result):
        (verdict,) = rig.feed(message).verdicts
        assert verdict.is_repeat

    assert len(rig.log) == 2


def test_late_result_is_acked_without_a_record() -> None:
    """The first success of any attempt wins, what comes after it is late (I15)."""
    rig = LogRig(adding)
    rig.start(1)
    rig.step(1, 2)

    (verdict,) = rig.step(1, 3).verdicts

    assert verdict.code == ""
    rig.step(2, 2)
    assert rig.result == 4


def test_result_that_does_not_fit_the_steps_type_fails_the_call() -> None:
    """A deploy may change what a step returns; the workflow sees a failed step, not a wrong value."""
    rig = LogRig(adding)
    rig.start(1)

    rig.step(1, "two")

    assert (rig.status, rig.error.type) == ("failed", "jetrun.actors.errors.StepFailed")
    assert "expected int, got str" in rig.error.message


def test_ended_run_takes_no_more_hooks() -> None:
    rig = LogRig(nothing)
    rig.start()

    verdicts = [
        *rig.hook("any").verdicts,
        *rig.step(1).verdicts,
        *rig.cancel().verdicts,
        *rig.pause().verdicts,
        *rig.resume().verdicts,
        *rig.terminate().verdicts,
        *rig.tick(9).verdicts,
        *rig.start().verdicts,
    ]

    assert [verdict.code for verdict in verdicts] == ["ended", "", "", "", "", "", "", ""]
    assert len(rig.log) == 1


def test_result_that_has_no_json_fails_the_run() -> None:
    rig = LogRig(broken)

    rig.start()

    assert (rig.error.type, rig.error.code) == ("InvalidValue", "invalid_result")


def test_code_never_shares_objects_with_the_log() -> None:
    """What workflow code changes after a call, or in a result, is its own: replay would not see it (R13)."""
    rig = LogRig(mutable)
    rig.start([1])
    rig.step(1, ["a"])
    rig.step(2, ["b"])

    asked = [bytes(c.args) for record in rig.records for c in record.commands if isinstance(c, RunStep)]
    assert asked == [b"[[1]]", b'[["a","mine"]]']
    assert rig.result == [[1, 99], ["a", "mine"], ["b"]]


def test_large_arguments_and_results_travel_by_reference() -> None:
    """A record holds the hash, the object store the value (R10)."""
    rig = LogRig(big)
    text = "x" * (VALUE_INLINE_BYTES_MAX // 10 + 1)

    decision = rig.start(text)

    ((digest, data),) = decision.uploads.items()
    (command,) = rig.owed.steps
    assert command.ref == Ref(sha256=digest, size=len(data))
    assert (bytes(command.args), command.kwargs) == (b"[]", None)
    assert sha256(data).hexdigest() == digest
    assert msgspec.json.decode(data) == {"args": [text * 10], "kwargs": None}

    result = msgspec.json.encode("y" * VALUE_INLINE_BYTES_MAX)
    ref = Ref(sha256=sha256(result).hexdigest(), size=len(result))
    rig.objects[ref.sha256] = result
    ended = rig.feed(rig.message(result_body(1, ref)))
    assert rig.last.outcome is not None
    assert rig.last.outcome.ref == ref
    assert ended.uploads == {ref.sha256: result}
    assert rig.actor.refs() == set()


def test_large_start_is_read_from_the_store() -> None:
    rig = LogRig(big)
    data = b'{"args":["abc"],"kwargs":null}'
    ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
    rig.objects[ref.sha256] = data

    rig.feed(rig.message(Start(ref=ref)))

    assert bytes(rig.owed.steps[0].args) == b'["' + b"abc" * 10 + b'"]'
    assert rig.new_actor(rig.log).refs() == {ref.sha256}


def test_parallel_calls_are_numbered_in_the_order_of_asking() -> None:
    @workflow
    async def both() -> None:
        await asyncio.gather(double(1), sleep(5), double(2))

    rig = LogRig(both)
    rig.start()

    assert [(type(c), c.n) for c in rig.last.commands] == [(RunStep, 1), (StartTimer, 2), (RunStep, 3)]


def test_run_knows_itself() -> None:
    @workflow
    async def about() -> list[str]:
        me = info()
        return [me.app, me.workflow, me.run_id, me.started_at.isoformat(), me.code]

    rig = LogRig(about, run="r-9")
    rig.start(at_s=0)

    assert rig.result == ["app", "about", "r-9", "2027-01-15T08:00:00+00:00", about.code_hash]
    assert rig.key == RunKey("about", "r-9")


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_whatever_code_raises_ends_the_run_and_nothing_else(error: BaseException) -> None:
    @workflow
    async def raising() -> None:
        raise error

    rig = LogRig(raising)
    rig.start()

    assert rig.status == "failed"
    assert rig.error.type.endswith(type(error).__name__)
