"""The step worker over the in-memory twin, in virtual time: the order of safety, and deliveries that come again."""

from __future__ import annotations

import asyncio

import pytest

from jetrun.actors.errors import WorkerLost, qualified_name
from jetrun.actors.limits import STEP_RECOVERIES_MAX
from jetrun.actors.messages import encode_body
from support.step_rig import APP, KEY, Calls, NoLease, Rig, quick, simulate, slow

# --- the order of safety ---------------------------------------------------------------------------


def test_a_result_is_stored_before_its_work_is_acked() -> None:
    """A crash between the two repeats the step; the other order would lose its result (R18)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))

        await rig.ask("quick", 21, command=3, attempt=2)
        result = await rig.wait_result()
        await rig.wait_acked()

        assert (result.command, result.attempt, result.token, result.worker) == (3, 2, "token-3-2", "w1")
        assert bytes(result.result) == b"42"
        assert result.error is None
        assert 0 < result.started_at_us <= result.ended_at_us
        events = [line.split()[:2] for line in rig.trace if line.startswith(("stored WF_t_MAIL", "acked WF_t_WORK"))]
        assert events == [["stored", "WF_t_MAIL"], ["acked", "WF_t_WORK"]]

    simulate(main)


def test_a_worker_that_dies_in_a_step_is_followed_by_another() -> None:
    """The attempt runs again after the ack wait, with the same input (F6)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), name="w1")
        await rig.ask("slow")
        await rig.wait_calls(calls, "slow", 1)

        rig.crash("w1")
        await rig.start(slow(calls, 1), name="w2")
        result = await rig.wait_result()

        assert result.worker == "w2"
        assert calls.count["slow"] == 2
        assert 30 <= rig.loop.time() < 33

    simulate(main)


def test_a_result_without_an_answer_is_published_again_and_the_step_is_not() -> None:
    """An outage costs time, never a second side effect (R18)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))
        rig.server.faults.request_lost = 1.0
        await rig.ask_surely("quick", 1)
        await asyncio.sleep(60)
        rig.server.faults.request_lost = 0.0

        await rig.wait_acked()

        assert calls.count["quick"] == 1
        assert len(await rig.results()) == 1

    simulate(main)


def test_a_full_mailbox_keeps_the_lease_until_there_is_room() -> None:
    """The work is neither acked nor given to another worker while its result waits (R18)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls), name="w1")
        await rig.start(quick(calls), name="w2")
        rig.server.denied.append(APP.input(KEY, "step"))  # refused, like a full stream
        await rig.ask("quick", 1)
        await asyncio.sleep(120)
        before = (await rig.work_left(), calls.count["quick"])

        rig.server.denied.clear()
        await rig.wait_acked()

        assert before == (1, 1)
        assert calls.count["quick"] == 1
        assert len(await rig.results()) == 1

    simulate(main)


def test_a_lost_answer_of_a_stored_result_stores_it_twice_and_runs_the_step_once() -> None:
    """The actor drops the second by command, attempt and token; the side effect is one."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))
        rig.server.faults.ack_lost = 1.0
        await rig.ask_surely("quick", 1)
        await rig.wait_results(1)
        rig.server.faults.ack_lost = 0.0

        await rig.wait_acked()

        assert calls.count["quick"] == 1
        assert {(result.command, result.attempt, result.token) for result in await rig.results()} == {
            (1, 1, "token-1-1")
        }

    simulate(main)


def test_the_server_may_restart_while_a_step_runs() -> None:
    """The step goes on and is not run again; its result is published after the reconnect, perhaps twice."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 5))
        await rig.ask("slow")
        await asyncio.sleep(1)

        rig.server.restart(down_s=10)
        await rig.wait_acked()

        assert calls.count["slow"] == 1
        assert {result.token for result in await rig.results()} == {"token-1-1"}

    simulate(main)


# --- deliveries that come again --------------------------------------------------------------------


def test_a_redelivery_of_a_running_step_does_not_run_it_again() -> None:
    """The table of running deliveries takes the new handle only (R18)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), lease=NoLease())
        await rig.ask("slow")

        await rig.wait_acked()

        delivered = [line for line in rig.trace if line.startswith("delivered WF_t_WORK")]
        assert len(delivered) == 4
        assert calls.count["slow"] == 1
        assert rig.workers["w1"].running == 0

    simulate(main)


def test_a_doubled_delivery_costs_no_slot() -> None:
    """Slots come back for deliveries that were not run, or a worker would starve."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        rig.server.faults.delivery_doubled = 1.0
        await rig.start(slow(calls, 2), queues={"default": 1})

        for command in range(1, 11):
            await rig.ask("slow", command=command)
        await rig.wait_acked()

        assert calls.count["slow"] == 10
        assert calls.most == 1

    simulate(main)


def test_work_whose_ack_was_lost_is_acked_on_sight() -> None:
    """The result is stored already: the step is not run for a lost ack (F9)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))
        rig.server.faults.delivery_ack_lost = 1.0
        await rig.ask("quick", 1)
        await rig.wait_results(1)
        await asyncio.sleep(1)
        rig.server.faults.delivery_ack_lost = 0.0

        await rig.wait_acked()

        assert calls.count["quick"] == 1
        assert len(await rig.results()) == 1
        assert rig.loop.time() >= 30

    simulate(main)


def test_a_long_step_keeps_its_lease() -> None:
    """In-progress acks: the server never gives it to anybody else."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 200), name="w1")
        await rig.start(slow(calls, 200), name="w2")
        await rig.ask("slow")

        await rig.wait_acked()

        assert calls.count["slow"] == 1
        assert len([line for line in rig.trace if line.startswith("delivered WF_t_WORK")]) == 1

    simulate(main)


def test_a_frozen_worker_and_its_follower_both_answer_and_nothing_is_lost() -> None:
    """A worker paused past its lease repeats the side effect; both results are of the same attempt (F10)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 5), name="w1", queues={"default": 1})
        await rig.ask("slow")
        await asyncio.sleep(1)
        rig.processes["w1"].freeze()
        await rig.start(slow(calls, 50), name="w2")
        await asyncio.sleep(40)

        rig.processes["w1"].thaw()
        await rig.wait_results(2)

        assert calls.count["slow"] == 2
        assert {result.token for result in await rig.results()} == {"token-1-1"}
        assert await rig.work_left() == 0

    simulate(main)


def test_a_step_that_kills_its_worker_each_time_is_given_up() -> None:
    """A crash loop ends with a failure that says what happened, and the next worker lives (F30)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.ask("deadly")
        for number, name in enumerate(("w1", "w2", "w3", "w4"), start=1):
            await rig.start(slow(calls, 100, "deadly"), name=name)
            await rig.wait_calls(calls, "deadly", number)
            rig.crash(name)

        await rig.start(slow(calls, 100, "deadly"), quick(calls), name="w5")
        result = await rig.wait_result()
        await rig.ask("quick", 1, command=2)
        await rig.wait_results(2)

        assert calls.count["deadly"] == STEP_RECOVERIES_MAX
        assert result.error is not None
        assert (result.error.code, result.error.type, result.is_retryable) == (
            "worker_lost",
            qualified_name(WorkerLost),
            False,
        )
        assert "worker was lost 4 times" in result.error.message
        assert result.deliveries == STEP_RECOVERIES_MAX + 1

    simulate(main)


def test_work_that_was_queued_anew_and_is_not_to_run_again_does_not() -> None:
    """The server lost what it knew of the first delivery: that one may have done the work."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 0))
        await rig.ask("slow", recoveries_max=1, losses=1)
        result = await rig.wait_result()

        assert calls.count["slow"] == 0
        assert result.error is not None
        assert result.error.code == "worker_lost"

    simulate(main)


def test_a_result_says_how_often_its_attempt_was_handed_out() -> None:
    """An interruption is a fact of the record, which the result's message becomes; one that was not says nothing of it."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 5), quick(calls), name="w1")
        await rig.ask("slow")
        await rig.wait_calls(calls, "slow", 1)
        rig.crash("w1")

        await rig.start(slow(calls, 5), quick(calls), name="w2")
        await rig.ask("quick", 1, command=2)
        results = {result.command: result for result in await rig.wait_results(2)}

        assert (results[1].deliveries, results[2].deliveries) == (2, 1)
        assert b"deliveries" not in encode_body(results[2])

    simulate(main)


def test_how_often_an_attempt_may_lose_its_worker_is_the_works_own_bound() -> None:
    """`recover_on_worker_loss=False`: one loss, and the step fails, saying that it may have done its work."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), name="w1")
        await rig.ask("slow", recoveries_max=1)
        await asyncio.sleep(1)
        rig.crash("w1")

        await rig.start(slow(calls, 100), name="w2")
        result = await rig.wait_result()

        assert calls.count["slow"] == 1
        assert result.error is not None
        assert result.error.code == "worker_lost"
        assert "it may have done its work" in result.error.message

    simulate(main)


# --- everything at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_under_faults_every_step_is_answered_and_acked(seed: int) -> None:
    """Lost and doubled messages, a restart, a crash: nothing is lost, whatever the order (seeded)."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        faults = rig.server.faults
        faults.delay_s = 0.05
        faults.delivery_doubled = 0.1
        faults.delivery_ack_lost = 0.1
        faults.ack_lost = 0.1
        faults.commit_late = 0.05
        faults.request_lost = 0.1
        await rig.start(slow(calls, 1), quick(calls), name="w1", queues={"default": 5})
        await rig.start(slow(calls, 1), quick(calls), name="w2", queues={"default": 5})
        for command in range(1, 60, 2):
            await rig.ask_surely("slow", command=command)
            await rig.ask_surely("quick", 1, command=command + 1)
            if command == 21:
                rig.server.restart(down_s=2)
            if command == 41:
                rig.crash("w1")

        await rig.wait_acked()

        assert {result.command for result in await rig.results()} == set(range(1, 61))
        assert {result.error for result in await rig.results()} == {None}

    simulate(main, seed=seed, limit_s=2_000)
