"""Slots: a run goes from turn to look and back, and neither waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from jetrun.actors.names import RunKey
from jetrun.streams.slots import Slot

LETTER = cast("Any", "a letter")


def new_slot() -> Slot:
    return Slot(RunKey("order", "o-1"), 0)


async def test_a_free_run_is_lent_at_once() -> None:
    slot = new_slot()

    await slot.borrow()

    assert slot.is_busy
    assert not slot.hand_over()


async def test_a_busy_run_is_handed_over_by_its_turn() -> None:
    """It is busy all the time: no turn begins in between."""
    slot = new_slot()
    slot.is_busy = True
    looks = [asyncio.ensure_future(slot.borrow()) for _ in range(2)]
    await asyncio.sleep(0)

    assert slot.hand_over()
    await looks[0]
    assert slot.is_busy
    assert not looks[1].done()
    assert slot.hand_over()
    await looks[1]
    assert not slot.hand_over()


async def test_letters_have_their_turn_between_two_looks() -> None:
    """Who asks all the time does not keep a run from going on."""
    slot = new_slot()
    slot.is_busy = True
    looks = [asyncio.ensure_future(slot.borrow()) for _ in range(2)]
    await asyncio.sleep(0)
    slot.letters.append(LETTER)

    assert slot.hand_over()
    await looks[0]
    assert not slot.hand_over()  # the letter is next
    slot.letters.clear()
    assert slot.hand_over()  # after its turn the second look
    await looks[1]
