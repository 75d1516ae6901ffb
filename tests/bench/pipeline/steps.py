"""The pipeline's step worker: runs the step, publishes the result, acks the work when that is stored.

`python -m tests.bench.pipeline.steps URL`.
"""

from __future__ import annotations

import asyncio
import sys

import anyio
from nats.aio.msg import Msg

from . import bodies, layout
from .wire import Arrivals, Wire, stored


async def noop(argument: int) -> int:
    """The only step."""
    return argument


async def serve(wire: Wire, arrivals: Arrivals) -> None:
    """Handles work until cancelled; the next batch does not wait for the answers of this one."""
    async with anyio.create_task_group() as group:
        while True:
            results = [(delivery, await _execute(wire, delivery)) for delivery in await arrivals.take()]
            group.start_soon(_settle, wire, results)


async def _execute(wire: Wire, delivery: Msg) -> asyncio.Future[bytes]:
    work = bodies.decode_work(delivery.data)
    result = bodies.StepResult(work.command, await noop(work.args[0]))
    return await wire.publish(layout.input_of(work.run, "step"), bodies.encode(result))


async def _settle(wire: Wire, results: list[tuple[Msg, asyncio.Future[bytes]]]) -> None:
    for delivery, published in results:
        await stored(published)
        await wire.ack(delivery)


async def main(url: str) -> None:
    wire = await Wire.connect(url)
    arrivals = Arrivals(wire)
    await arrivals.pull(layout.WORK, layout.QUEUE)
    print("ready", flush=True)
    await serve(wire, arrivals)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend_options={"use_uvloop": True})
