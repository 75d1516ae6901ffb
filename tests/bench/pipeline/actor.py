"""The pipeline's actor worker: folds a message, appends the record under the fence, publishes what it decided, acks.

`python -m tests.bench.pipeline.actor URL`. No replay, no retries, no placement: a refused append ends it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import NamedTuple

import anyio
import msgspec
from nats.aio.msg import Msg

from . import bodies, layout
from .wire import EXPECT_LAST, Arrivals, Wire, stored

NOTHING_YET = {EXPECT_LAST: "0"}


@dataclass(slots=True)
class StepCall:
    """What the workflow awaits."""

    name: str
    argument: int

    def __await__(self) -> Generator[StepCall, int, int]:
        return (yield self)


async def chain(steps: int) -> int:
    """The only workflow: no-op steps, one after the other."""
    value = 0
    for index in range(steps):
        value = await StepCall("noop", index)
    return value


@dataclass(slots=True)
class Run:
    """A run in memory."""

    name: str
    workflow: Coroutine[StepCall, int | None, int]
    log_seq: int = 0
    records: int = 0
    commands: int = 0


class Turn(NamedTuple):
    """A decision on its way: the append's answer is still to come."""

    delivery: Msg
    run: Run
    record: bodies.Record
    appended: asyncio.Future[bytes]


class Actors:
    """All runs of the pipeline."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._runs: dict[str, Run] = {}

    async def serve(self, arrivals: Arrivals) -> None:
        """Handles deliveries until cancelled; a batch's appends go out before the next batch is looked at."""
        async with anyio.create_task_group() as group:
            while True:
                turns = [await self._append(delivery) for delivery in await arrivals.take()]
                group.start_soon(self._settle, turns)

    async def _append(self, delivery: Msg) -> Turn:
        run, record = self._decide(delivery)
        fence = {EXPECT_LAST: str(run.log_seq)}
        return Turn(delivery, run, record, await self._wire.publish(layout.log_of(run.name), bodies.encode(record), fence))

    def _decide(self, delivery: Msg) -> tuple[Run, bodies.Record]:
        _, _, _, _, workflow, run_id, verb = delivery.subject.split(".")
        name = f"{workflow}.{run_id}"
        value: int | None = None
        if verb == "start":
            run = self._runs[name] = Run(name, chain(bodies.decode_start(delivery.data).args[0]))
        else:
            run = self._runs[name]
            value = bodies.decode_result(delivery.data).result
        run.records += 1
        command: bodies.Command | None = None
        result = bodies.NULL
        try:
            call = run.workflow.send(value)
        except StopIteration as end:
            result = msgspec.Raw(bodies.encode(end.value))
            del self._runs[name]
        else:
            run.commands += 1
            command = bodies.Command(run.commands, call.name, [call.argument])
        return run, bodies.Record(run.records, verb, msgspec.Raw(delivery.data), command, result, command is None)

    async def _settle(self, turns: list[Turn]) -> None:
        """Carries out what was decided, each after its append, and acks after that."""
        owed: list[tuple[Msg, asyncio.Future[bytes] | None]] = []
        for delivery, run, record, appended in turns:
            # A run's next message is the result of the work below: nobody reads the sequence before it is set here.
            run.log_seq = await stored(appended)
            published: asyncio.Future[bytes] | None = None
            if record.command:
                work = msgspec.structs.replace(record.command, run=run.name)
                subject = layout.work_of(run.name, work.command)
                published = await self._wire.publish(subject, bodies.encode(work), NOTHING_YET)
            else:
                await self._wire.connection.publish(layout.done_of(run.name), record.result)
            owed.append((delivery, published))
        for delivery, published in owed:
            if published:
                await stored(published)
            await self._wire.ack(delivery)


async def main(url: str) -> None:
    wire = await Wire.connect(url)
    arrivals = Arrivals(wire)
    for partition in range(layout.PARTITIONS):
        await arrivals.pull(layout.MAIL, layout.mailbox(partition))
    print("ready", flush=True)
    await Actors(wire).serve(arrivals)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend_options={"use_uvloop": True})
