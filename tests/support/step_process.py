"""A step worker as a process of its own: `python -m support.step_process <url> <app> <worker> [options]`.

Prints `ready`, `begun <step>` and `drained`; SIGTERM drains.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import time

from jetrun.actors import step
from jetrun.actors.attempt import attempt
from jetrun.streams.jetstream import JetStream
from jetrun.streams.lease import LoopLease, ThreadLease
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.subjects import App
from support.step_rig import Steps


def say(text: str) -> None:
    print(text, flush=True)


@step
async def deadly() -> None:
    say("begun deadly")
    os.abort()


@step
async def block(seconds: float) -> str:
    say("begun block")
    time.sleep(seconds)  # blocks the loop on purpose
    return attempt().idempotency_key


@step
async def wait(seconds: float) -> str:
    say("begun wait")
    await asyncio.sleep(seconds)
    return "waited"


@step
async def stubborn() -> None:
    say("begun stubborn")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


@step
async def double(number: int) -> int:
    return 2 * number


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "app", "worker"):
        parser.add_argument(name)
    parser.add_argument("--lease", choices=("thread", "loop"), default="thread")
    parser.add_argument("--lease-every-s", type=float, default=0.25)
    parser.add_argument("--drain-s", type=float, default=20.0)
    parser.add_argument("--concurrency", type=int, default=4)
    given = parser.parse_args()

    broker = await JetStream.connect(given.url, name=given.worker)
    lease = (
        ThreadLease(lambda: JetStream.connect(given.url, name=f"{given.worker}-lease"), every_s=given.lease_every_s)
        if given.lease == "thread"
        else LoopLease(broker, every_s=given.lease_every_s)
    )
    catalogue = Steps(deadly, block, wait, stubborn, double)
    queues = {"default": given.concurrency}
    worker = StepWorker(
        broker, App(given.app), catalogue, queues, worker_id=given.worker, lease=lease, drain_s=given.drain_s
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(worker.run())
        await worker.ready.wait()
        say("ready")
        await running
    say("drained")
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main())
