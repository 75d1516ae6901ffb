"""Virtual time: two clocks on asyncio's own loop, and the loop as it was afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import uvloop

from jetrun.actors.errors import JetrunError
from jetrun.client.testing_time import VirtualTime


@contextmanager
def virtual_time() -> Generator[VirtualTime]:
    clock = VirtualTime()
    clock.install(asyncio.get_running_loop())
    try:
        yield clock
    finally:
        clock.uninstall()


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A loop for each test, so that one that is left changed harms no other."""

    def run() -> None:
        async def awaited() -> None:
            await test()

        asyncio.run(awaited())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@on_loop
async def test_timers_come_in_order_at_their_instants() -> None:
    """Whoever sleeps longer wakes later, to the instant."""
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, clock.now - began))

    with virtual_time() as clock:
        began = clock.now
        await asyncio.gather(
            sleeper("month", 2_592_000), sleeper("second", 1), sleeper("hour", 3_600), sleeper("now", 0)
        )

    assert [name for name, _ in woken] == ["now", "second", "hour", "month"]
    assert [at for _, at in woken] == pytest.approx([0, 1, 3_600, 2_592_000])


@on_loop
async def test_the_engines_clock_does_not_leap() -> None:
    """What beats every second beats a few times, not for every second of a month."""
    loop, beats = asyncio.get_running_loop(), list[float]()

    async def beat() -> None:
        while True:
            beats.append(loop.time())
            await asyncio.sleep(1)

    with virtual_time() as clock:
        task = clock.engine_context().run(loop.create_task, beat())
        await asyncio.sleep(2_592_000)
        task.cancel()

        assert clock.now - clock.engine_now > 2_591_990
    assert [later - before for before, later in pairwise(beats)] == pytest.approx([1.0] * (len(beats) - 1))
    assert len(beats) < 10


@on_loop
async def test_timers_that_were_there_before_come_too() -> None:
    """A timeout around the block strikes in virtual time."""

    async def sleep() -> None:
        async with asyncio.timeout(60):
            with virtual_time():
                await asyncio.sleep(3_600)

    with pytest.raises(TimeoutError):
        await sleep()


@on_loop
async def test_timers_that_are_left_come_afterwards() -> None:
    """The clock goes on from where it was, and timers with it; cancelled ones stay cancelled."""
    loop, rung = asyncio.get_running_loop(), asyncio.Event()
    with virtual_time():
        await asyncio.sleep(86_400)
        loop.call_later(0.001, rung.set)
        loop.call_later(0.001, pytest.fail).cancel()
        before = loop.time()

    async with asyncio.timeout(30):
        await rung.wait()

    assert 0 < loop.time() - before < 30
    assert loop.time() - time.monotonic() > 86_000


@on_loop
async def test_cancelled_timers_are_forgotten() -> None:
    """Every request sets a timeout that hardly ever comes: they must not add up."""
    loop = asyncio.get_running_loop()
    with virtual_time() as clock:
        for _ in range(10_000):
            loop.call_later(1_000_000, pytest.fail).cancel()

        assert len(clock._timers) <= 1_001


@on_loop
async def test_nothing_left_is_told() -> None:
    """Without a timer nothing can happen, and who hears that can end it."""
    reasons: list[str] = []
    waiting = asyncio.get_running_loop().create_future()

    def hear(reason: str) -> None:
        reasons.append(reason)
        waiting.cancel()

    with virtual_time() as clock:
        clock.on_stuck = hear
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert reasons == ["nothing is left that could happen"]


def test_other_loops_are_refused() -> None:
    """A loop whose clock cannot be taken over is named, with the way out."""

    async def main() -> None:
        VirtualTime().install(asyncio.get_running_loop())

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(JetrunError, match="use_uvloop False"),
    ):
        runner.run(main())
