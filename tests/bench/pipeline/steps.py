"""The pipeline's step worker: runs the step, publishes the result, acks the work when that is stored.

`python -m tests.bench.pipeline.steps URL`. One step after the other: a no-op never waits.
"""

from __future__ import annotations

import sys

import anyio
from nats.aio.msg import Msg

from . import bodies, layout
from .wire import Wire


async def noop(argument: int) -> int:
    """The only step."""
    return argument


class Steps:
    """Executes work."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def on_delivery(self, delivery: Msg) -> None:
        """Runs the step and publishes its result; the ack comes after that is stored."""
        work = bodies.decode_work(delivery.data)
        result = bodies.StepResult(work.command, await noop(work.args[0]))

        async def ack(_: int) -> None:
            await self._wire.ack(delivery)

        await self._wire.publish(layout.input_of(work.run, "step"), bodies.encode(result), ack)


async def main(url: str) -> None:
    wire = await Wire.connect(url)
    await wire.pull(layout.WORK, layout.QUEUE, Steps(wire).on_delivery)
    print("ready", flush=True)
    await wire.wait_failure()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend_options={"use_uvloop": True})
