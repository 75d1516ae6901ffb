"""How steps and their worker end: timeouts, cancellation, drain; and what the worker tells meanwhile."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from jetrun.actors.errors import DefinitionError, InvalidName, NotProvisioned
from jetrun.actors.names import RunKey
from jetrun.actors.step import step
from jetrun.streams.step_worker import StepWorker
from support.step_rig import APP, KEY, Calls, Rig, Steps, quick, simulate, slow

# --- time ------------------------------------------------------------------------------------------


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


# --- cancellation ----------------------------------------------------------------------------------


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


# --- slots and queues ------------------------------------------------------------------------------


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


# --- the end ---------------------------------------------------------------------------------------


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


# --- notices ---------------------------------------------------------------------------------------


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
