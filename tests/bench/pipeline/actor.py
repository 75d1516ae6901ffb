"""The pipeline's actor worker: folds a message, appends the record under the fence, publishes what it decided, acks.

`python -m tests.bench.pipeline.actor URL`. No replay, no retries, no placement: a refused append ends it.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from dataclasses import dataclass

import anyio
import msgspec
from nats.aio.msg import Msg

from . import bodies, layout
from .wire import EXPECT_LAST, Wire

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


class Actors:
    """All runs of the pipeline."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._runs: dict[str, Run] = {}

    async def on_delivery(self, delivery: Msg) -> None:
        """Decides and appends; what was decided is carried out after the append, the ack comes after that."""
        run, record = self._decide(delivery)

        async def carry_out(seq: int) -> None:
            # The run's next message is the result of the work published here: nobody reads the sequence before.
            run.log_seq = seq
            if record.command:
                work = bodies.encode(msgspec.structs.replace(record.command, run=run.name))
                await self._wire.publish(layout.work_of(run.name, record.command.command), work, ack, NOTHING_YET)
            else:
                await self._wire.notify(layout.done_of(run.name), record.result)
                await self._wire.ack(delivery)

        async def ack(_: int) -> None:
            await self._wire.ack(delivery)

        fence = {EXPECT_LAST: str(run.log_seq)}
        await self._wire.publish(layout.log_of(run.name), bodies.encode(record), carry_out, fence)

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


async def main(url: str) -> None:
    wire = await Wire.connect(url)
    actors = Actors(wire)
    for partition in range(layout.PARTITIONS):
        await wire.pull(layout.MAIL, layout.mailbox(partition), actors.on_delivery)
    print("ready", flush=True)
    await wire.wait_failure()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend_options={"use_uvloop": True})
