"""Doubts: work that may have been done already is asked about before it runs (R8). The twin, in virtual time."""

from __future__ import annotations

import asyncio

from jetrun.actors.limits import ASK_PATIENCE_S
from jetrun.streams.answers import AttemptQuestion
from support.step_rig import Calls, Rig, quick, simulate, slow


def test_new_work_runs_unasked() -> None:
    """A question per step would cost every run; nothing speaks for doubt here."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))
        for command in range(1, 6):
            await rig.ask("quick", 1, command=command)
        await rig.wait_results(5)

        assert rig.asked == []

    simulate(main)


def test_work_whose_worker_died_after_its_result_is_acked_and_not_run_again() -> None:
    """The result is stored, the ack was not sent: a second side effect that nobody needs."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), name="w1")
        await rig.ask("slow", command=4)
        await rig.wait_calls(calls, "slow", 1)
        rig.crash("w1")
        rig.settled.add((4, 1))

        await rig.start(slow(calls, 100), name="w2")
        await rig.wait_acked()

        assert calls.count["slow"] == 1
        assert rig.asked == [AttemptQuestion(command=4, attempt=1)]
        assert await rig.results() == []
        assert rig.workers["w2"].running == 0

    simulate(main)


def test_work_that_is_older_than_the_worker_is_asked_about() -> None:
    """A server that was killed forgets acks: what it hands out as new may be done."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.ask("quick", 1, command=1)
        await rig.ask("quick", 1, command=2)
        rig.settled.add((1, 1))

        await rig.start(quick(calls))
        result = await rig.wait_result()
        await rig.wait_acked()

        assert result.command == 2
        assert calls.count["quick"] == 1

    simulate(main)


def test_a_retry_is_asked_about() -> None:
    """A server that was killed fires again what it had fired: as a new message, that no sequence gives away."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))
        rig.settled.add((1, 2))
        await rig.ask("quick", 1, command=1, attempt=2)
        await rig.wait_acked()

        await rig.ask("quick", 1, command=1, attempt=3)
        result = await rig.wait_result()

        assert result.attempt == 3
        assert calls.count["quick"] == 1

    simulate(main)


def test_work_from_before_a_reconnect_is_asked_about() -> None:
    """The connection broke because the server was killed; which acks it remembers nobody knows."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls), slow(calls, 5), queues={"default": 1})
        await rig.ask("slow", command=1)
        await rig.wait_calls(calls, "slow", 1)
        await rig.ask("quick", 1, command=2)
        rig.settled.add((2, 1))

        rig.server.restart(down_s=1.0)
        await rig.wait_results(1)
        await rig.wait_acked()
        await rig.ask("quick", 1, command=3)
        await rig.wait_results(2)

        assert AttemptQuestion(command=2, attempt=1) in rig.asked
        assert AttemptQuestion(command=3, attempt=1) not in rig.asked
        assert (calls.count["slow"], calls.count["quick"]) == (1, 1)

    simulate(main)


def test_where_nobody_answers_the_step_runs_once_patience_ends() -> None:
    """Steps go on without actor workers; and the next ones do not wait for an answer again."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        rig.is_silent = True
        for command in (1, 2, 3):
            await rig.ask("quick", 1, command=command)
        began = rig.loop.time()
        await rig.start(quick(calls), queues={"default": 1})
        await rig.wait_results(3)

        assert ASK_PATIENCE_S / 2 < rig.loop.time() - began < ASK_PATIENCE_S * 2
        assert calls.count["quick"] == 3

    simulate(main)


def test_a_stop_while_it_is_asked_about_leaves_nothing_behind() -> None:
    """A worker that is told to end hands the work to others."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        rig.is_silent = True
        await rig.ask("quick", 1)
        await rig.start(quick(calls), drain_s=1)
        await asyncio.sleep(2)

        rig.workers["w1"].drain()
        await rig.ended["w1"]

        assert calls.count["quick"] == 0
        assert await rig.work_left() == 1

    simulate(main)
