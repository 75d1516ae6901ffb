"""A step worker on the in-memory twin, in virtual time, with what a test asks of it and sees of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from jetrun.actors.attempt import attempt
from jetrun.actors.errors import BrokerError
from jetrun.actors.messages import StepResult, decode_body
from jetrun.actors.names import RunKey
from jetrun.actors.step import Step, step
from jetrun.actors.work import Work, encode_work
from jetrun.streams.answers import ATTEMPT, AttemptAnswer, AttemptQuestion
from jetrun.streams.lease import Lease
from jetrun.streams.memory import MemoryBroker, MemoryServer
from jetrun.streams.ports import Broker, Outgoing, PubAck
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.subjects import App
from support.simloop import Process, SimLoop, run

T = TypeVar("T")

APP = App("t")
KEY = RunKey("order", "o-1")


class Steps:
    """A catalogue made of steps."""

    def __init__(self, *steps: Step[..., Any]) -> None:
        self.steps: Mapping[str, Step[..., Any]] = {step.name: step for step in steps}


class Calls:
    """Steps that count their calls, and hold them until they are let go."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.most = 0
        self._now = 0

    async def run(self, seconds: float) -> None:
        name = attempt().step
        self.count[name] += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled[name] += 1
            raise
        finally:
            self._now -= 1


def quick(calls: Calls) -> Step[[int], int]:
    @step(name="quick")
    async def double(number: int) -> int:
        await calls.run(0)
        return 2 * number

    return double


def slow(calls: Calls, seconds: float, name: str = "slow", queue: str = "default") -> Step[[], str]:
    @step(name=name, queue=queue)
    async def wait() -> str:
        await calls.run(seconds)
        return "done"

    return wait


class NoLease:
    """A lease that is never renewed: what a loop that hangs, or a paused process, looks like to the server."""

    async def run(self, held: object) -> None:
        del held
        await asyncio.sleep(10**6)


async def answer_for_actors(
    broker: Broker, app: App, is_open: Callable[[AttemptQuestion], bool | None] = lambda _: True
) -> None:
    """Answers step workers that ask about old work, in place of an actor worker; says nothing for None."""

    def on_ask(_subject: str, payload: bytes, reply: str) -> None:
        answer = is_open(msgspec.json.decode(payload, type=AttemptQuestion))
        if answer is not None:
            broker.notify(reply, msgspec.json.encode(AttemptAnswer(is_open=answer)))

    await broker.listen(app.ask(RunKey("*", "*"), ATTEMPT), on_ask, queue="actors")


class Rig:
    """The twin, an observer's connection, and workers in processes of their own."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.server = MemoryServer(loop.now_us)
        self.server.provision(APP, ["default", "other"])
        self.broker = MemoryBroker(self.server)
        self.trace: list[str] = []
        self.server.on_trace = self.trace.append
        self.workers: dict[str, StepWorker] = {}
        self.processes: dict[str, Process] = {}
        self._brokers: dict[str, MemoryBroker] = {}
        self.ended: dict[str, asyncio.Task[None]] = {}
        self.asked: list[AttemptQuestion] = []
        self.settled: set[tuple[int, int]] = set()
        """Commands and attempts that nobody waits for any more."""
        self.is_silent = False
        """Nobody answers, as where no actor worker runs."""

    async def answer(self) -> None:
        """Answers step workers in place of an actor worker, which they ask about old work."""

        def is_open(asked: AttemptQuestion) -> bool | None:
            if self.is_silent:
                return None
            self.asked.append(asked)
            return (asked.command, asked.attempt) not in self.settled

        await answer_for_actors(self.broker, APP, is_open)

    async def start(
        self,
        *steps: Step[..., Any],
        name: str = "w1",
        queues: Mapping[str, int] | None = None,
        lease: Lease | None = None,
        drain_s: float = 20.0,
    ) -> None:
        """Starts a worker in a process and waits until it pulls."""
        process = self.processes[name] = self.loop.process(name)

        async def work() -> None:
            broker = self._brokers[name] = MemoryBroker(self.server)
            worker = StepWorker(
                broker, APP, Steps(*steps), queues or {"default": 10}, worker_id=name, lease=lease, drain_s=drain_s
            )
            self.workers[name] = worker
            started.set()
            await worker.run()
            await broker.close()

        started = asyncio.Event()
        self.ended[name] = process.spawn(work())
        await started.wait()
        ready = asyncio.ensure_future(self.workers[name].ready.wait())
        await asyncio.wait({ready, self.ended[name]}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.ended[name].done():
            await self.ended[name]

    def crash(self, name: str) -> None:
        """Ends a worker's process as by kill -9; the server sees the connection go."""
        self.processes[name].crash()
        self._brokers[name].kill()

    async def ask(
        self, step: str, *args: object, command: int = 1, attempt: int = 1, queue: str = "default", **fields: Any
    ) -> PubAck:
        """Publishes work for a step."""
        work = Work(
            workflow=KEY.workflow,
            run=KEY.run,
            command=command,
            attempt=attempt,
            name=step,
            args=msgspec.Raw(msgspec.json.encode(args)),
            token=f"token-{command}-{attempt}",
            **fields,
        )
        return await self.ask_raw(encode_work(work), command=command, queue=queue)

    async def ask_surely(self, step: str, *args: object, command: int = 1) -> None:
        """Publishes work that nothing on the road can strike."""
        faults = self.server.faults
        lost, ack_lost, faults.request_lost, faults.ack_lost = faults.request_lost, faults.ack_lost, 0.0, 0.0
        while (await self.ask(step, *args, command=command)).code != 0:
            pass
        faults.request_lost, faults.ack_lost = lost, ack_lost

    async def wait_calls(self, calls: Calls, name: str, count: int) -> None:
        """Waits until a step has been begun so often."""
        while calls.count[name] < count:
            await asyncio.sleep(0.01)

    async def ask_raw(self, raw: bytes, *, command: int = 1, queue: str = "default") -> PubAck:
        return await self.broker.publish(Outgoing(APP.work_of(queue, KEY, command), raw))

    async def results(self) -> list[StepResult]:
        """Reads what workers have told the run."""
        found = await self.broker.read(APP.mail, f"wf.{APP.name}.mail.>")
        bodies = [decode_body("step", "", message.payload) for message in found]
        return [body for body in bodies if isinstance(body, StepResult)]

    async def wait_results(self, count: int = 1) -> list[StepResult]:
        return await self.wait_value(self.results, lambda results: len(results) >= count)

    async def wait_result(self) -> StepResult:
        return (await self.wait_results())[0]

    async def wait_acked(self) -> None:
        """Waits until no work is left in the stream."""
        await self.wait_value(self.work_left, lambda left: left == 0)

    async def work_left(self) -> int:
        return (await self.broker.stream_state(APP.work)).messages

    async def wait_value(self, read: Callable[[], Awaitable[T]], is_wanted: Callable[[T], bool]) -> T:
        """Reads until the value is the wanted one; the simulation's own limit ends a wait for nothing."""
        while True:
            with suppress(BrokerError):  # the server may be down meanwhile
                if is_wanted(value := await read()):
                    return value
            await asyncio.sleep(0.01)


def simulate(main: Callable[[Rig], Awaitable[None]], *, seed: int = 1, limit_s: float = 600.0) -> None:
    """Runs a test in virtual time."""

    async def simulation(loop: SimLoop) -> None:
        rig = Rig(loop)
        await rig.answer()
        await main(rig)

    run(simulation, seed, limit_s=limit_s)
