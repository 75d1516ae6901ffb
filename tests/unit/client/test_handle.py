"""One run, seen and steered from outside."""

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
    InvalidName,
    InvalidValue,
    MessageRefused,
    RunCancelled,
    RunEnded,
    RunFailed,
    RunNotFound,
    RunTerminated,
)
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Cancel, Hook, Pause, Ref, Resume, Start, encode_body
from jetrun.actors.records import OpenWait, Outcome, Parked, Summary
from jetrun.client import RunHandle
from support.client_rig import APP, KEY, ClientRig, on_twin

ORDER = call("order", "o-1")


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


async def started(rig: ClientRig) -> RunHandle[Any]:
    return await rig.client.start(ORDER, run_id="o-1")


# --- result --------------------------------------------------------------------------------------


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
    run = await started(rig)
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(3)

    before = rig.loop.time()
    await rig.end("o-1", result=1)

    assert await waiting == 1
    assert rig.loop.time() - before < 0.1


@on_twin
async def test_result_of_a_run_that_has_just_ended_returns_at_once(rig: ClientRig) -> None:
    """No race between asking and ending: the notice was sent before anybody listened."""
    run = await started(rig)
    await rig.end("o-1", result=1)

    before = rig.loop.time()
    assert await run.result() == 1
    assert rig.loop.time() - before < 0.1


@on_twin
async def test_result_arrives_without_any_notice(rig: ClientRig) -> None:
    """Notices may be lost: the log is read again every ten seconds."""
    run = await started(rig)
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
    run = await started(rig)
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
    run = await started(rig)
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)

    rig.server.restart(60.0)
    await asyncio.sleep(70)
    await rig.end("o-1", result=1)

    assert await waiting == 1


@on_twin
async def test_result_waits_for_a_replica_that_lags(rig: ClientRig) -> None:
    """A notice can overtake its record on the way to the replica that answers."""
    run = await started(rig)
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
    run = await started(rig)
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
    run = await started(rig)
    reads = count_reads(rig)

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
    run = await started(rig)
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
    run = await started(rig)
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
    run = await started(rig)

    with pytest.raises(TimeoutError, match=r"run order/o-1 has not ended within 2\.5 s"):
        await run.result(timeout=2.5)

    await rig.end("o-1", result=1)
    assert await run.result(timeout=1) == 1


@on_twin
async def test_two_may_wait_for_the_same_run(rig: ClientRig) -> None:
    """Handles share what is heard of a run, and one that stops waiting takes nothing from the other."""
    run = await started(rig)
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
    run = await started(rig)
    await fail(rig, ErrorInfo(type="ValueError", message="no stock", traceback="File shop.py, line 7"))

    with pytest.raises(ValueError, match="no stock") as caught:
        await run.result()

    assert isinstance(caught.value, RunFailed)
    assert (caught.value.workflow, caught.value.run) == ("order", "o-1")
    assert caught.value.error.type == "ValueError"
    assert "File shop.py, line 7" in str(caught.value)


@on_twin
async def test_a_failure_of_an_own_class_is_of_that_class(rig: ClientRig) -> None:
    """Also where its constructor wants arguments that do not travel."""
    run = await started(rig)
    await fail(rig, ErrorInfo(type=f"{__name__}.OutOfStock", message="gone"))

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
        run = await started(rig)
        await fail(rig, ErrorInfo(type=type_, message="m"))
        with pytest.raises(RunFailed, match=f"run order/o-1 failed: {type_}: m"):
            await run.result()

    test()


async def fail(rig: ClientRig, error: ErrorInfo) -> None:
    await rig.record(start=rig.mark("o-1"), outcome=Outcome(status="failed", error=error))


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
    run = await started(rig)
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
    run = await started(rig)
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)
    (start,) = await rig.starts()

    await rig.bury(encode_body(start), reason="argument 'order_id' is missing")

    with pytest.raises(MessageRefused, match="argument 'order_id' is missing"):
        await waiting


@on_twin
async def test_another_message_among_the_dead_is_not_our_start(rig: ClientRig) -> None:
    """Only the start that this handle stands for concerns it."""
    run = await started(rig)
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


# --- status, log, tail ---------------------------------------------------------------------------------


@on_twin
async def test_status_comes_from_the_last_record(rig: ClientRig) -> None:
    """One read tells where a run stands."""
    run = await started(rig)
    assert ((await run.status()).status, (await run.status()).records) == ("running", 0)

    summary = Summary(status="parked", started_at_us=7, commands=3, hooks_open=[OpenWait(n=3, name="ok")], failures=2)
    parked = Parked(code="mismatch", reason="why", tries=1, retry_at_us=9)
    await rig.record(start=rig.mark("o-1"), summary=summary, parked=parked)

    status = await run.status()
    assert (status.status, status.is_ended, status.records, status.commands, status.failures) == (
        "parked",
        False,
        1,
        3,
        2,
    )
    assert (status.hooks_open[0].name, status.parked, status.started_at_us) == ("ok", parked, 7)

    await fail(rig, ErrorInfo(type="ValueError"))
    status = await run.status()
    assert (status.is_ended, status.ended_at_us) == (True, 2)
    assert status.error == ErrorInfo(type="ValueError")


@on_twin
async def test_log_and_events_are_whole_and_in_order(rig: ClientRig) -> None:
    """What does not chain was not written by an actor worker, and is passed over."""
    run = await started(rig)
    first = await rig.begin("o-1")
    await rig.append_strange(b"not a record")
    second = await rig.record()
    await rig.append_strange_record()
    third = await rig.end("o-1")

    assert await run.log() == [first, second, third]
    assert [event.kind for event in await run.events()][-1] == "run.completed"


@on_twin
async def test_the_log_of_a_purged_run_is_its_last_record(rig: ClientRig) -> None:
    """After retention the terminal record still answers for the run."""
    await rig.begin("o-1")
    last = await rig.end("o-1", result=1)
    await rig.worker.purge(APP.log, APP.log_of(KEY), keep=1)

    run = await started(rig)

    assert await run.log() == [last]
    assert await run.result() == 1


@on_twin
async def test_the_log_of_a_run_that_does_not_exist_is_an_error(rig: ClientRig) -> None:
    """An empty answer would hide a mistyped id."""
    run = rig.client.get("order/o-2")

    with pytest.raises(RunNotFound):
        await run.log()
    with pytest.raises(RunNotFound):
        await anext(aiter(run.tail()))


@on_twin
async def test_a_newer_log_says_so(rig: ClientRig) -> None:
    """An old client must not show half of what a newer worker wrote."""
    run = await started(rig)
    await rig.append_strange(b'{"v":99}')

    with pytest.raises(BadLog, match="version 99"):
        await run.log()


@on_twin
async def test_tail_runs_from_the_first_event_to_the_last(rig: ClientRig) -> None:
    """Gap-free from the beginning into live, and over when the run is."""
    run = await started(rig)
    await rig.begin("o-1")
    kinds: list[str] = []

    async def tail() -> None:
        kinds.extend([event.kind async for event in run.tail()])

    tailing = asyncio.create_task(tail())
    await asyncio.sleep(1)
    await rig.append_strange(b"x")
    await rig.end("o-1")
    await tailing

    assert kinds[-1] == "run.completed"


@on_twin
async def test_tail_of_everything_names_the_runs(rig: ClientRig) -> None:
    """One stream of events for all runs, or for those of a workflow."""
    other = KEY._replace(workflow="bill")
    await rig.end("o-1")
    await rig.end("b-1", key=other)

    async for seen in rig.client.tail():
        if seen.workflow == "bill" and seen.event.kind == "run.completed":
            break
    async for seen in rig.client.tail(workflow="bill"):
        assert seen.workflow == "bill"
        break


# --- messages ------------------------------------------------------------------------------------------


@on_twin
async def test_hook_is_in_the_mailbox_when_it_returns(rig: ClientRig) -> None:
    """A payload is durable on return, under the id that the call returns."""
    run = await started(rig)

    sent = await run.hook("approval", {"ok": True}, id="a-1")
    unique = await run.hook("approval")

    (_, first), (_, second) = (await rig.mail())[1:]
    assert isinstance(first, Hook)
    assert (first.id, sent, bytes(first.payload)) == ("a-1", "a-1", b'{"ok":true}')
    assert isinstance(second, Hook)
    assert (second.id, bytes(second.payload)) == (unique, b"null")


@on_twin
async def test_hook_for_no_run_is_refused_unless_meant(rig: ClientRig) -> None:
    """A mistyped run id is an error; a hook before the start is a choice."""
    run = rig.client.get("order/o-1")

    with pytest.raises(RunNotFound):
        await run.hook("approval")
    await run.hook("approval", before_start=True)

    assert [verb for verb, _ in await rig.mail()] == ["hook.approval"]


@on_twin
async def test_hook_for_an_ended_run_is_refused(rig: ClientRig) -> None:
    """What can no longer be applied is told to the sender, with the time."""
    await rig.end("o-1")
    run = rig.client.get("order/o-1")

    with pytest.raises(RunEnded, match="is completed since 1970-01-01 00:00:00 UTC"):
        await run.hook("approval")
    with pytest.raises(RunEnded):
        await run.hook("approval", before_start=True)
    assert await rig.mail() == []


@on_twin
async def test_a_bad_hook_is_refused_before_it_is_sent(rig: ClientRig) -> None:
    """Name and payload are checked where the mistake is."""
    run = await started(rig)

    with pytest.raises(InvalidName, match="hook name"):
        await run.hook("a.b")
    with pytest.raises(InvalidValue, match="payload of hook 'approval'"):
        await run.hook("approval", object())
    assert len(await rig.mail()) == 1


@on_twin
async def test_a_large_payload_goes_to_the_object_store(rig: ClientRig) -> None:
    """What does not fit a message is named by hash."""
    run = await started(rig)

    await run.hook("report", "x" * VALUE_INLINE_BYTES_MAX)

    (_, hook) = (await rig.mail())[1]
    assert isinstance(hook, Hook)
    assert hook.ref is not None
    assert hook.ref.size == VALUE_INLINE_BYTES_MAX + 2
    stored = await rig.worker.get_object(APP.values, f"order/o-1/{hook.ref.sha256}")
    assert stored is not None
    assert len(stored) == hook.ref.size


@on_twin
async def test_cancel_tells_how_things_stand(rig: ClientRig) -> None:
    """Cancelling is idempotent: of an ended run it says how it ended, and sends nothing."""
    run = await started(rig)
    assert await run.cancel(reason="late") == "running"
    await rig.begin("o-1")
    assert await run.cancel() == "running"
    (_, first) = (await rig.mail())[1]
    assert isinstance(first, Cancel)
    assert first.reason == "late"

    await rig.record(start=rig.mark("o-1"), outcome=Outcome(status="cancelled"))

    assert await run.cancel() == "cancelled"
    assert await run.terminate() == "cancelled"
    assert len(await rig.mail()) == 3


@on_twin
async def test_cancel_can_wait_for_the_end(rig: ClientRig) -> None:
    """With `wait`, the answer is how the run ended; cleanup may take its time, and may even complete."""
    await rig.begin("o-1")
    cancelling = asyncio.create_task(rig.client.cancel("order/o-1", wait=True))
    await asyncio.sleep(3)
    assert not cancelling.done()

    await rig.end("o-1")

    assert await cancelling == "completed"


@on_twin
async def test_pause_and_resume_want_a_run_that_goes_on(rig: ClientRig) -> None:
    """Steering what does not exist or has ended is an error."""
    with pytest.raises(RunNotFound):
        await rig.client.get("order/o-1").pause()
    await rig.begin("o-1")
    run = rig.client.get("order/o-1")

    await run.pause(reason="lunch")
    await run.resume()

    assert [type(body) for _, body in await rig.mail()] == [Pause, Resume]
    await rig.end("o-1")
    with pytest.raises(RunEnded):
        await run.pause()
    with pytest.raises(RunEnded):
        await run.resume()


def count_reads(rig: ClientRig) -> list[str]:
    reads: list[str] = []
    last_direct = rig.broker.last_direct

    async def counted(stream: str, subject: str) -> Any:
        reads.append(subject)
        return await last_direct(stream, subject)

    rig.broker.last_direct = counted  # type: ignore[method-assign]  # counts what the server would be asked
    return reads
