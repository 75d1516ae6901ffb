"""Two actor workers and two step workers as processes, and all that they say and append, as a test hears it."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import NamedTuple

import anyio
import msgspec

from jetrun.actors.journal import message_of
from jetrun.actors.limits import PARTITIONS
from jetrun.actors.messages import Start, StepResult
from jetrun.actors.names import RunKey
from jetrun.actors.records import Record, decode_record, record_hash
from jetrun.streams.jetstream import JetStream
from jetrun.streams.placement import Beat
from jetrun.streams.ports import Outgoing
from jetrun.streams.subjects import App, partition_of
from support.processes import Child, Processes

MODULE = "support.placement_flows"
SETTLE_S = 20.0
FLOOD = 8
"""Hooks for each run at once."""


class Append(NamedTuple):
    """One record as it went by."""

    by: str
    at_s: float
    """When this process heard of it."""
    record: Record


class Scene:
    """An app, its workers, and all that they say and append."""

    def __init__(self, broker: JetStream, app: App, actors: list[Child], steps: list[Child]) -> None:
        self.broker = broker
        self.app = app
        self.actors = actors
        self.steps = steps
        self.appends: dict[RunKey, list[Append]] = defaultdict(list)
        self.folded: Counter[RunKey] = Counter()
        """Hooks in the log, by run."""
        self.sent: Counter[RunKey] = Counter()
        """Hooks that the server has acknowledged, by run."""
        self.beats: dict[int, Beat] = {}
        """The newest of each process."""
        self.beats_heard: Counter[int] = Counter()
        self._aim: tuple[str, Callable[[], None]] | None = None
        self._news = anyio.Event()

    # --- what goes by -----------------------------------------------------------------------------
    def on_live(self, subject: str, payload: bytes, _reply: str) -> None:
        key, record = self.app.read_run(subject), decode_record(payload)
        assert key is not None
        by = record.by.partition("/")[0]
        if self._aim is not None and self._aim[0] == by:
            act, self._aim = self._aim[1], None
            act()
        self.folded[key] += sum(message.verb == "hook" for message in record.messages)
        self.appends[key].append(Append(by, time.monotonic(), record))
        self._tell()

    def on_beat(self, _subject: str, payload: bytes, _reply: str) -> None:
        beat = msgspec.json.decode(payload, type=Beat)
        if beat.kind == "actors":
            self.beats[beat.pid] = beat
            self.beats_heard[beat.pid] += 1
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float = SETTLE_S) -> None:
        """Waits until news make it so."""
        with anyio.move_on_after(timeout_s):
            while not is_so():
                await self._news.wait()
        assert is_so(), f"not within {timeout_s} s: {what}"

    # --- acts -------------------------------------------------------------------------------------
    async def strike(self, worker: Child, act: Callable[[], None], keys: Sequence[RunKey]) -> None:
        """Floods the runs and acts at the moment when the next append of that actor worker is heard of."""
        struck: list[bool] = []

        def on_append() -> None:
            act()
            struck.append(True)

        self._aim = (self.beats[worker.pid].worker, on_append)
        await self.feed(keys, FLOOD)
        await self.wait(lambda: bool(struck), f"{worker.name} appends")

    async def handed_out(self, keys: Iterable[RunKey]) -> int:
        """Counts the messages that were delivered from these runs' partitions and are not acknowledged."""
        consumers = {self.app.mail_consumer(partition_of(key.run, PARTITIONS)) for key in keys}
        states = [await self.broker.consumer_state(self.app.mail, consumer) for consumer in consumers]
        return sum(state.ack_pending for state in states)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        acks = await self.broker.publish_many(messages)
        assert [ack for ack in acks if ack.code] == []

    async def start(self, keys: Iterable[RunKey], *args: object) -> None:
        body = msgspec.json.encode({"args": args})
        await self.publish([Outgoing(self.app.input(key, "start"), body) for key in keys])

    async def feed(self, keys: Sequence[RunKey], count: int = 1) -> None:
        """Sends hooks to each run: the numbers 0, 1, 2 … go on where they stopped."""
        bodies = [(key, self.sent[key] + n) for n in range(count) for key in keys]
        await self.publish(
            [Outgoing(self.app.input(key, "hook", "item"), b'{"payload":%d,"id":"h-%d"}' % (n, n)) for key, n in bodies]
        )
        self.sent.update(key for key, _ in bodies)

    async def settle(self, keys: Sequence[RunKey]) -> int:
        """Feeds the runs until each is served by the one worker that claims its partition; returns how often.

        Which of two waiting pulls gets a partition's first message is the server's choice; a standby who got it gives
        the partition back at its next beat.
        """
        deadline_s = time.monotonic() + SETTLE_S
        for times in itertools.count(1):
            await self.feed(keys)
            await self.wait(lambda: self.is_folded(keys), "all hooks are folded")
            if self._is_settled(keys):
                return times
            assert time.monotonic() < deadline_s, f"not settled within {SETTLE_S} s: {self.beats}"
            heard = dict(self.beats_heard)
            await self.wait(lambda: all(self.beats_heard[pid] > heard[pid] + 1 for pid in heard), "beats")  # noqa: B023
        raise AssertionError

    def _is_settled(self, keys: Iterable[RunKey]) -> bool:
        claims = Counter(partition for beat in self.beats.values() for partition in beat.partitions)
        owners = {partition: beat.worker for beat in self.beats.values() for partition in beat.partitions}
        return claims == Counter(range(PARTITIONS)) and all(
            self.appends[key][-1].by == owners[partition_of(key.run, PARTITIONS)] for key in keys
        )

    async def finish(self, keys: Sequence[RunKey]) -> None:
        """Lets each run end and waits for it."""
        body = b'{"payload":-1,"id":"end"}'
        await self.publish([Outgoing(self.app.input(key, "hook", "item"), body) for key in keys])
        await self.wait_ended(keys)

    async def wait_ended(self, keys: Sequence[RunKey]) -> None:
        await self.wait(lambda: all(self.is_ended(key) for key in keys), "all runs end")

    def is_ended(self, key: RunKey) -> bool:
        return bool(self.appends[key]) and self.appends[key][-1].record.outcome is not None

    def is_folded(self, keys: Iterable[RunKey]) -> bool:
        return all(self.folded[key] == self.sent[key] for key in keys)

    def runs_of(self, worker: Child, keys: Iterable[RunKey]) -> list[RunKey]:
        """Finds those whose partition the worker says it serves."""
        claimed = self.beats[worker.pid].partitions
        return [key for key in keys if partition_of(key.run, PARTITIONS) in claimed]

    async def check_log(self, key: RunKey) -> Record:
        """Makes sure that the stored log is one unbroken chain without a second decision, and returns its end."""
        stored = await self.broker.read(self.app.log, self.app.log_of(key))
        records = [decode_record(entry.payload) for entry in stored]
        assert [record.k for record in records] == list(range(1, len(records) + 1)), key
        assert [r.prev for r in records] == ["", *(record_hash(entry.payload) for entry in stored[:-1])], key
        numbers = [command.n for record in records for command in record.commands]
        assert numbers == list(range(1, len(numbers) + 1)), f"{key}: commands are decided once, in order"
        folded = [folded for record in records for folded in record.messages]
        bodies = [message_of(one).body for one in folded]
        assert sum(isinstance(body, Start) for body in bodies) == 1, key
        for what in ([(one.source, one.seq, one.at_us) for one in folded], [body.id for body in bodies if body.id]):
            twice = [one for one, count in Counter(what).items() if count > 1]
            assert twice == [], f"{key}: folded twice: {twice}"
        # A worker that slept may have queued work again, so that a step ran twice and sent two results: the first counts.
        results = {(body.command, body.attempt, bytes(body.result)) for body in bodies if isinstance(body, StepResult)}
        assert len(results) == len({(command, attempt) for command, attempt, _ in results}), f"{key}: {results}"
        assert [record.k for record in records if record.outcome is not None] == [len(records)], key
        return records[-1]

    async def check_collected(self, keys: Iterable[RunKey]) -> None:
        """Checks the logs of `collect` runs: each hook was taken once, in order, and each step gave its result."""
        for key in keys:
            outcome = (await self.check_log(key)).outcome
            assert outcome is not None
            assert msgspec.json.decode(outcome.result) == [2 * n for n in range(self.sent[key])], (key, outcome)


@contextlib.asynccontextmanager
async def running(url: str, app: App, processes: Processes, *flags: str) -> AsyncGenerator[Scene]:
    """Two actor workers and two step workers, placed.

    Args:
        flags: For the step workers.
    """
    where = ("--url", url, "--app", app.name, "-m", MODULE)
    provision = processes.start_wfctl("provision", *where)
    assert await provision.wait_ended() == 0, provision.output
    broker = await JetStream.connect(url, name="test")
    # `--child`: without its supervisor, so that a signal reaches the worker itself.
    actors = [processes.start_wfctl("worker", "actors", *where, "--child", name=f"actors-{n}") for n in range(2)]
    steps = [processes.start_wfctl("worker", "steps", *where, *flags, name=f"steps-{n}") for n in range(2)]
    scene = Scene(broker, app, actors, steps)
    pids = {worker.pid for worker in actors}

    def is_placed() -> bool:
        claims = sorted(p for pid in pids & scene.beats.keys() for p in scene.beats[pid].partitions)
        return claims == list(range(PARTITIONS)) and pids <= scene.beats.keys()

    try:
        await broker.listen(app.live_of(RunKey("*", "*")), scene.on_live)
        await broker.listen(app.beat("*"), scene.on_beat)
        for worker in (*actors, *steps):
            await worker.wait_line("^ready: ")
        await scene.wait(is_placed, "each partition has one worker")
        yield scene
    finally:
        await broker.close()
        print(*(f"--- {child.name}\n{child.output}" for child in processes.children), sep="\n")
