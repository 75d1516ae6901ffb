"""A stream of hooks: in order, each once, whatever the consumer does meanwhile."""

from __future__ import annotations

from examples.readings import Reading, meter, reading
from jetrun.client import Client
from support.story import scheduled


async def test_readings_are_booked_in_order_each_once(client: Client) -> None:
    """A hundred come as fast as they can while the workflow books; one is sent twice under the same id."""
    run = await client.start(meter.call("m-1"), run_id="m-1", hooks=[(reading, Reading(n)) for n in range(50)])
    for n in range(50, 99):
        await run.hook(reading, Reading(n), id=f"reading-{n}")
    await run.hook(reading, Reading(98), id="reading-98")
    await run.hook(reading, Reading(99, is_last=True))

    booked = await run.result()

    assert [kwh for batch in booked for kwh in batch] == list(range(100))
    assert len(scheduled(await run.events())) == len(booked) == 34


async def test_meter_that_falls_silent_ends_the_loop(client: Client) -> None:
    run = await client.start(meter.call("m-2", silence="300ms"), run_id="m-2", hooks=[(reading, Reading(7))])

    assert await run.result() == [[7]]
