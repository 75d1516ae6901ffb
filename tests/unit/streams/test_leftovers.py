"""Retries whose time has passed and that do not fire: a server that was killed may have forgotten that they have (R8)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from jetrun.actors.commands import RunStep
from jetrun.actors.limits import STEP_RECOVERIES_MAX
from jetrun.actors.names import RunKey
from jetrun.actors.records import Folded, Record, Summary, encode_record
from jetrun.actors.work import Work, decode_work, encode_work, token
from jetrun.streams.attempts import Attempts
from jetrun.streams.effects import Effects, instant
from jetrun.streams.leftovers import Leftovers
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.memory_faults import Faults
from jetrun.streams.ports import SCHEDULE, SCHEDULE_TARGET, Outgoing, Stored
from jetrun.streams.subjects import App
from support.simloop import SimLoop, run

APP = App("t")
KEY = RunKey("order", "o-1")
ACTORS_KEY = b"k" * 32
NEVER_S = 1e9


async def sweep_after(
    loop: SimLoop, seconds: float, *, is_settled: bool, recoveries_max: int = STEP_RECOVERIES_MAX
) -> tuple[list[Stored], bool]:
    """Lets a retry be due in a second, never fire, and be swept up later; returns what WORK holds then."""
    server = MemoryServer(loop.now_us, faults=Faults(timer_late_s=NEVER_S))
    server.provision(APP, ["default"])
    broker = MemoryBroker(server)
    report = msgspec.json.encode({"command": 1, "attempt": 2 if is_settled else 1, "token": "t", "result": None})
    record = Record(
        v=1,
        k=1,
        prev="",
        nonce="n",
        by="w",
        at_us=1,
        messages=[Folded(source="m", seq=1, at_us=1, verb="step", body=msgspec.Raw(report))],
        commands=[RunStep(n=1, name="charge", queue="default", hash="h")],
        summary=Summary(status="running"),
    )
    await broker.publish(Outgoing(APP.log_of(KEY), encode_record(record)))
    work = Work(
        workflow=KEY.workflow,
        run=KEY.run,
        command=1,
        attempt=2,
        name="charge",
        recoveries_max=recoveries_max,
        token=token(ACTORS_KEY, KEY, 1, 2),
    )
    headers = {
        SCHEDULE: f"@at {instant(loop.now_us() + 1_000_000)}",
        SCHEDULE_TARGET: APP.work_of("default", KEY, 1),
    }
    assert (await broker.publish(Outgoing(APP.retry(KEY, 1), encode_work(work), headers))).code == 0
    leftovers = Leftovers(
        broker,
        APP,
        Effects(broker, APP, actors_key=ACTORS_KEY, partitions=16),
        Attempts(broker, APP, actors_key=ACTORS_KEY, partitions=16),
        partitions=16,
        queues=["default"],
        is_on_duty=lambda: True,
    )
    await leftovers.sweep()
    await asyncio.sleep(seconds)
    is_more = await leftovers.sweep()
    left = list(await broker.read(APP.work, f"wf.{APP.name}.>"))
    await broker.close()
    return left, is_more


@pytest.mark.parametrize(
    ("seconds", "is_settled", "left", "is_more"),
    [
        (0.5, False, [APP.retry(KEY, 1)], True),
        (5, False, [APP.retry(KEY, 1)], True),
        (60, False, [APP.work_of("default", KEY, 1)], False),
        (60, True, [], False),
    ],
    ids=["not due", "just due", "overdue and open", "overdue and settled"],
)
def test_an_overdue_retry_is_swept_up_and_queued_where_it_is_waited_for(
    seconds: float, is_settled: bool, left: list[str], is_more: bool
) -> None:
    """One that never fires would hold up its run for ever, or lie in the stream for ever."""
    found: list[tuple[list[str], bool]] = []

    async def main(loop: SimLoop) -> None:
        stored, may_be_more = await sweep_after(loop, seconds, is_settled=is_settled)
        found.append(([one.subject for one in stored], may_be_more))

    run(main, 1)
    assert found == [(left, is_more)]


@pytest.mark.parametrize(("recoveries_max", "losses"), [(1, 1), (STEP_RECOVERIES_MAX, 0)])
def test_what_is_queued_anew_and_is_not_to_run_twice_says_that_it_may_have_run(
    recoveries_max: int, losses: int
) -> None:
    """The server counts the deliveries of a message, and this is another one."""
    found: list[int] = []

    async def main(loop: SimLoop) -> None:
        (stored,), _ = await sweep_after(loop, 60, is_settled=False, recoveries_max=recoveries_max)
        found.append(decode_work(stored.payload).losses)

    run(main, 1)
    assert found == [losses]
