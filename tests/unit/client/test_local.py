"""`local`: an app beside the program, in memory or on a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetrun.actors.registry import RegistrationError
from jetrun.client import RunNotFound
from jetrun.client.local import local
from support.tested_flows import asked, measured, two_answers


async def test_script_runs_a_workflow_in_memory() -> None:
    """Steps run, sync ones in their threads; nothing has to be started or provisioned."""
    async with local(measured) as client:
        run = await client.start(measured.call("abc"), run_id="m-1")

        assert await run.result() == 9


async def test_module_can_be_named() -> None:
    """All that a module holds is known; what waits when the block ends is dropped with the memory."""
    async with local("support.tested_flows") as client:
        waiting = await client.start(asked.call("ann"), run_id="a-1")
        run = await client.start(two_answers.call(), run_id="t-1", hooks=[("answer", "one"), ("answer", "two")])

        assert await run.result() == ["one", "two"]
        assert (await waiting.status()).status == "running"


async def test_errors_of_the_script_come_as_they_are() -> None:
    """`except RunFailed` around the block works: nothing is wrapped, and the workers end."""

    async def script() -> None:
        async with local(asked) as client:
            await client.get(asked, "nobody").result()

    with pytest.raises(RunNotFound, match="asked/nobody"):
        await script()


async def test_nothing_to_run_is_refused() -> None:
    """One line says what is missing."""
    with pytest.raises(RegistrationError, match="no workflow and no step"):
        async with local():
            raise AssertionError


@pytest.mark.slow
async def test_store_keeps_runs(tmp_path: Path) -> None:
    """A run goes on in the next program on the same store."""
    async with local(two_answers, measured, store=tmp_path / "store") as client:
        run = await client.start(two_answers.call(), run_id="t-1")
        await run.hook("answer", "one")
        assert await (await client.start(measured.call("ab"), run_id="m-1")).result() == 6

    async with local(two_answers, store=tmp_path / "store") as client:
        run = client.get(two_answers, "t-1")
        await run.hook("answer", "two")

        assert await run.result() == ["one", "two"]
