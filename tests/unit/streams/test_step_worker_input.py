"""What a step worker does with work that it cannot run, and with values too large for a message."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from jetrun.actors.limits import VALUE_INLINE_BYTES_MAX
from jetrun.actors.step import step
from jetrun.actors.work import PackedArguments
from support.step_rig import APP, KEY, Calls, Rig, quick, simulate

# --- what cannot be run ----------------------------------------------------------------------------


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


# --- large values ----------------------------------------------------------------------------------


def test_large_arguments_come_from_the_object_store() -> None:
    """The message names them by hash."""

    @step(name="length")
    async def length(text: str) -> int:
        return len(text)

    async def main(rig: Rig) -> None:
        await rig.start(length)
        data = msgspec.json.encode(PackedArguments(args=msgspec.Raw(msgspec.json.encode(["x" * 500_000]))))
        digest = sha256(data).hexdigest()
        await rig.broker.put_object(APP.values, f"{KEY.workflow}/{KEY.run}/{digest}", data)

        await rig.ask("length", ref={"sha256": digest, "size": len(data)})
        result = await rig.wait_result()

        assert bytes(result.result) == b"500000"

    simulate(main)


def test_missing_large_arguments_may_be_there_later() -> None:
    """A lagging object store is no reason to fail a step for good."""

    async def main(rig: Rig) -> None:
        await rig.start(quick(Calls()))

        await rig.ask("quick", ref={"sha256": "0" * 64, "size": 3})
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
