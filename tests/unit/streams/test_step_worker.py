"""The step worker over the in-memory twin, in virtual time: order of safety, redelivery, bounds, end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from jetrun.actors.attempt import attempt
from jetrun.actors.errors import DefinitionError, InvalidName, NotProvisioned
from jetrun.actors.limits import STEP_RECOVERIES_MAX, VALUE_INLINE_BYTES_MAX
from jetrun.actors.names import RunKey
from jetrun.actors.step import Step, step
from jetrun.actors.work import PackedArguments
from jetrun.streams.step_worker import StepWorker
from support.step_rig import APP, KEY, Rig, Steps, simulate


class Calls:
    """Steps that count their calls, and hold them until they are let go."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.most = 0
        self._now = 0

    async def run(self, seconds: float) -> None:
        name = attempt().step
        self.count[name] += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled[name] += 1
            raise
        finally:
            self._now -= 1


def quick(calls: Calls) -> Step[[int], int]:
    @step(name="quick")
    async def double(number: int) -> int:
        await calls.run(0)
        return 2 * number

    return double


def slow(calls: Calls, seconds: float, name: str = "slow", queue: str = "default") -> Step[[], str]:
    @step(name=name, queue=queue)
    async def wait() -> str:
        await calls.run(seconds)
        return "done"

    return wait


class NoLease:
    """A lease that is never renewed: what a loop that hangs, or a paused process, looks like to the server."""

    async def run(self, held: object) -> None:
        del held
        await asyncio.sleep(10**6)


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
        await rig.wait_value(_value(lambda: calls.count["slow"]), lambda count: count == 1)

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
        await _ask_with_answer(rig, "quick")
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
        await _ask_with_answer(rig, "quick")
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


# --- deliveries that come again -----------------------------------------------------------------------


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
        for name in ("w1", "w2", "w3"):
            await rig.start(slow(calls, 100, "deadly"), name=name)
            died = calls.count["deadly"] + 1
            await rig.wait_value(_value(lambda: calls.count["deadly"]), lambda count, died=died: count == died)  # type: ignore[misc]
            rig.crash(name)

        await rig.start(slow(calls, 100, "deadly"), quick(calls), name="w4")
        result = await rig.wait_result()
        await rig.ask("quick", 1, command=2)
        await rig.wait_results(2)

        assert calls.count["deadly"] == STEP_RECOVERIES_MAX
        assert result.error is not None
        assert (result.error.code, result.error.type, result.is_retryable) == ("worker_died", "WorkerDied", False)
        assert "worker died 3 times" in result.error.message

    simulate(main)


def test_how_often_an_attempt_may_lose_its_worker_is_the_works_own_bound() -> None:
    """`max_recovery_attempts=1`: one loss, and the step fails."""
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
        assert result.error.code == "worker_died"

    simulate(main)


# --- what cannot be run -----------------------------------------------------------------------------------


def test_an_unknown_step_is_tried_again_later() -> None:
    """During a rolling deploy another worker may know it; the message names what is close."""

    async def main(rig: Rig) -> None:
        await rig.start(quick(Calls()))

        await rig.ask("quik", 1)
        result = await rig.wait_result()
        await rig.wait_acked()

        assert result.error is not None
        assert (result.error.code, result.is_retryable, result.retry_after_us) == ("unknown_step", True, 10_000_000)
        assert "did you mean 'quick'" in result.error.message

    simulate(main)


@pytest.mark.parametrize("args", [("one",), (), (1, 2)])
def test_arguments_that_do_not_fit_are_a_final_failure(args: tuple[object, ...]) -> None:
    """Trying again cannot help; the message names the parameter or the step."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(quick(calls))

        await rig.ask("quick", *args)
        result = await rig.wait_result()

        assert result.error is not None
        assert (result.error.code, result.is_retryable) == ("invalid_arguments", False)
        assert "quick" in result.error.message
        assert calls.count["quick"] == 0

    simulate(main)


def test_broken_work_is_buried_with_its_bytes() -> None:
    """It can never be run by anybody; it must not come again for ever (R16)."""

    async def main(rig: Rig) -> None:
        await rig.start(quick(Calls()), queues={"default": 1})

        for _ in range(3):
            await rig.ask_raw(b'{"broken')
        await rig.wait_acked()
        await rig.ask("quick", 1)
        await rig.wait_result()

        dead = await rig.broker.read(APP.dead, APP.dead_of(KEY))
        assert len(dead) == 3
        body = msgspec.json.decode(dead[0].payload)
        assert (body["code"], body["body"]) == ("json", '{"broken')

    simulate(main)


def test_work_of_a_newer_version_is_left_to_a_newer_worker() -> None:
    """Buried it would be lost, answered it would be failed; unacked it finds its worker (F28)."""

    async def main(rig: Rig) -> None:
        await rig.start(quick(Calls()), queues={"default": 1})

        await rig.ask_raw(b'{"v":2,"shape":"unknown"}')
        await rig.ask("quick", 1, command=2)
        await rig.wait_result()

        assert await rig.work_left() == 1
        assert await rig.broker.read(APP.dead, f"wf.{APP.name}.dead.>") == []

    simulate(main)


# --- large values ----------------------------------------------------------------------------------------------


def test_large_arguments_come_from_the_object_store() -> None:
    """The message names them by hash."""

    @step(name="length")
    async def length(text: str) -> int:
        return len(text)

    async def main(rig: Rig) -> None:
        await rig.start(length)
        data = msgspec.json.encode(PackedArguments(args=msgspec.Raw(msgspec.json.encode(["x" * 500_000]))))
        await rig.broker.put_object(APP.values, f"{KEY.workflow}/{KEY.run}/abc", data)

        await rig.ask("length", ref={"sha256": "abc", "size": len(data)})
        result = await rig.wait_result()

        assert bytes(result.result) == b"500000"

    simulate(main)


def test_missing_large_arguments_may_be_there_later() -> None:
    """A lagging object store is no reason to fail a step for good."""

    async def main(rig: Rig) -> None:
        await rig.start(quick(Calls()))

        await rig.ask("quick", ref={"sha256": "abc", "size": 3})
        result = await rig.wait_result()

        assert result.error is not None
        assert (result.error.code, result.is_retryable) == ("missing_value", True)

    simulate(main)


def test_a_large_result_goes_to_the_object_store() -> None:
    """The mailbox carries its name alone, and the value is there before it."""

    @step(name="text")
    async def text(size: int) -> str:
        return "x" * size

    async def main(rig: Rig) -> None:
        await rig.start(text)

        await rig.ask("text", VALUE_INLINE_BYTES_MAX)
        result = await rig.wait_result()
        await rig.wait_acked()

        assert result.ref is not None
        stored = await rig.broker.get_object(APP.values, f"{KEY.workflow}/{KEY.run}/{result.ref.sha256}")
        assert stored is not None
        assert len(stored) == result.ref.size == VALUE_INLINE_BYTES_MAX + 2

    simulate(main)


def test_a_result_beyond_all_bounds_is_a_final_failure() -> None:
    """Running the step again would make it again."""

    @step(name="text")
    async def text() -> str:
        return "x" * (9 * 1024 * 1024)

    async def main(rig: Rig) -> None:
        await rig.start(text)

        await rig.ask("text")
        result = await rig.wait_result()

        assert result.error is not None
        assert (result.error.code, result.is_retryable) == ("result_too_large", False)

    simulate(main)


# --- time ----------------------------------------------------------------------------------------------------------


def test_a_step_that_takes_too_long_is_cancelled_and_may_be_tried_again() -> None:
    """The failure is a TimeoutError in the workflow."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100))

        await rig.ask("slow", timeout_us=2_000_000)
        result = await rig.wait_result()

        assert result.error is not None
        assert (result.error.code, result.error.type, result.is_retryable) == ("step_timeout", "TimeoutError", True)
        assert calls.cancelled["slow"] == 1
        assert 2 <= rig.loop.time() < 2.1

    simulate(main)


def test_a_step_that_is_in_time_is_not_cancelled() -> None:
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 1))

        await rig.ask("slow", timeout_us=2_000_000)
        result = await rig.wait_result()
        await asyncio.sleep(10)

        assert bytes(result.result) == b'"done"'
        assert calls.cancelled["slow"] == 0

    simulate(main)


def test_a_step_that_ignores_its_timeout_is_given_up_after_a_grace() -> None:
    """It cannot hold its slot and its run for ever."""
    calls = Calls()

    @step(name="stubborn")
    async def stubborn() -> None:
        for _ in range(10):
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                continue

    async def main(rig: Rig) -> None:
        await rig.start(stubborn, quick(calls), queues={"default": 1})

        await rig.ask("stubborn", timeout_us=1_000_000)
        result = await rig.wait_result()
        given_up_at = rig.loop.time()
        await rig.ask("quick", 1, command=2)
        await rig.wait_results(2)

        assert result.error is not None
        assert result.error.code == "step_timeout"
        assert 6 <= given_up_at < 6.1
        assert calls.count["quick"] == 1

    simulate(main)


def test_a_value_that_comes_in_spite_of_the_timeout_counts() -> None:
    """The work is done; saying it timed out would do it twice."""

    @step(name="late")
    async def late() -> str:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            return "all the same"
        return "in time"

    async def main(rig: Rig) -> None:
        await rig.start(late)

        await rig.ask("late", timeout_us=1_000_000)
        result = await rig.wait_result()

        assert bytes(result.result) == b'"all the same"'

    simulate(main)


# --- cancellation ------------------------------------------------------------------------------------------------------


def test_a_stop_notice_cancels_the_runs_step_and_no_other() -> None:
    """Nobody waits for it any more: `CancelledError` in the step, a failure that is not tried again."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), slow(calls, 5, "other"))
        await rig.ask("slow", command=1)
        await rig.ask("other", command=2)
        await asyncio.sleep(1)

        rig.broker.notify(APP.stop(KEY), b'{"commands":[1]}')
        first = await rig.wait_result()
        results = await rig.wait_results(2)

        assert first.error is not None
        assert (first.command, first.error.code, first.is_retryable) == (1, "cancelled", False)
        assert calls.cancelled == {"slow": 1}
        assert bytes(results[1].result) == b'"done"'

    simulate(main)


def test_a_stop_notice_without_commands_cancels_all_steps_of_the_run() -> None:
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100))
        for command in range(1, 6):
            await rig.ask("slow", command=command)
        await asyncio.sleep(1)

        rig.broker.notify(APP.stop(RunKey("order", "o-2")), b'{"commands":null}')
        await asyncio.sleep(1)
        untouched = dict(calls.cancelled)
        rig.broker.notify(APP.stop(KEY), b'{"commands":null}')
        await rig.wait_results(5)

        assert untouched == {}
        assert calls.cancelled["slow"] == 5

    simulate(main)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"commands":"all"}', b"\xff"])
def test_a_broken_stop_notice_stops_nothing(body: bytes) -> None:
    """Notices come from outside; the worker lives on."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 3))
        await rig.ask("slow")
        await asyncio.sleep(1)

        rig.broker.notify(APP.stop(KEY), body)
        result = await rig.wait_result()

        assert result.error is None

    simulate(main)


# --- slots and queues ----------------------------------------------------------------------------------------------------


def test_no_more_steps_run_at_once_than_the_queue_allows() -> None:
    """The concurrency limit holds, and every slot is used."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 1), queues={"default": 7})
        for command in range(1, 50):
            await rig.ask("slow", command=command)

        await rig.wait_acked()

        assert calls.count["slow"] == 49
        assert calls.most == 7
        assert rig.loop.time() < 8

    simulate(main)


def test_each_queue_has_slots_of_its_own() -> None:
    """A full queue does not hold up another one."""
    calls, others = Calls(), Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), slow(others, 0, "other", "other"), queues={"default": 1, "other": 2})
        for command in range(1, 5):
            await rig.ask("slow", command=command)
        for command in range(5, 10):
            await rig.ask("other", command=command, queue="other")

        await rig.wait_results(5)

        assert others.count["other"] == 5
        assert calls.count["slow"] == 1

    simulate(main)


def test_a_queue_that_nobody_provisioned_is_refused_at_the_start() -> None:
    """Whether it is served here or only named by a step: its work would wait for ever (R17)."""

    async def main(rig: Rig) -> None:
        with pytest.raises(NotProvisioned, match="queue_missing"):
            await rig.start(quick(Calls()), name="w1", queues={"missing": 1})
        with pytest.raises(NotProvisioned, match="queue_missing"):
            await rig.start(slow(Calls(), 1, queue="missing"), name="w2", queues={"default": 1})

    simulate(main)


def test_bounds_that_cannot_work_are_refused_before_anything_runs() -> None:
    async def main(rig: Rig) -> None:
        for queues, name, error in (
            ({"default": 0}, "w", DefinitionError),
            ({"default": 10**6}, "w", DefinitionError),
            ({"de.fault": 1}, "w", InvalidName),
            ({"default": 1}, "w.1", InvalidName),
        ):
            with pytest.raises(error):
                StepWorker(rig.broker, APP, Steps(), queues, worker_id=name)

    simulate(main)


# --- the end -----------------------------------------------------------------------------------------------------------------


def test_drain_finishes_what_runs_and_takes_nothing_new() -> None:
    """A deploy costs no step."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 5))
        await rig.ask("slow", command=1)
        await asyncio.sleep(1)

        rig.workers["w1"].drain()
        await asyncio.sleep(0.1)
        await rig.ask("slow", command=2)
        await rig.ended["w1"]

        assert calls.count["slow"] == 1
        assert len(await rig.results()) == 1
        assert await rig.work_left() == 1
        assert rig.loop.time() < 6

    simulate(main)


def test_drain_of_an_idle_worker_ends_at_once() -> None:
    async def main(rig: Rig) -> None:
        await rig.start(quick(Calls()))

        rig.workers["w1"].drain()
        await rig.ended["w1"]

        assert rig.loop.time() < 0.1

    simulate(main)


def test_what_outlasts_the_drain_is_cancelled_and_left_to_others() -> None:
    """Unacked and unanswered: another worker gets it, with one recovery used."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), name="w1", drain_s=3)
        await rig.ask("slow")
        await asyncio.sleep(1)

        rig.workers["w1"].drain()
        await rig.ended["w1"]
        ended_at = rig.loop.time()
        before = await rig.results()
        await rig.start(slow(calls, 1), name="w2")
        result = await rig.wait_result()

        assert 4 <= ended_at < 4.1
        assert before == []
        assert calls.cancelled["slow"] == 1
        assert (result.worker, result.error) == ("w2", None)

    simulate(main)


def test_a_step_that_ignores_everything_does_not_hold_the_worker() -> None:
    """`run` returns; the process can end."""

    @step(name="stubborn")
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                continue

    async def main(rig: Rig) -> None:
        await rig.start(stubborn, drain_s=1)
        await rig.ask("stubborn")
        await asyncio.sleep(1)

        rig.workers["w1"].drain()
        await rig.ended["w1"]

        assert rig.loop.time() < 10
        rig.crash("w1")  # the simulation would wait for its task

    simulate(main)


def test_a_cancelled_worker_leaves_its_steps_to_others() -> None:
    """No failure is reported for a step that was only cancelled with its worker."""
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.start(slow(calls, 100), name="w1")
        await rig.ask("slow")
        await asyncio.sleep(1)

        rig.ended["w1"].cancel()
        await asyncio.wait({rig.ended["w1"]})
        before = await rig.results()
        await rig.start(slow(calls, 1), name="w2")
        result = await rig.wait_result()

        assert before == []
        assert calls.cancelled["slow"] == 1
        assert result.worker == "w2"

    simulate(main)


# --- notices -------------------------------------------------------------------------------------------------------------------


def test_beats_tell_load_and_the_last_one_says_goodbye() -> None:
    """`wfctl workers` shows who lives and what they do."""
    beats: list[dict[str, object]] = []
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.broker.listen(APP.beat("w1"), lambda _subject, body, _reply: beats.append(msgspec.json.decode(body)))
        await rig.start(slow(calls, 2.5), queues={"default": 5, "other": 1})
        await rig.ask("slow")
        await asyncio.sleep(4.5)
        rig.workers["w1"].drain()
        await rig.ended["w1"]
        await asyncio.sleep(0.1)

        assert len(beats) == 6
        assert {key: beats[1][key] for key in ("worker", "kind", "queues")} == {
            "worker": "w1",
            "kind": "steps",
            "queues": {"default": {"concurrency": 5, "running": 1}, "other": {"concurrency": 1, "running": 0}},
        }
        assert [beat.get("leaving", False) for beat in beats] == [False] * 5 + [True]

    simulate(main)


def test_only_steps_that_take_a_while_are_announced() -> None:
    """A notice per no-op would cost more than the step."""
    notes: list[dict[str, object]] = []
    calls = Calls()

    async def main(rig: Rig) -> None:
        await rig.broker.listen(APP.note(KEY), lambda _subject, body, _reply: notes.append(msgspec.json.decode(body)))
        await rig.start(quick(calls), slow(calls, 5))

        await rig.ask("quick", 1, command=1)
        await rig.ask("slow", command=2, attempt=3)
        await rig.wait_acked()

        assert [(note["kind"], note["command"], note["attempt"], note["name"], note["worker"]) for note in notes] == [
            ("step_started", 2, 3, "slow", "w1")
        ]

    simulate(main)


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
            await _ask_until_stored(rig, "slow", command=command)
            await _ask_until_stored(rig, "quick", 1, command=command + 1)
            if command == 21:
                rig.server.restart(down_s=2)
            if command == 41:
                rig.crash("w1")

        await rig.wait_acked()

        assert {result.command for result in await rig.results()} == set(range(1, 61))
        assert {result.error for result in await rig.results()} == {None}

    simulate(main, seed=seed, limit_s=2_000)


async def _ask_until_stored(rig: Rig, name: str, *args: object, command: int) -> None:
    while (await rig.ask(name, *args, command=command)).code != 0:
        continue


async def _ask_with_answer(rig: Rig, name: str) -> None:
    """Publishes work past the faults of the road."""
    faults = rig.server.faults
    lost, ack_lost = faults.request_lost, faults.ack_lost
    faults.request_lost = faults.ack_lost = 0.0
    await rig.ask(name, 1)
    faults.request_lost, faults.ack_lost = lost, ack_lost


def _value(read: Callable[[], int]) -> Callable[[], Awaitable[int]]:
    async def value() -> int:
        return read()

    return value
