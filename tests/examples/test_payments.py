"""Idempotency: one run, and one charge, however often either is asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from examples.payments import payment
from jetrun.client import Client, RunConflict
from support.story import kinds


def charges(bank: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(bank)) as table:
        return table.execute("SELECT customer, cents FROM charges ORDER BY key").fetchall()


async def test_lost_answer_does_not_charge_twice(client: Client, tmp_path: Path) -> None:
    """Two attempts reached the bank; the key was the same."""
    bank = tmp_path / "bank.db"
    run = await client.start(payment.call("ann", 4_200, str(bank)), run_id="o-1")

    assert (await run.result()).startswith("payment/o-1/")
    story = kinds(await run.events())
    assert (story.count("step.failed"), story.count("step.completed")) == (1, 1)
    assert charges(bank) == [("ann", 4_200)]


async def test_two_starts_are_one_run(client: Client, tmp_path: Path) -> None:
    """Both get the same result; another order is another run, and another charge."""
    bank = tmp_path / "bank.db"
    first = await client.start(payment.call("bob", 900, str(bank)), run_id="o-2")
    second = await client.start(payment.call("bob", 900, str(bank)), run_id="o-2")
    other = await client.start(payment.call("bob", 900, str(bank)), run_id="o-3")

    assert await first.result() == await second.result() != await other.result()
    assert charges(bank) == [("bob", 900)] * 2


async def test_another_amount_under_the_same_id_is_refused(client: Client, tmp_path: Path) -> None:
    bank = tmp_path / "bank.db"
    run = await client.start(payment.call("eve", 100, str(bank)), run_id="o-4")
    await run.result()

    with pytest.raises(RunConflict):
        await client.start(payment.call("eve", 999, str(bank)), run_id="o-4")
    assert charges(bank) == [("eve", 100)]
