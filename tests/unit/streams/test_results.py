"""Results become durable together, each until it is stored, and none holds up another."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from typing_extensions import override

from jetrun.actors.names import RunKey
from jetrun.streams.held import Held
from jetrun.streams.intake import Intake
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.ports import Delivery, Outgoing, PubAck
from jetrun.streams.results import Report, Results
from jetrun.streams.subjects import App
from support.simloop import SimLoop, run
from support.step_rig import APP


class Counting(MemoryBroker):
    """Notes how many messages each publish carries."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server)
        self.batches: list[int] = []

    @override
    async def publish_many(self, messages: Sequence[Outgoing], *, timeout_s: float = 5.0) -> list[PubAck]:
        self.batches.append(len(messages))
        return await super().publish_many(messages, timeout_s=timeout_s)


class Desk:
    """Results with what they stored."""

    def __init__(self, loop: SimLoop) -> None:
        self.server = MemoryServer(loop.now_us)
        self.server.provision(APP, ["default"])
        self.broker = Counting(self.server)
        self.stored: list[int] = []
        self.intake = Intake("default", 100)

    def on_stored(self, stored: Sequence[Held]) -> None:
        self.stored += [held.identity[0] for held in stored]

    def instead(self, report: Report) -> Outgoing:
        return Outgoing(report.outgoing.subject, b"too large")

    def held(self, seq: int) -> Held:
        return Held(Delivery("work", b"", seq, 0, 1, 0, "reply"), self.intake, 0)

    def message(self, run_id: str, payload: bytes = b"{}") -> Outgoing:
        return Outgoing(APP.input(RunKey("order", run_id), "step"), payload)

    async def wait_stored(self, count: int) -> None:
        while len(self.stored) < count:
            await anyio.sleep(0.01)


def test_what_ends_together_is_published_together() -> None:
    """One write and one wait for a hundred steps."""

    async def main(loop: SimLoop) -> None:
        desk = Desk(loop)
        async with anyio.create_task_group() as tasks:
            results = Results(desk.broker, tasks, desk.on_stored, desk.instead)
            for seq in range(100):
                results.add(desk.held(seq), desk.message(f"o-{seq}"))
            await desk.wait_stored(100)

        assert desk.broker.batches == [100]
        assert desk.stored == list(range(100))

    run(main, 1)


def test_a_subject_that_is_denied_holds_up_no_other() -> None:
    """One run's missing permission is that run's trouble; the others are stored, and stored once."""

    async def main(loop: SimLoop) -> None:
        desk = Desk(loop)
        denied = desk.message("o-1")
        desk.server.denied.append(denied.subject)
        before: list[int] = []
        async with anyio.create_task_group() as tasks:
            results = Results(desk.broker, tasks, desk.on_stored, desk.instead)
            for seq in range(3):
                results.add(desk.held(seq), desk.message(f"o-{seq}"))
            await desk.wait_stored(2)
            before = list(desk.stored)
            await anyio.sleep(30)
            desk.server.denied.clear()
            await desk.wait_stored(3)

        assert before == [0, 2]
        assert desk.stored == [0, 2, 1]
        assert (await desk.broker.stream_state(APP.mail)).messages == 3

    run(main, 1)


def test_pauses_grow_to_their_bound() -> None:
    """An outage of an hour is not a million publishes."""

    async def main(loop: SimLoop) -> None:
        desk = Desk(loop)
        desk.server.denied.append(">")
        async with anyio.create_task_group() as tasks:
            results = Results(desk.broker, tasks, desk.on_stored, desk.instead)
            results.add(desk.held(1), desk.message("o-1"))
            await anyio.sleep(100)
            desk.server.denied.clear()
            await desk.wait_stored(1)

        assert 20 <= len(desk.broker.batches) <= 30

    run(main, 1)


def test_a_message_that_is_too_large_for_good_is_replaced() -> None:
    """Its step would otherwise wait for ever; the smaller one says why."""

    async def main(loop: SimLoop) -> None:
        desk = Desk(loop)
        desk.server.payload_bytes_max = 1000
        async with anyio.create_task_group() as tasks:
            results = Results(desk.broker, tasks, desk.on_stored, desk.instead)
            results.add(desk.held(1), desk.message("o-1", b"x" * 2000))
            results.add(desk.held(2), desk.message("o-2", b"small"))
            await desk.wait_stored(2)

        found = await desk.broker.read(APP.mail, f"wf.{APP.name}.mail.>")
        assert sorted(message.payload for message in found) == [b"small", b"too large"]

    run(main, 1)


def test_a_large_value_is_stored_before_it_is_named() -> None:
    """Who reads the message finds the value; a store that is not there yet is waited for."""

    async def main(loop: SimLoop) -> None:
        desk = Desk(loop)
        other = App("u")  # not provisioned yet
        before: list[int] = []
        async with anyio.create_task_group() as tasks:
            results = Results(desk.broker, tasks, desk.on_stored, desk.instead)
            results.add_stored_apart(
                desk.held(1), other.values, "order/o-1", b"large", lambda ref: desk.message("o-1", ref.sha256.encode())
            )
            await anyio.sleep(3)
            before = list(desk.stored)
            desk.server.provision(other, [])
            await desk.wait_stored(1)

        found = await desk.broker.read(APP.mail, f"wf.{APP.name}.mail.>")
        assert before == []
        name = f"order/o-1/{found[0].payload.decode()}"
        assert await desk.broker.get_object(other.values, name) == b"large"

    run(main, 1)
