"""One run, seen and steered from outside."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors.errors import (
    BadLog,
    ErrorInfo,
    InvalidName,
    InvalidValue,
    RunEnded,
    RunNotFound,
)
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Cancel, Hook, Pause, Resume
from jetrun.actors.records import OpenWait, Outcome, Parked, Summary
from support.client_rig import APP, KEY, ClientRig, on_twin

# --- status, log, tail ---------------------------------------------------------------------------------


@on_twin
async def test_status_comes_from_the_last_record(rig: ClientRig) -> None:
    """One read tells where a run stands."""
    run = await rig.started()
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

    await rig.fail(ErrorInfo(type="ValueError"))
    status = await run.status()
    assert (status.is_ended, status.ended_at_us) == (True, 2)
    assert status.error == ErrorInfo(type="ValueError")


@on_twin
async def test_log_and_events_are_whole_and_in_order(rig: ClientRig) -> None:
    """What does not chain was not written by an actor worker, and is passed over."""
    run = await rig.started()
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

    run = await rig.started()

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
    run = await rig.started()
    await rig.append_strange(b'{"v":99}')

    with pytest.raises(BadLog, match="version 99"):
        await run.log()


@on_twin
async def test_tail_runs_from_the_first_event_to_the_last(rig: ClientRig) -> None:
    """Gap-free from the beginning into live, and over when the run is."""
    run = await rig.started()
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
    run = await rig.started()

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
    run = await rig.started()

    with pytest.raises(InvalidName, match="hook name"):
        await run.hook("a.b")
    with pytest.raises(InvalidValue, match="payload of hook 'approval'"):
        await run.hook("approval", object())
    assert len(await rig.mail()) == 1


@on_twin
async def test_a_large_payload_goes_to_the_object_store(rig: ClientRig) -> None:
    """What does not fit a message is named by hash."""
    run = await rig.started()

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
    run = await rig.started()
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
