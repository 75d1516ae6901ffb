"""Placement and takeover with real processes: load is shared, a sleeper decides nothing, a killed worker is replaced."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import anyio
import msgspec
import pytest

from jetrun.actors.journal import message_of
from jetrun.actors.limits import BEATS_MISSED_MAX, PARTITIONS
from jetrun.actors.messages import StepResult
from jetrun.actors.names import RunKey
from jetrun.streams.definitions import define
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App
from support.placement_scene import running
from support.processes import Processes

ROUNDS_MAX = 4
TAKEOVER_S = 5.0
QUEUE_ACK_WAIT_S = 4.0

pytestmark = pytest.mark.slow


def keys_of(workflow: str, count: int) -> list[RunKey]:
    return [RunKey(workflow, f"r-{n}") for n in range(count)]


async def test_workers_share_the_load(nats_url: str, app: App, processes: Processes) -> None:
    """Each actor worker decides for the partitions that it serves, each step worker takes what it has room for."""
    async with running(nats_url, app, processes, "--concurrency", "4") as scene:
        warm = keys_of("collect", 48)
        await scene.start(warm)
        print(f"settled after {await scene.settle(warm)} rounds")
        keys = keys_of("doubled", 64)
        served = {worker.pid: scene.runs_of(worker, keys) for worker in scene.actors}
        await scene.start(keys, [1, 2, 3])
        await scene.wait_ended(keys)

        for worker in scene.actors:
            assert served[worker.pid], "has partitions, and runs in them"
            deciders = {append.by for key in served[worker.pid] for append in scene.appends[key]}
            assert deciders == {scene.beats[worker.pid].worker}
        appends = [append for key in keys for append in scene.appends[key]]
        bodies = [message_of(folded).body for append in appends for folded in append.record.messages]
        shares = Counter(body.worker for body in bodies if isinstance(body, StepResult))
        assert len(shares) == 2
        assert min(shares.values()) >= 3 * len(keys) // 10, shares
        for key in keys:
            outcome = (await scene.check_log(key)).outcome
            assert outcome is not None
            assert msgspec.json.decode(outcome.result) == [2, 4, 6]


async def test_sleeper_decides_nothing_twice(nats_url: str, app: App, processes: Processes) -> None:
    """R4: what a worker has decided before it slept past its lease is refused by the fence when it wakes."""
    async with running(nats_url, app, processes) as scene:
        keys, refused = keys_of("collect", 24), 0
        await scene.start(keys)
        for number in range(ROUNDS_MAX):
            sleeper, other = scene.actors[number % 2], scene.actors[1 - number % 2]
            await scene.settle(keys)
            mine, before = scene.runs_of(sleeper, keys), scene.beats[sleeper.pid].refused_appends
            await scene.strike(sleeper, sleeper.pause, keys)
            heard, asleep = scene.beats_heard[other.pid], scene.beats_heard[sleeper.pid]
            # What it had in its hands is decided by the other, which beats on until the sleeper counts as gone.
            await scene.wait(
                lambda: (
                    scene.is_folded(mine)  # noqa: B023
                    and scene.beats_heard[other.pid] > heard + BEATS_MISSED_MAX + 1  # noqa: B023
                    and len(scene.beats[other.pid].partitions) == PARTITIONS  # noqa: B023
                ),
                "the other worker takes over",
            )
            lines = len(sleeper.lines)
            sleeper.resume()
            await scene.feed(keys, 4)
            await scene.wait(
                lambda: scene.is_folded(keys) and scene.beats_heard[sleeper.pid] > asleep + 2,  # noqa: B023
                "the sleeper is awake",
            )
            await sleeper.wait_line("worker.paused", after=lines)  # it knows that it overslept
            refused += scene.beats[sleeper.pid].refused_appends - before
            if refused:
                break
        await scene.finish(keys)
        await scene.check_collected(keys)

        print(f"refused appends: {refused}")
        assert refused >= 1, f"no append was refused in {ROUNDS_MAX} rounds"


async def test_runs_of_a_killed_worker_move_on(nats_url: str, app: App, processes: Processes) -> None:
    """R6: within 5 s of a kill -9 each of its runs gets its next record; what it had in its hands is not lost."""
    async with running(nats_url, app, processes) as scene:
        keys = keys_of("collect", 32)
        await scene.start(keys)
        await scene.settle(keys)
        victim = scene.actors[0]
        mine = scene.runs_of(victim, keys)
        assert mine, "has runs"
        await scene.strike(victim, victim.pause, keys)
        await scene.feed(mine[::2])  # the server hands them to the stopped worker: nobody else has seen them
        held = await scene.handed_out(mine)
        victim.kill()
        killed_s = time.monotonic()
        before = {key: len(scene.appends[key]) for key in mine}
        in_hand = [key for key in mine if scene.folded[key] < scene.sent[key]]
        print(f"{len(mine)} runs lost their worker with {held} messages in its hands, for {len(in_hand)} runs")
        assert held >= len(mine[::2])
        assert in_hand
        # Those get nothing more: what moves them is what the dead worker held. The others are fed.
        await scene.feed([key for key in mine if key not in in_hand])
        await scene.wait(lambda: all(len(scene.appends[key]) > before[key] for key in mine), "its runs move on")
        late_s = {key.run: scene.appends[key][before[key]].at_s - killed_s for key in mine}
        print(f"next record after {min(late_s.values()):.2f} to {max(late_s.values()):.2f} s")
        assert max(late_s.values()) <= TAKEOVER_S, late_s
        await scene.finish(keys)
        await scene.check_collected(keys)


async def test_step_of_a_killed_worker_runs_again(
    nats_url: str, app: App, processes: Processes, tmp_path: Path
) -> None:
    """R17: a step whose worker is killed in the middle of it is run again elsewhere within the queue's ack wait."""
    async with running(nats_url, app, processes) as scene:
        await shorten_ack_wait(scene.broker, app)
        path, key = tmp_path / "pids", RunKey("patient", "p-1")
        await scene.start([key], str(path))
        with anyio.fail_after(20):
            while not (path.exists() and path.read_text().endswith("\n")):
                await anyio.sleep(0.02)
        victim = next(worker for worker in scene.steps if str(worker.pid) in path.read_text().split())
        victim.kill()
        killed_s = time.monotonic()
        await scene.wait_ended([key])
        took_s = scene.appends[key][-1].at_s - killed_s
        print(f"run again and recorded after {took_s:.2f} s")

        outcome = (await scene.check_log(key)).outcome
        survivor = next(worker for worker in scene.steps if worker is not victim)
        assert outcome is not None
        assert msgspec.json.decode(outcome.result) == survivor.pid
        assert path.read_text().split() == [str(victim.pid), str(survivor.pid)]
        assert took_s <= QUEUE_ACK_WAIT_S + 1.0


async def shorten_ack_wait(broker: JetStream, app: App) -> None:
    """Gives the queue an ack wait that a test can wait for; the default is 30 s."""
    queue = define(app, queues=["default"], partitions=PARTITIONS).consumers[app.work][0]
    config = msgspec.structs.replace(queue, ack_wait=int(QUEUE_ACK_WAIT_S * 1e9))
    body = msgspec.json.encode({"stream_name": app.work, "config": config, "action": "update"})
    subject = f"$JS.API.CONSUMER.CREATE.{app.work}.{queue.durable_name}.{queue.filter_subject}"
    answer = await broker.request(subject, body, timeout_s=5)
    assert answer is not None
    assert "error" not in msgspec.json.decode(answer), answer
