"""Starting, reaching and listing runs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from jetrun.actors import call
from jetrun.actors.errors import (
    InvalidName,
    InvalidValue,
    MessageRefused,
    NotProvisioned,
    OutcomeUnknown,
    RunConflict,
    ServerLost,
    StreamFull,
)
from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import Start, encode_body
from jetrun.actors.names import RunKey
from jetrun.actors.records import StartMark, start_hash
from jetrun.client import Client
from jetrun.streams.memory import MemoryBroker
from jetrun.streams.ports import Outgoing
from support.client_rig import APP, ClientRig, on_twin

ORDER = call("order", "o-1")


# --- start ---------------------------------------------------------------------------------------


@on_twin
async def test_start_is_in_the_mailbox_when_it_returns(rig: ClientRig) -> None:
    """`start` returns only what is durable, without waiting for a worker (none runs here)."""
    run = await rig.client.start(call("order", "o-1", express=True), run_id="o-1")

    (start,) = await rig.starts()
    assert (bytes(start.args), bytes(start.kwargs or b"")) == (b'["o-1"]', b'{"express":true}')
    assert len(start.id) == 32
    assert (run.workflow, run.run_id, repr(run)) == ("order", "o-1", "<run order/o-1>")


@on_twin
async def test_start_of_a_run_that_exists_sends_nothing(rig: ClientRig) -> None:
    """The same id with the same arguments is the same run, however often it is started."""
    await rig.end("o-1", result="done")

    run = await rig.client.start(ORDER, run_id="o-1")

    assert await rig.mail() == []
    assert await run.result() == "done"


@on_twin
async def test_start_with_other_arguments_conflicts_at_once(rig: ClientRig) -> None:
    """An id that is taken by another start is an error before anything is sent."""
    await rig.begin("o-1")

    with pytest.raises(RunConflict, match="run order/o-1 was started before, with other arguments"):
        await rig.client.start(call("order", "o-2"), run_id="o-1")

    assert await rig.mail() == []


@on_twin
async def test_start_sees_through_white_space_and_key_order(rig: ClientRig) -> None:
    """A start that was published by hand is the same start as one of ours with the same values."""
    by_hand = StartMark(id="", hash=start_hash(b'[ {"b": 1,  "a": [2]} ]', None))
    await rig.record(start=by_hand)

    await rig.client.start(call("order", {"a": [2], "b": 1}), run_id="o-1")

    assert await rig.mail() == []


@on_twin
async def test_start_of_a_run_that_only_got_messages_is_sent(rig: ClientRig) -> None:
    """Messages that came early do not count as a start."""
    await rig.record(undecided=True)

    await rig.client.start(ORDER, run_id="o-1")

    assert len(await rig.starts()) == 1


@on_twin
async def test_a_start_that_loses_a_race_learns_of_it_from_the_result(rig: ClientRig) -> None:
    """Two starts of one id at the same moment: the one that was not first must not get the other's result."""
    run = await rig.client.start(call("order", "mine"), run_id="o-1")
    await rig.end("theirs", result="theirs")

    with pytest.raises(RunConflict):
        await run.result()


@on_twin
async def test_large_arguments_go_to_the_object_store(rig: ClientRig) -> None:
    """What does not fit a message is named by hash, and stored before the message is."""
    text = "x" * (VALUE_INLINE_BYTES_MAX + 1)

    await rig.client.start(call("order", text, n=1), run_id="o-1")

    (start,) = await rig.starts()
    assert start.ref is not None
    data = await rig.worker.get_object(APP.values, f"order/o-1/{start.ref.sha256}")
    assert data is not None
    assert msgspec.json.decode(data) == {"args": [text], "kwargs": {"n": 1}}
    assert start.ref.size == len(data)


@on_twin
async def test_arguments_too_large_for_any_store_are_refused(rig: ClientRig) -> None:
    """Nothing is sent that no worker would take."""
    big = ["x" * (4 * 1024 * 1024)] * 3

    with pytest.raises(InvalidValue, match="bytes of JSON"):
        await rig.client.start(call("order", *big), run_id="o-1")


@pytest.mark.parametrize("run_id", ["a.b", "*", ">", "a b", "a\r\nb", "", "-a", "a" * 129, "é"])
def test_a_run_id_that_is_no_token_is_refused(run_id: str) -> None:
    """A bad id never reaches a subject."""

    @on_twin
    async def test(rig: ClientRig) -> None:
        with pytest.raises(InvalidName, match="run id"):
            await rig.client.start(ORDER, run_id=run_id)
        with pytest.raises(InvalidName, match="run id"):
            rig.client.get("order", run_id)
        assert await rig.mail() == []

    test()


@on_twin
async def test_start_and_hooks_arrive_in_order(rig: ClientRig) -> None:
    """A workflow that is started with its hooks finds them there, in the order that was asked."""
    await rig.client.start(ORDER, run_id="o-1", hooks=[("paid", {"cents": 5}), ("sent", None)])

    assert [verb for verb, _ in await rig.mail()] == ["start", "hook.paid", "hook.sent"]


@on_twin
async def test_hooks_of_a_start_reach_a_run_that_exists(rig: ClientRig) -> None:
    """Start-and-hook means: the run exists, and has got this hook."""
    await rig.begin("o-1")

    await rig.client.start(ORDER, run_id="o-1", hooks=[("paid", 1)])

    assert [verb for verb, _ in await rig.mail()] == ["hook.paid"]


@on_twin
async def test_a_hook_that_cannot_be_encoded_stops_the_start(rig: ClientRig) -> None:
    """All or nothing: a bad payload is found before the start is sent."""
    with pytest.raises(InvalidValue, match="payload of hook 'paid'"):
        await rig.client.start(ORDER, run_id="o-1", hooks=[("paid", object())])

    assert await rig.mail() == []


@on_twin
async def test_start_survives_a_lost_answer(rig: ClientRig) -> None:
    """A start is repeated under the same id until it is known to be stored."""
    rig.server.faults.ack_lost = 1.0
    asyncio.get_running_loop().call_later(4.0, setattr, rig.server.faults, "ack_lost", 0.0)

    await rig.client.start(ORDER, run_id="o-1")

    first, second = await rig.starts()
    assert first.id == second.id


@on_twin
async def test_start_gives_up_in_the_end(rig: ClientRig) -> None:
    """A caller is not kept for ever by a server that does not answer."""
    rig.server.faults.request_lost = 1.0

    with pytest.raises(OutcomeUnknown, match="start of run order/o-1"):
        await rig.client.start(ORDER, run_id="o-1")


@on_twin
async def test_start_in_an_app_that_does_not_exist_says_so(rig: ClientRig) -> None:
    """A wrong app name is a clear error, not a message into nowhere."""
    client = Client(MemoryBroker(rig.server), "nowhere")

    with pytest.raises(NotProvisioned):
        await client.start(ORDER, run_id="o-1")


@on_twin
async def test_a_full_mailbox_is_told(rig: ClientRig) -> None:
    """Back-pressure reaches the caller at once and is not tried away."""
    broker = FullBroker(rig.server)

    with pytest.raises(StreamFull):
        await Client(broker, APP.name).start(ORDER, run_id="o-1")

    assert broker.tries == 1


class FullBroker(MemoryBroker):
    tries = 0

    async def publish_many(self, messages: Any, *, timeout_s: float = 5.0) -> Any:
        self.tries += 1
        return [
            type(ack)(0, 10077, "maximum messages per subject exceeded") for ack in await super().publish_many(messages)
        ]


# --- start, new runs only ---------------------------------------------------------------------------


@on_twin
async def test_a_new_run_is_confirmed_by_its_first_record(rig: ClientRig) -> None:
    """With `fail`, a return means: this very call began the run."""
    starting = asyncio.create_task(rig.client.start(ORDER, run_id="o-1", conflict="fail"))
    (start,) = await wait_starts(rig)
    assert not starting.done()

    await rig.begin("o-1", start_id=start.id)

    assert (await starting).run_id == "o-1"


@on_twin
async def test_a_new_run_is_confirmed_without_any_notice(rig: ClientRig) -> None:
    """Notices can be missed: the log is read again now and then."""
    starting = asyncio.create_task(rig.client.start(ORDER, run_id="o-1", conflict="fail"))
    (start,) = await wait_starts(rig)
    rig.drop_notices()

    await rig.begin("o-1", start_id=start.id)

    assert (await starting).run_id == "o-1"


@on_twin
async def test_a_new_run_is_refused_where_one_exists(rig: ClientRig) -> None:
    """With `fail`, even an equal start is a conflict, and nothing is sent."""
    await rig.begin("o-1")

    with pytest.raises(RunConflict, match="by another start"):
        await rig.client.start(ORDER, run_id="o-1", conflict="fail")

    assert await rig.mail() == []


@on_twin
async def test_a_new_run_that_loses_a_race_is_a_conflict(rig: ClientRig) -> None:
    """Two programs demand the same new run at once: exactly one gets it."""
    starting = asyncio.create_task(rig.client.start(ORDER, run_id="o-1", conflict="fail"))
    await wait_starts(rig)

    await rig.begin("o-1", start_id="of somebody else")

    with pytest.raises(RunConflict, match="by another start"):
        await starting


@on_twin
async def test_a_new_run_whose_start_is_refused_raises(rig: ClientRig) -> None:
    """A start among the dead letters is told to who waits for it."""
    starting = asyncio.create_task(rig.client.start(ORDER, run_id="o-1", conflict="fail"))
    (start,) = await wait_starts(rig)

    await rig.bury(encode_body(start), reason="argument 'order_id' is missing")

    with pytest.raises(MessageRefused, match="argument 'order_id' is missing") as caught:
        await starting
    assert caught.value.code == "args"


async def wait_starts(rig: ClientRig) -> list[Start]:
    while not (starts := await rig.starts()):
        await asyncio.sleep(0.01)
    return starts


# --- handles and lists --------------------------------------------------------------------------------


@on_twin
async def test_get_takes_both_names_in_one(rig: ClientRig) -> None:
    """What `wfctl` prints can be passed on as it is."""
    run = rig.client.get("order/o-1")

    assert (run.workflow, run.run_id) == ("order", "o-1")
    with pytest.raises(InvalidName, match="write it as workflow/run"):
        rig.client.get("o-1")


@on_twin
async def test_list_shows_runs_by_status_and_workflow(rig: ClientRig) -> None:
    """Lists come from the index and filter exactly, also where the index has one word for several statuses."""
    await rig.index("open", RunKey("order", "a"), "running")
    await rig.index("open", RunKey("order", "b"), "paused")
    await rig.index("parked", RunKey("order", "c"), "parked")
    await rig.index("ended", RunKey("bill", "d"), "completed")
    await rig.index("ended", RunKey("bill", "e"), "failed")
    await rig.worker.publish(Outgoing("wf.t.index.open.order.x", b"not a summary"))

    async def ids(**filters: Any) -> str:
        return "".join([summary.run_id async for summary in rig.client.list(**filters)])

    assert await ids() == "abcde"
    assert await ids(status="running") == "a"
    assert await ids(status="parked") == "c"
    assert await ids(status="failed") == "e"
    assert await ids(workflow="bill") == "de"
    assert await ids(workflow="order", limit=2) == "ab"
    assert await ids(limit=0) == ""


@on_twin
async def test_a_list_that_is_left_early_leaves_nothing_behind(rig: ClientRig) -> None:
    """The scan at the server ends with the iteration, not when the garbage collector comes by."""
    for index in range(3):
        await rig.index("open", RunKey("order", f"o-{index}"), "running")
    ended: list[str] = []
    scan = rig.broker.scan

    async def watched(*args: Any, **options: Any) -> Any:
        try:
            async for message in scan(*args, **options):
                yield message
        finally:
            ended.append(args[1])

    rig.broker.scan = watched  # type: ignore[method-assign]  # sees the end of a scan

    assert len([summary async for summary in rig.client.list(limit=1)]) == 1
    assert ended == ["wf.t.index.*.*.*"]
    async with aclosing(rig.client.list()) as runs:
        await anext(runs)
    assert len(ended) == 2


@on_twin
async def test_find_names_the_workflows_of_a_run_id(rig: ClientRig) -> None:
    """`wfctl tail o-1` works where one workflow has such a run."""
    await rig.index("open", RunKey("order", "o-1"), "running")
    await rig.index("ended", RunKey("bill", "o-1"), "completed")
    await rig.index("ended", RunKey("bill", "o-11"), "completed")

    assert [(s.workflow, s.status) for s in await rig.client.find("o-1")] == [
        ("order", "running"),
        ("bill", "completed"),
    ]


@on_twin
async def test_dead_letters_are_listed(rig: ClientRig) -> None:
    """Nothing that was accepted and could not be applied is out of sight."""
    await rig.bury(b"{", code="json")
    await rig.bury(b"{}", RunKey("bill", "b-1"), code="args")

    assert [letter.code async for letter in rig.client.dead()] == ["json", "args"]
    assert [letter.body async for letter in rig.client.dead(workflow="order", run_id="o-1")] == ["{"]


@on_twin
async def test_workers_and_queues_are_gathered_from_beats(rig: ClientRig) -> None:
    """The fleet is whoever beats; one that drains is not counted any more."""

    def beat(**body: object) -> None:
        rig.worker.notify(APP.beat(str(body["worker"])), msgspec.json.encode(body))

    async def beats() -> None:
        await asyncio.sleep(0.5)
        beat(worker="a", kind="actors", pid=7, partitions=[0, 1], runs=3)
        beat(worker="s1", kind="steps", queues={"default": {"concurrency": 50, "running": 2}})
        beat(worker="s2", kind="steps", queues={"default": {"concurrency": 10, "running": 0}})
        beat(worker="s3", kind="steps", queues={"default": {"concurrency": 1, "running": 0}})
        beat(worker="s3", kind="steps", leaving=True)
        rig.worker.notify(APP.beat("x"), b"\xff")

    beating = asyncio.create_task(beats())
    workers = await rig.client.workers()
    await beating
    assert [(worker.worker, worker.kind, worker.runs) for worker in workers] == [
        ("a", "actors", 3),
        ("s1", "steps", 0),
        ("s2", "steps", 0),
    ]

    await rig.worker.publish(Outgoing("wf.t.work.default.order.o-1.1", b"{}"))
    beating = asyncio.create_task(beats())
    (queue,) = await rig.client.queues(["unheard"])
    await beating
    assert (queue.queue, queue.waiting, queue.running, queue.workers, queue.concurrency) == ("default", 1, 0, 2, 60)


@on_twin
async def test_closing_frees_who_waits(rig: ClientRig) -> None:
    """A closed client leaves nobody waiting for ever."""
    run = await rig.client.start(ORDER, run_id="o-1")
    waiting = asyncio.create_task(run.result())
    await asyncio.sleep(1)

    await rig.client.close()

    with pytest.raises(ServerLost, match="closed"):
        await waiting
