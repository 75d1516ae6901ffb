"""The step worker on a real server: what the twin cannot show (processes, threads, blocked loops, real acks)."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import msgspec
import pytest

from jetrun.actors.attempt import attempt
from jetrun.actors.errors import WorkerLost, qualified_name
from jetrun.actors.limits import STEP_RECOVERIES_MAX, VALUE_INLINE_BYTES_MAX
from jetrun.actors.messages import StepResult, decode_body
from jetrun.actors.names import RunKey
from jetrun.actors.step import Step, step
from jetrun.actors.work import Work, encode_work
from jetrun.streams.definitions import define
from jetrun.streams.jetstream import JetStream
from jetrun.streams.lease import Lease, ThreadLease
from jetrun.streams.ports import Outgoing
from jetrun.streams.provision import provision
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.step_worker import StepWorker
from jetrun.streams.subjects import App
from support.processes import Child, Processes
from support.step_rig import Steps, answer_for_actors

KEY = RunKey("order", "o-1")
ACK_WAIT_S = 1.0


class Bench:
    """An app on a server, a short ack wait, and what a test asks and sees."""

    def __init__(self, url: str, app: App, broker: JetStream) -> None:
        self.url = url
        self.app = app
        self.broker = broker

    @classmethod
    async def open(cls, url: str, app: App, *, ack_wait_s: float = ACK_WAIT_S) -> Bench:
        broker = await JetStream.connect(url, name="test")
        await provision(broker, app, queues=["default"])
        queue = define(app, queues=["default"], partitions=1).consumers[app.work][0]
        config = msgspec.structs.replace(queue, ack_wait=int(ack_wait_s * 1e9))
        body = {"stream_name": app.work, "config": config, "action": "update"}
        subject = f"$JS.API.CONSUMER.CREATE.{app.work}.{queue.durable_name}.{queue.filter_subject}"
        answer = await broker.request(subject, msgspec.json.encode(body), timeout_s=5)
        assert answer is not None
        assert "error" not in msgspec.json.decode(answer), answer
        await answer_for_actors(broker, app)
        return cls(url, app, broker)

    async def ask(self, name: str, *args: object, command: int = 1, **fields: Any) -> None:
        work = Work(
            workflow=KEY.workflow,
            run=KEY.run,
            command=command,
            attempt=1,
            name=name,
            args=msgspec.Raw(msgspec.json.encode(args)),
            token=f"token-{command}",
            **fields,
        )
        ack = await self.broker.publish(Outgoing(self.app.work_of("default", KEY, command), encode_work(work)))
        assert ack.code == 0, ack

    async def results(self) -> list[StepResult]:
        found = await self.broker.read(self.app.mail, f"wf.{self.app.name}.mail.>")
        bodies = [decode_body("step", "", message.payload) for message in found]
        return [body for body in bodies if isinstance(body, StepResult)]

    async def wait_results(self, count: int = 1, timeout_s: float = 20.0) -> list[StepResult]:
        with anyio.fail_after(timeout_s):
            while len(results := await self.results()) < count:
                await anyio.sleep(0.02)
        return results

    async def wait_acked(self, timeout_s: float = 20.0) -> None:
        with anyio.fail_after(timeout_s):
            while await self.work_left():
                await anyio.sleep(0.02)

    async def work_left(self) -> int:
        return (await self.broker.stream_state(self.app.work)).messages

    async def redeliveries(self) -> int:
        subject = f"$JS.API.CONSUMER.INFO.{self.app.work}.{self.app.queue_consumer('default')}"
        answer = await self.broker.request(subject, b"", timeout_s=5)
        assert answer is not None
        return int(msgspec.json.decode(answer)["num_redelivered"])

    @asynccontextmanager
    async def worker(self, *steps: Step[..., Any], lease: Lease | None = None) -> AsyncGenerator[StepWorker]:
        """Runs a worker on a connection of its own, and drains it at the end."""
        broker = await JetStream.connect(self.url, name="w1")
        worker = StepWorker(broker, self.app, Steps(*steps), {"default": 4}, worker_id="w1", lease=lease)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await worker.ready.wait()
            yield worker
            worker.drain()
        await broker.close()


@pytest.fixture
async def bench(nats_url: str, app: App) -> AsyncIterator[Bench]:
    bench = await Bench.open(nats_url, app)
    yield bench
    await bench.broker.close()


async def start_worker(processes: Processes, bench: Bench, name: str, *options: str) -> Child:
    child = processes.start_python("-m", "support.step_process", bench.url, bench.app.name, name, *options, name=name)
    await child.wait_line("^ready")
    return child


def slow(seconds: float, calls: list[int]) -> Step[[], str]:
    @step(name="slow")
    async def wait() -> str:
        calls.append(1)
        await asyncio.sleep(seconds)
        return "done"

    return wait


class NoLease:
    """Never renews: what a paused process looks like to the server."""

    async def run(self, held: object) -> None:
        del held
        await anyio.sleep_forever()


async def test_the_result_is_on_the_wire_before_the_ack(bench: Bench) -> None:
    """Result, answer, ack: seen by an observer of both subjects (R18)."""
    seen: list[str] = []

    def note(subject: str, _payload: bytes, _reply: str) -> None:
        seen.append("ack" if subject.startswith("$JS.ACK") else "result")

    await bench.broker.listen(f"wf.{bench.app.name}.run.>", note)
    await bench.broker.listen(f"$JS.ACK.{bench.app.work}.>", note)
    async with bench.worker(slow(0, [])):
        await bench.ask("slow")
        results = await bench.wait_results()
        await bench.wait_acked()

    assert [bytes(result.result) for result in results] == [b'"done"']
    assert seen == ["result", "ack"]


async def test_a_running_step_that_is_delivered_again_runs_once_and_is_acked(bench: Bench) -> None:
    """The newest handle acks it, whatever the server thinks of the old ones (R18)."""
    calls: list[int] = []

    async with bench.worker(slow(3.5 * ACK_WAIT_S, calls), lease=NoLease()):
        await bench.ask("slow", recoveries_max=100)
        await bench.wait_results()
        await bench.wait_acked()

    assert len(calls) == 1
    assert len(await bench.results()) == 1


@pytest.mark.parametrize(("lease", "ran"), [("thread", 1), ("loop", 2)])
async def test_only_a_thread_keeps_the_lease_of_a_step_that_blocks_its_loop(
    bench: Bench, processes: Processes, lease: str, ran: int
) -> None:
    """With the thread the other worker never gets it; without, it does, which shows that the test can fail (F52)."""
    first = await start_worker(processes, bench, "w1", "--lease", lease, "--concurrency", "1")
    await bench.ask("block", 4 * ACK_WAIT_S)
    await first.wait_line("^begun block")

    second = await start_worker(processes, bench, "w2", "--concurrency", "1")
    await bench.wait_results(ran)
    await bench.wait_acked()

    begun = [line for child in (first, second) for line in child.lines if line == "begun block"]
    assert len(begun) == ran


async def test_a_step_that_aborts_its_process_is_given_up_and_the_next_worker_lives(
    bench: Bench, processes: Processes
) -> None:
    """Four dead processes, then a failure that says so, and other work goes on (F30)."""
    await bench.ask("deadly")
    for number in range(STEP_RECOVERIES_MAX):
        child = processes.start_python(
            "-m", "support.step_process", bench.url, bench.app.name, f"w{number}", name=f"w{number}"
        )
        assert await child.wait_ended() < 0
        assert "begun deadly" in child.lines

    last = await start_worker(processes, bench, "last")
    results = await bench.wait_results()
    await bench.ask("double", 21, command=2)
    results = await bench.wait_results(2)

    error = results[0].error
    assert error is not None
    assert (error.code, error.type, results[0].is_retryable) == ("worker_lost", qualified_name(WorkerLost), False)
    assert bytes(results[1].result) == b"42"
    assert "begun deadly" not in last.lines


async def test_a_killed_worker_is_followed_within_the_ack_wait(bench: Bench, processes: Processes) -> None:
    """The step of a worker that was killed runs on another one (F6)."""
    first = await start_worker(processes, bench, "w1", "--concurrency", "1")
    await bench.ask("wait", 0.1)
    await bench.wait_results()
    await bench.ask("wait", 60, command=2)
    await first.wait_line("^begun wait", after=2)
    first.kill()

    second = await start_worker(processes, bench, "w2")
    await second.wait_line("^begun wait", timeout_s=ACK_WAIT_S + 3)


async def test_what_is_not_to_be_run_again_fails_when_its_worker_is_killed(bench: Bench, processes: Processes) -> None:
    """`recover_on_worker_loss=False`, and `kill -9`: nobody runs it a second time, and the result says why."""
    first = await start_worker(processes, bench, "w1")
    await bench.ask("wait", 60, recoveries_max=1)
    await first.wait_line("^begun wait")
    first.kill()

    second = await start_worker(processes, bench, "w2")
    (result,) = await bench.wait_results()
    await bench.wait_acked()

    assert result.error is not None
    assert (result.error.code, result.is_retryable, result.deliveries) == ("worker_lost", False, 2)
    assert "begun wait" not in second.lines


async def test_a_stopped_sync_step_sees_its_flag(bench: Bench) -> None:
    """From the notice on the wire to the thread."""
    begun = threading.Event()

    @step(name="loop")
    def loop() -> None:
        begun.set()
        while True:
            attempt().check_cancelled()
            threading.Event().wait(0.005)

    async with bench.worker(loop):
        await bench.ask("loop")
        await anyio.to_thread.run_sync(begun.wait, 10)
        bench.broker.notify(bench.app.stop(KEY), b'{"commands":[1]}')
        results = await bench.wait_results()
        await bench.wait_acked()

    assert results[0].error is not None
    assert (results[0].error.code, results[0].is_retryable) == ("cancelled", False)


async def test_a_timeout_cancels_the_step_and_is_reported(bench: Bench) -> None:
    async with bench.worker(slow(60, [])):
        await bench.ask("slow", timeout_us=100_000)
        results = await bench.wait_results()

    assert results[0].error is not None
    assert (results[0].error.code, results[0].error.type) == ("step_timeout", "TimeoutError")


async def test_a_large_result_is_stored_by_its_hash(bench: Bench) -> None:
    """Four megabytes cross the server's own limits in chunks, and are there when the result is."""

    @step(name="text")
    async def text() -> str:
        return "x" * (4 * 1024 * 1024)

    async with bench.worker(text):
        await bench.ask("text")
        results = await bench.wait_results()

    ref = results[0].ref
    assert ref is not None
    assert ref.size > VALUE_INLINE_BYTES_MAX
    stored = await bench.broker.get_object(bench.app.values, f"{KEY.workflow}/{KEY.run}/{ref.sha256}")
    assert stored is not None
    assert len(stored) == ref.size


async def test_drain_on_sigterm_finishes_what_runs_and_leaves_the_rest(bench: Bench, processes: Processes) -> None:
    """A deploy: no step is lost, none is run twice, and the queue goes on elsewhere at once."""
    first = await start_worker(processes, bench, "w1", "--concurrency", "2")
    for command in range(1, 21):
        await bench.ask("wait", 0.3, command=command)
    await first.wait_line("^begun wait")

    first.terminate()
    await first.wait_line("^drained")
    code = await first.wait_ended()
    done = len(await bench.results())
    second = await start_worker(processes, bench, "w2", "--concurrency", "20")
    results = await bench.wait_results(20)
    await bench.wait_acked()

    assert code == 0
    assert 2 <= done < 20
    assert sorted(result.command for result in results) == list(range(1, 21))
    begun = [line for child in (first, second) for line in child.lines if line == "begun wait"]
    assert len(begun) == 20


async def test_a_step_that_ignores_cancellation_does_not_hold_the_process(bench: Bench, processes: Processes) -> None:
    """A drained worker ends; a loop that waited for such a step would need a kill."""
    child = await start_worker(processes, bench, "w1", "--drain-s", "0.1")
    await bench.ask("stubborn")
    await child.wait_line("^begun stubborn")

    child.terminate()

    assert await child.wait_ended() == 0


async def test_drain_in_a_busy_queue_leaves_nothing_unacked(bench: Bench) -> None:
    """What was on its way is run: left behind it would wait for the ack wait, and count as a death of the worker."""

    @step(name="quick")
    async def quick() -> None:
        """Does nothing."""

    async def feed(tasks: anyio.abc.TaskGroup) -> None:
        command = 0
        while not tasks.cancel_scope.cancel_called:
            command += 1
            await bench.ask("quick", command=command)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            async with bench.worker(quick):
                tasks.start_soon(feed, tasks)
                await bench.wait_results(20)
            state = await bench.broker.consumer_state(bench.app.work, bench.app.queue_consumer("default"))
            assert state.ack_pending == 0
        tasks.cancel_scope.cancel()


async def test_steps_outlive_a_killed_server(own_server: EmbeddedServer) -> None:
    """They go on while it is down, and their results are stored once it is back; none runs twice in this worker."""
    calls: list[int] = []
    bench = await Bench.open(own_server.url, App("t"), ack_wait_s=5)
    lease = ThreadLease(lambda: JetStream.connect(own_server.url, name="lease"), every_s=1)

    async with bench.worker(slow(1, calls), lease=lease):
        for command in range(1, 5):
            await bench.ask("slow", command=command)
        with anyio.fail_after(10):
            while len(calls) < 4:
                await anyio.sleep(0.01)
        os.kill(own_server.pid, signal.SIGKILL)
        await anyio.sleep(1.5)
        own_server.restart()
        results = await bench.wait_results(4, timeout_s=40)
        await bench.wait_acked(timeout_s=40)

    assert len(calls) == 4
    assert {result.command for result in results} == {1, 2, 3, 4}
    await bench.broker.close()
