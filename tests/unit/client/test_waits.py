"""Waiting for many runs, cheaply and without missing one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetrun.actors import call
from jetrun.actors.errors import NotProvisioned, OutcomeUnknown, PermissionDenied
from jetrun.actors.limits import LISTEN_IDLE_S, READ_AGAIN_S, WAIT_SWEEP_READS_MAX
from jetrun.actors.names import RunKey
from jetrun.client.waits import Waits
from jetrun.streams.memory import MemoryBroker
from support.client_rig import APP, KEY, ClientRig, on_twin


class CountingBroker(MemoryBroker):
    """Says what was subscribed to and what is still open."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.listened: list[str] = []
        self.open = 0
        self.refusals = 0

    async def listen(self, subject: str, on_notice: Any, *, queue: str = "") -> Any:
        self.listened.append(subject)
        if self.refusals:
            self.refusals -= 1
            raise PermissionDenied("no")
        self.open += 1
        return Closing(self, await super().listen(subject, on_notice, queue=queue))


class Closing:
    def __init__(self, broker: CountingBroker, subscription: Any) -> None:
        self._broker = broker
        self._subscription = subscription

    async def close(self) -> None:
        self._broker.open -= 1
        await self._subscription.close()


class Ends:
    """Stands for the logs of runs: which have ended, and who has looked."""

    def __init__(self) -> None:
        self.ended: set[RunKey] = set()
        self.looks: list[RunKey] = []
        self.errors: list[Exception] = []

    async def wait(self, waits: Waits, key: RunKey) -> RunKey:
        async def settle() -> RunKey | None:
            self.looks.append(key)
            if self.errors:
                raise self.errors.pop()
            return key if key in self.ended else None

        return await waits.wait_settled(await waits.watch(key), settle)


@on_twin
async def test_a_hundred_waiters_open_one_subscription(rig: ClientRig) -> None:
    """Subscribing takes a round trip; all who come meanwhile share it."""
    broker = CountingBroker(rig.server)
    waits, ends = Waits(broker, APP), Ends()
    waiting = [asyncio.create_task(ends.wait(waits, KEY._replace(run=f"r{index}"))) for index in range(100)]
    await asyncio.sleep(1)

    assert broker.listened == ["wf.t.done.order.*"]
    for task in waiting:
        task.cancel()
    await waits.close()
    assert broker.open == 0


@on_twin
async def test_a_refused_subscription_is_told_to_all_and_tried_again(rig: ClientRig) -> None:
    """Whoever comes later must not wait for a subscription that nobody is making."""
    broker = CountingBroker(rig.server)
    broker.refusals = 2
    waits, ends = Waits(broker, APP), Ends()
    ends.ended.add(KEY)

    answers = await asyncio.gather(*(ends.wait(waits, KEY) for _ in range(3)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [PermissionDenied, PermissionDenied, RunKey]


@on_twin
async def test_a_cancelled_opener_hands_over(rig: ClientRig) -> None:
    """The one who happens to subscribe may go away; those who wait for it go on."""
    waits, ends = Waits(CountingBroker(rig.server), APP), Ends()
    ends.ended.add(KEY)
    rig.server.faults.delay_s = 1.0
    first = asyncio.create_task(ends.wait(waits, KEY))
    await asyncio.sleep(0)
    second = asyncio.create_task(ends.wait(waits, KEY))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == KEY


@on_twin
async def test_silent_runs_are_read_again_but_not_all_at_once(rig: ClientRig) -> None:
    """Many waiting runs are a steady trickle of reads, never a burst."""
    waits, ends = Waits(MemoryBroker(rig.server), APP), Ends()
    keys = [KEY._replace(run=f"r{index}") for index in range(WAIT_SWEEP_READS_MAX + 500)]
    waiting = [asyncio.create_task(ends.wait(waits, key)) for key in keys]
    await asyncio.sleep(READ_AGAIN_S - 0.5)
    assert len(ends.looks) == len(keys)

    await asyncio.sleep(1.0)
    assert len(ends.looks) == len(keys) + WAIT_SWEEP_READS_MAX
    await asyncio.sleep(1.0)
    assert len(ends.looks) == 2 * len(keys)

    ends.ended.update(keys)
    assert await asyncio.gather(*waiting) == keys
    await waits.close()


@on_twin
async def test_nothing_runs_when_nobody_waits(rig: ClientRig) -> None:
    """An idle client costs no timer."""
    waits, ends = Waits(MemoryBroker(rig.server), APP), Ends()
    waiting = asyncio.create_task(ends.wait(waits, KEY))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.sleep(2)

    assert waits._sweep_timer is None
    assert waits._asleep == {}


@on_twin
async def test_an_idle_subscription_is_closed_and_made_anew(rig: ClientRig) -> None:
    """A program that has stopped waiting must not go on getting every notice of a workflow."""
    broker = CountingBroker(rig.server)
    waits, ends = Waits(broker, APP), Ends()
    ends.ended.add(KEY)
    await ends.wait(waits, KEY)

    await waits.close_idle()
    assert broker.open == 1
    await asyncio.sleep(LISTEN_IDLE_S + 1)
    await waits.close_idle()
    assert broker.open == 0

    assert waits.watch_nowait(KEY) is None
    await ends.wait(waits, KEY)
    assert broker.open == 1


@on_twin
async def test_a_subscription_in_use_is_not_closed(rig: ClientRig) -> None:
    """However long a run takes, who waits for it keeps hearing."""
    broker = CountingBroker(rig.server)
    waits, ends = Waits(broker, APP), Ends()
    waiting = asyncio.create_task(ends.wait(waits, KEY))
    await asyncio.sleep(LISTEN_IDLE_S * 3)

    await waits.close_idle()

    assert broker.open == 1
    waiting.cancel()
    await waits.close()


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), NotProvisioned("nobody there")])
def test_a_server_that_is_away_ends_no_wait_that_has_begun(error: Exception) -> None:
    """The first look tells a caller what is wrong; later ones bridge a restart of the server."""

    @on_twin
    async def test(rig: ClientRig) -> None:
        waits, ends = Waits(MemoryBroker(rig.server), APP), Ends()
        ends.errors = [error]
        with pytest.raises(type(error)):
            await ends.wait(waits, KEY)

        waiting = asyncio.create_task(ends.wait(waits, KEY))
        await asyncio.sleep(1)
        ends.errors = [error]
        ends.ended.add(KEY)

        before = rig.loop.time()
        assert await waiting == KEY
        assert rig.loop.time() - before < 3 * READ_AGAIN_S

    test()


@on_twin
async def test_what_is_dropped_is_forgotten(rig: ClientRig) -> None:
    """A client that starts runs for years and waits for none of them does not grow."""
    waits, ends = Waits(MemoryBroker(rig.server), APP), Ends()
    ends.ended.add(KEY)
    await ends.wait(waits, KEY)

    watch = waits.watch_nowait(KEY._replace(run="o-2"))
    assert watch is not None
    channel = waits._channels["order"]
    assert list(channel.watches) == ["o-2"]
    del watch

    assert list(channel.watches) == []


@on_twin
async def test_a_gap_while_a_start_is_sent_counts(rig: ClientRig) -> None:
    """What a subscription promised before a gap is void after it, wherever the gap falls: the log is read first."""
    await rig.begin("o-0", key=KEY._replace(run="o-0"))
    other = asyncio.create_task(rig.client.get("order/o-0").result())
    await asyncio.sleep(1)
    rig.server.faults.delay_s = 2.0
    starting = asyncio.create_task(rig.client.start(call("order", "o-1"), run_id="o-1"))
    await asyncio.sleep(0.1)
    rig.server.restart(0.1)
    run = await starting
    rig.server.faults.delay_s = 0.0
    await rig.end("o-1", result=1, notice=False)

    before = rig.loop.time()
    assert await run.result() == 1
    assert rig.loop.time() - before < 0.1
    other.cancel()


@on_twin
async def test_a_subscription_closed_while_a_start_is_sent_counts(rig: ClientRig) -> None:
    """An idle subscription may be closed by one caller while another relies on it."""
    await rig.end("o-0", key=KEY._replace(run="o-0"))
    await rig.client.get("order/o-0").result()
    rig.server.faults.delay_s = 2.0
    starting = asyncio.create_task(rig.client.start(call("order", "o-1"), run_id="o-1"))
    await asyncio.sleep(0.1)
    waits = rig.client._session.waits
    waits._channels["order"].idle_since = -LISTEN_IDLE_S
    await waits.close_idle()
    run = await starting
    rig.server.faults.delay_s = 0.0
    await rig.end("o-1", result=1, notice=False)

    before = rig.loop.time()
    assert await run.result() == 1
    assert rig.loop.time() - before < 0.1
