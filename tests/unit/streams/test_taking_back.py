"""What a link of a chain leaves is taken back, and nothing of the next one, however late that is done (R8, R22)."""

from __future__ import annotations

from jetrun.actors.decision import Owed
from jetrun.actors.names import RunKey
from jetrun.actors.records import LinkMark, Record, Summary, encode_record
from jetrun.actors.work import Work, encode_work
from jetrun.streams.debt import Debt
from jetrun.streams.effects import Effects, instant
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.ports import SCHEDULE, SCHEDULE_TARGET, Outgoing
from jetrun.streams.subjects import App, partition_of
from jetrun.streams.taking_back import TakingBack
from support.simloop import SimLoop, run

APP = App("t")
KEY = RunKey("order", "o-1")
PARTITIONS = 16


class Scene:
    """A run that is about to go on as its second link, which begins with command 2."""

    def __init__(self, loop: SimLoop) -> None:
        server = MemoryServer(loop.now_us)
        server.provision(APP, ["default"])
        self.broker = MemoryBroker(server)
        self._now_us = loop.now_us

    async def append(self, k: int) -> int:
        record = Record(v=1, k=k, prev="", nonce="n", by="w", at_us=1, summary=Summary(status="running", commands=k))
        return (await self.broker.publish(Outgoing(APP.log_of(KEY), encode_record(record)))).seq

    async def queue(self, command: int) -> None:
        work = Work(workflow=KEY.workflow, run=KEY.run, command=command, attempt=1, name="charge", token="t")
        await self.broker.publish(Outgoing(APP.work_of("default", KEY, command), encode_work(work)))

    async def set_timer(self, name: str) -> None:
        partition = partition_of(KEY.run, PARTITIONS)
        due = {SCHEDULE: f"@at {instant(self._now_us() + 3_600_000_000)}", SCHEDULE_TARGET: APP.fired(partition, KEY)}
        assert (await self.broker.publish(Outgoing(APP.timer(partition, KEY, name), b"{}", due))).code == 0

    async def left(self) -> list[str]:
        found = [*await self.broker.read(APP.work, "wf.t.>"), *await self.broker.read(APP.timers, "wf.t.timer.>")]
        return [stored.subject.rpartition(".")[2] for stored in found]

    def end_of_link(self, log_seq: int) -> Debt:
        """What the record that ends the first link owes, for a worker that finds it in the log."""
        return Debt(
            KEY,
            Owed(is_continued=True),
            1,
            Summary(status="running", commands=1),
            is_repeat=True,
            is_old=True,
            log_seq=log_seq,
            link=LinkMark(n=2, k=1, seq=log_seq, at_us=1, commands=1),
        )


def test_a_worker_that_is_late_takes_nothing_of_the_next_link() -> None:
    """Two workers carry out the end of a link, and one of them when the next link has queued work and set timers."""

    async def main(loop: SimLoop) -> list[str]:
        scene = Scene(loop)
        ended_at = await scene.append(1)
        await scene.append(2)
        await scene.queue(2)
        await scene.set_timer("3")
        await scene.set_timer("max")

        effects = Effects(scene.broker, APP, actors_key=b"k" * 32, partitions=PARTITIONS)
        await effects.carry_out([scene.end_of_link(ended_at)])
        return await scene.left()

    assert run(main, 1) == ["2", "3", "max"]


def test_what_the_ended_link_has_left_goes_but_for_the_beginning_of_the_next_try() -> None:
    """Whoever takes over cannot tell from the log what is left, and takes back all that is there."""

    async def main(loop: SimLoop) -> list[str]:
        scene = Scene(loop)
        await scene.queue(1)
        for name in ("1", "max", "next"):
            await scene.set_timer(name)
        ended_at = await scene.append(1)

        await TakingBack(scene.broker, APP, partitions=PARTITIONS).purge(scene.end_of_link(ended_at))
        return await scene.left()

    assert run(main, 1) == ["next"]


def test_the_next_link_may_begin_while_the_old_one_is_taken_back() -> None:
    """Between the look at the log and the purge is time enough for another worker."""

    async def main(loop: SimLoop) -> list[str]:
        scene = Scene(loop)
        await scene.queue(1)
        await scene.set_timer("1")
        ended_at = await scene.append(1)
        taking_back = TakingBack(scene.broker, APP, partitions=PARTITIONS)
        doomed = await taking_back._before_next(scene.end_of_link(ended_at))

        await scene.append(2)
        await scene.queue(2)
        await scene.set_timer("3")
        for one in doomed:
            await taking_back.purge_one(one.stream, one.subject, one.to_seq)
        return await scene.left()

    assert run(main, 1) == ["2", "3"]
