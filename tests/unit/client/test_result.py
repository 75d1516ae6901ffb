"""How a run ends for who waits for it: the result, the exception, and when they come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jetrun.actors import call, workflow
from jetrun.actors.errors import (
    BadLog,
    ErrorInfo,
    MessageRefused,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunNotFound,
    RunTerminated,
)
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Hook, Ref, Start, encode_body
from jetrun.actors.records import Outcome
from support.client_rig import APP, KEY, ClientRig, on_twin


@dataclass
class Receipt:
    cents: Decimal
    at: datetime


@workflow
async def order(order_id: str) -> Receipt:
    raise NotImplementedError(order_id)


class OutOfStock(Exception):
    """As in a service that shares its exceptions with the workflow."""

    def __init__(self, item: str, left: int) -> None:
        super().__init__(item, left)


@on_twin
async def test_result_is_decoded_as_the_workflow_says(rig: ClientRig) -> None:
    """Callers get the types that the workflow returned, not bare JSON."""
    run = await rig.client.start(order.call("o-1"), run_id="o-1")
    await rig.end("o-1", result={"cents": "4.20", "at": "2027-01-02T03:04:05Z"})

    receipt = await run.result()

    assert receipt.cents == Decimal("4.20")
    assert receipt.at.year == 2027
    assert (await rig.client.get(order, "o-1").result()) == receipt
    assert (await rig.client.get("order/o-1").result())["cents"] == "4.20"


@on_twin
async def test_result_arrives_with_the_notice(rig: ClientRig) -> None:
    """A waiting caller knows of the end within the time that a message takes, without polling."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(3)

    before = rig.loop.time()
    await rig.end("o-1", result=1)

    assert await waiting == 1
    assert rig.loop.time() - before < 0.1


@on_twin
async def test_result_of_a_run_that_has_just_ended_returns_at_once(rig: ClientRig) -> None:
    """No race between asking and ending: the notice was sent before anybody listened."""
    run = await rig.started()
    await rig.end("o-1", result=1)

    before = rig.loop.time()
    assert await run.result() == 1
    assert rig.loop.time() - before < 0.1


@on_twin
async def test_result_arrives_without_any_notice(rig: ClientRig) -> None:
    """Notices may be lost: the log is read again every ten seconds."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)
    rig.drop_notices()

    before = rig.loop.time()
    await rig.end("o-1", result=1)

    assert await waiting == 1
    assert rig.loop.time() - before < 11.5


@on_twin
async def test_result_arrives_soon_after_a_reconnect(rig: ClientRig) -> None:
    """A run that ended while the connection was gone is found when it is back, not ten seconds later."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)
    await rig.end("o-1", result=1, notice=False)

    before = rig.loop.time()
    rig.server.restart(0.1)

    assert await waiting == 1
    assert rig.loop.time() - before < 3


@on_twin
async def test_result_survives_a_server_that_is_away_for_long(rig: ClientRig) -> None:
    """Who waits for a run that takes days does not have to handle a minute's outage."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)

    rig.server.restart(60.0)
    await asyncio.sleep(70)
    await rig.end("o-1", result=1)

    assert await waiting == 1


@on_twin
async def test_result_waits_for_a_replica_that_lags(rig: ClientRig) -> None:
    """A notice can overtake its record on the way to the replica that answers."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)

    before = rig.loop.time()
    rig.notice(status="completed")
    await asyncio.sleep(0.05)
    await rig.end("o-1", result=1, notice=False)

    assert await waiting == 1
    assert rig.loop.time() - before < 0.3


@on_twin
async def test_forged_notices_change_nothing(rig: ClientRig) -> None:
    """Values come from the log alone; a notice is no more than a hint."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)

    rig.notice(status="completed", result="forged")
    rig.worker.notify(APP.done(KEY), b"\xff")
    rig.worker.notify(APP.done(KEY), b"[]")
    await asyncio.sleep(5)
    assert not waiting.done()

    await rig.end("o-1", result="true")
    assert await waiting == "true"


@on_twin
async def test_many_results_share_one_subscription(rig: ClientRig) -> None:
    """A thousand waiting runs are one subscription, and each gets its own result."""
    listened: list[str] = []
    listen = rig.broker.listen

    async def counted(subject: str, *args: Any, **options: Any) -> Any:
        listened.append(subject)
        return await listen(subject, *args, **options)

    rig.broker.listen = counted  # type: ignore[method-assign]  # counts what the server would be told
    keys = [KEY._replace(run=f"r{index}") for index in range(1000)]
    runs = [await rig.client.start(call("order", key.run), run_id=key.run) for key in keys]
    results = asyncio.gather(*(run.result() for run in runs))
    await asyncio.sleep(1)

    for key in keys:
        await rig.end(key.run, key=key, result=key.run)

    assert await results == [key.run for key in keys]
    assert listened == ["wf.t.done.order.*"]


@on_twin
async def test_a_run_that_was_watched_from_its_start_is_read_once(rig: ClientRig) -> None:
    """Once a workflow is subscribed to, waiting for a new run costs one read: that of its end."""
    await rig.begin("o-0", key=KEY._replace(run="o-0"))
    other = asyncio.create_task(rig.client.get("order/o-0").result())
    await asyncio.sleep(1)
    run = await rig.started()
    reads = rig.count_reads()

    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)
    assert reads == []
    await rig.end("o-1", result=1)

    assert await waiting == 1
    assert reads == [APP.log_of(KEY)]
    other.cancel()


@on_twin
async def test_a_run_that_ended_between_start_and_result_is_not_missed(rig: ClientRig) -> None:
    """The notice that came before `result` was called is remembered for the handle."""
    await rig.begin("o-0", key=KEY._replace(run="o-0"))
    other = asyncio.create_task(rig.client.get("order/o-0").result())
    await asyncio.sleep(1)
    run = await rig.started()
    await rig.end("o-1", result=1)
    await asyncio.sleep(1)

    before = rig.loop.time()
    assert await run.result() == 1
    assert rig.loop.time() - before < 0.1
    other.cancel()


@on_twin
async def test_a_notice_missed_between_start_and_result_costs_no_wait(rig: ClientRig) -> None:
    """A reconnect voids what a subscription promised: the log is read first again."""
    await rig.begin("o-0", key=KEY._replace(run="o-0"))
    other = asyncio.create_task(rig.client.get("order/o-0").result())
    await asyncio.sleep(1)
    run = await rig.started()
    rig.server.stop()
    await asyncio.sleep(1)
    rig.server.start()
    await asyncio.sleep(5)
    await rig.end("o-1", result=1, notice=False)

    before = rig.loop.time()
    assert await run.result() == 1
    assert rig.loop.time() - before < 0.1
    other.cancel()


@on_twin
async def test_result_times_out_and_can_be_asked_again(rig: ClientRig) -> None:
    """A time limit ends the wait, not the run."""
    run = await rig.started()

    with pytest.raises(TimeoutError, match=r"run order/o-1 has not ended within 2\.5 s"):
        await run.result(timeout=2.5)

    await rig.end("o-1", result=1)
    assert await run.result(timeout=1) == 1


@on_twin
async def test_two_may_wait_for_the_same_run(rig: ClientRig) -> None:
    """Handles share what is heard of a run, and one that stops waiting takes nothing from the other."""
    run = await rig.started()
    await rig.begin("o-1")
    first = asyncio.create_task(run.result())
    second = asyncio.create_task(rig.client.get("order/o-1").result())
    third = asyncio.create_task(run.result())
    await asyncio.sleep(1)
    first.cancel()

    await rig.end("o-1", result=1)

    assert (await second, await third) == (1, 1)


@on_twin
async def test_a_failed_run_raises_what_the_workflow_raised(rig: ClientRig) -> None:
    """`except ValueError` works around a run as around a call, and the remote traceback is in the text."""
    run = await rig.started()
    await rig.fail(ErrorInfo(type="ValueError", message="no stock", traceback="File shop.py, line 7"))

    with pytest.raises(ValueError, match="no stock") as caught:
        await run.result()

    assert isinstance(caught.value, RunFailed)
    assert (caught.value.workflow, caught.value.run) == ("order", "o-1")
    assert caught.value.error.type == "ValueError"
    assert "File shop.py, line 7" in str(caught.value)


@on_twin
async def test_a_failure_of_an_own_class_is_of_that_class(rig: ClientRig) -> None:
    """Also where its constructor wants arguments that do not travel."""
    run = await rig.started()
    await rig.fail(ErrorInfo(type=f"{__name__}.OutOfStock", message="gone"))

    with pytest.raises(OutOfStock) as caught:
        await run.result()

    assert isinstance(caught.value, RunFailed)
    assert "OutOfStock: gone" in str(caught.value)


@pytest.mark.parametrize(
    "type_", ["shop.errors.NotHere", "OSError", "UnicodeDecodeError", "KeyError", "nonsense", "int"]
)
def test_any_failure_is_a_run_failed(type_: str) -> None:
    """Whatever class is named, known here or not, the caller can catch `RunFailed`."""

    @on_twin
    async def test(rig: ClientRig) -> None:
        run = await rig.started()
        await rig.fail(ErrorInfo(type=type_, message="m"))
        with pytest.raises(RunFailed, match=f"run order/o-1 failed: {type_}: m"):
            await run.result()

    test()


@on_twin
async def test_other_ends_have_errors_of_their_own(rig: ClientRig) -> None:
    """Cancelled, terminated and continued runs have no result."""
    for status, error in (("cancelled", RunCancelled), ("terminated", RunTerminated), ("continued", RunEnded)):
        key = KEY._replace(run=status)
        await rig.record(key, start=rig.mark(), outcome=Outcome(status=status, reason="by ann"))  # type: ignore[arg-type]  # a word of Status

        with pytest.raises(error, match="by ann"):
            await rig.client.get("order", status).result()


@on_twin
async def test_a_large_result_comes_from_the_object_store(rig: ClientRig) -> None:
    """A result of any allowed size arrives, and damage is noticed."""
    run = await rig.started()
    data = msgspec.json.encode("x" * VALUE_INLINE_BYTES_MAX)
    ref = await put(rig, data)
    await rig.record(start=rig.mark("o-1"), outcome=Outcome(status="completed", ref=ref))

    assert len(await run.result()) == VALUE_INLINE_BYTES_MAX

    await rig.worker.delete_objects(APP.values, "order/o-1/")
    await rig.worker.put_object(APP.values, f"order/o-1/{ref.sha256}", b"damaged")
    with pytest.raises(BadLog, match="damaged"):
        await run.result()
    await rig.worker.delete_objects(APP.values, "order/o-1/")
    with pytest.raises(BadLog, match="not in the object store"):
        await run.result()


async def put(rig: ClientRig, data: bytes) -> Ref:
    from hashlib import sha256

    ref = Ref(sha256=sha256(data).hexdigest(), size=len(data))
    await rig.worker.put_object(APP.values, f"order/o-1/{ref.sha256}", data)
    return ref


@on_twin
async def test_a_refused_start_is_raised_by_the_result(rig: ClientRig) -> None:
    """A start that can never be applied does not leave its caller waiting."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)
    (start,) = await rig.starts()

    await rig.bury(encode_body(start), reason="argument 'order_id' is missing")

    with pytest.raises(MessageRefused, match="argument 'order_id' is missing"):
        await waiting


@on_twin
async def test_another_message_among_the_dead_is_not_our_start(rig: ClientRig) -> None:
    """Only the start that this handle stands for concerns it."""
    run = await rig.started()
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)

    await rig.bury(encode_body(Start(id="other")))
    await rig.bury(encode_body(Hook(id="hook")))
    await asyncio.sleep(15)

    assert not waiting.done()
    waiting.cancel()


@on_twin
async def test_a_run_that_does_not_exist_is_not_waited_for(rig: ClientRig) -> None:
    """A mistyped id is an error, not an endless wait; messages that wait for a start do not make a run."""
    with pytest.raises(RunNotFound, match="no run order/o-2 in app 't'"):
        await rig.client.get("order/o-2").result()

    await rig.record(undecided=True)
    with pytest.raises(RunNotFound, match="only messages that wait for its start"):
        await rig.client.get("order/o-1").result()
