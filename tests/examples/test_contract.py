"""The contract: signed, refused and sent again, never answered."""

from __future__ import annotations

from pathlib import Path

import anyio

from examples.contract import Signature, contract
from jetrun.client import Client
from support.story import kinds, wait_event


async def letter(path: Path) -> str:
    with anyio.fail_after(10):
        while not (path.exists() and path.read_text()):
            await anyio.sleep(0.01)
    return path.read_text()


async def test_contract_is_signed(client: Client, tmp_path: Path) -> None:
    run = await client.start(contract.call("c-1", str(tmp_path)), run_id="c-1")
    await wait_event(run, "step.deferred")
    await client.complete_step(await letter(tmp_path / "c-1"), Signature("ada"))

    assert await run.result() == "contract c-1, signed by ada"


async def test_letter_that_came_back_is_sent_again(client: Client, tmp_path: Path) -> None:
    """A failure told by the token is retried as every failure is."""
    run = await client.start(contract.call("c-2", str(tmp_path)), run_id="c-2")
    first = await letter(tmp_path / "c-2")
    await client.fail_step(first, "address unknown")
    await wait_event(run, "step.retrying")
    with anyio.fail_after(10):
        while (second := await letter(tmp_path / "c-2")) == first:
            await anyio.sleep(0.01)
    await client.complete_step(second, Signature("bob"))

    assert await run.result() == "contract c-2, signed by bob"


async def test_nobody_answers(client: Client, tmp_path: Path) -> None:
    run = await client.start(contract.call("c-3", str(tmp_path), patience="500ms"), run_id="c-3")

    assert await run.result() == "contract c-3, signed by nobody"
    assert "timer.fired" in kinds(await run.events())
