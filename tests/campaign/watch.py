"""Watch: hears every publish that is of interest, by core subscriptions, and lets a fault be aimed at one of them.

It never listens to inboxes: the server would take it for the worker that had pulled, and hand messages to the dead.

The server hands a publish to subscribers before, while or just after its stream stores it; whoever is killed in the
very callback dies within a fraction of a millisecond of that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Self

import msgspec

from jetrun.actors.names import RunKey
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App, partition_of

from .crew import now_us, pid_of
from .effects import Line, decode_line

Kind = str
"""`actors`, `steps` or `server`."""


class Window(NamedTuple):
    """A moment to aim at."""

    name: str
    """What has just been published: `append`, `work`, `timer`, `start`, `hook` (or update), `result`, `begin`, `end`, `index`."""
    kind: Kind
    """Who is killed."""


RECONNECT_PAUSE_S: Final = 0.02

WINDOWS: Final[dict[Kind, tuple[str, ...]]] = {
    "actors": ("append", "work", "timer", "start", "hook", "result", "index", "begin", "end"),
    "steps": ("begin", "end", "result", "work"),
    "server": ("append", "work", "timer", "sent", "start", "hook", "result", "ack"),
}

MEANING: Final[dict[tuple[Kind, str], str]] = {
    ("actors", "append"): "its record was stored, effects and acks were not sent",
    ("actors", "work"): "it was publishing effects",
    ("actors", "timer"): "it was publishing effects",
    ("actors", "start"): "a start was about to reach it",
    ("actors", "hook"): "a hook was about to reach it",
    ("actors", "result"): "a step's result was about to reach it",
    ("actors", "index"): "it was publishing the last effects of an ended run",
    ("actors", "begin"): "its inline step had begun",
    ("actors", "end"): "its inline step had had its effect, the result was not sent",
    ("steps", "begin"): "its step had begun",
    ("steps", "end"): "its step had had its effect, the result was not sent",
    ("steps", "result"): "its result was sent, the work not acked",
    ("steps", "work"): "work was about to reach it",
    ("server", "append"): "it had stored a record and not told",
    ("server", "work"): "it was storing work",
    ("server", "timer"): "it was storing a timer",
    ("server", "sent"): "a client's message was on its way to it",
    ("server", "start"): "it was storing a start",
    ("server", "hook"): "it was storing a hook",
    ("server", "result"): "it was storing a result",
    ("server", "ack"): "it was noting an ack",
}


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """What the aim hit."""

    window: str
    pid: int
    at_us: int
    run: str = ""
    k: int = 0
    """The record after which it was fired, for appends."""


class _Work(msgspec.Struct):
    command: int
    attempt: int


class _By(msgspec.Struct):
    by: str
    k: int


class _Result(msgspec.Struct):
    command: int
    attempt: int
    worker: str = ""


class _Beat(msgspec.Struct):
    worker: str
    kind: str
    pid: int = 0
    partitions: list[int] = []
    refused_appends: int = 0
    leaving: bool = False


Fire = Callable[[int], bool]
"""Kills the process of that id (0: the server's); False where it is gone already."""


class _Aim(NamedTuple):
    window: Window
    fire: Fire
    hit: asyncio.Future[Shot]


class Watch:
    """Listens to one app.

    Args:
        bell: Path of the socket that steps ring.
    """

    def __init__(self, broker: JetStream, app: App, rng: Random, bell: Path) -> None:
        self.heard: Counter[str] = Counter()
        self.results: dict[tuple[str, str, int, int], list[tuple[int, int]]] = {}
        """By workflow, run, command and attempt: who published the result, and when."""
        self.queued: dict[tuple[str, str, int, int], list[int]] = {}
        """By the same: when an actor worker put the attempt into its queue, or into that of retries."""
        self.refused_appends: dict[str, int] = {}
        """As each worker's beats say."""
        self._broker = broker
        self._app = app
        self._rng = rng
        self._owners: dict[int, int] = {}
        self._deciders: dict[str, int] = {}
        self._step_pids: dict[str, int] = {}
        self._aims: dict[Kind, _Aim] = {}
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._bell.bind(str(bell))

    @classmethod
    async def open(cls, url: str, app: App, rng: Random, bell: Path) -> Self:
        """Begins to listen; goes on over restarts of the server."""
        broker = await JetStream.connect(url, name="campaign watch")
        broker.wire.options["reconnect_time_wait"] = RECONNECT_PAUSE_S  # back before the workers are
        watch = cls(broker, app, rng, bell)
        prefix = f"wf.{app.name}"
        for subject, on_message in (
            (f"{prefix}.live.>", watch._on_live),
            (f"{prefix}.run.>", watch._on_input),
            (f"{prefix}.work.>", watch._on_work),
            (f"{prefix}.retry.>", watch._on_retry),
            (f"{prefix}.timer.>", watch._on_timer),
            (f"{prefix}.index.ended.>", watch._on_index),
            (f"{prefix}.beat.*", watch._on_beat),
            (f"$JS.ACK.{app.work}.>", watch._on_ack),
        ):
            await broker.listen(subject, on_message)
        asyncio.get_running_loop().add_reader(watch._bell.fileno(), watch._on_bell)
        return watch

    async def close(self) -> None:
        """Ends it."""
        asyncio.get_running_loop().remove_reader(self._bell.fileno())
        self._bell.close()
        await self._broker.close()

    async def shoot(self, window: Window, fire: Fire, *, within_s: float) -> Shot | None:
        """Waits for the moment and fires in it; None when it did not come in time."""
        hit: asyncio.Future[Shot] = asyncio.get_running_loop().create_future()
        self._aims[window.kind] = _Aim(window, fire, hit)
        try:
            return await asyncio.wait_for(hit, within_s)
        except TimeoutError:
            return None
        finally:
            self._aims.pop(window.kind, None)

    def on_sending(self) -> None:
        """Hears from the sender that a message of its own is on its way."""
        self._see("sent")

    # --- what is heard ---------------------------------------------------------------------------
    def _on_live(self, subject: str, payload: bytes, _reply: str) -> None:
        record = msgspec.json.decode(payload, type=_By)
        run, pid = subject.rpartition(".live.")[2], pid_of(record.by)
        self._deciders[run] = pid
        self._see("append", run=run, actor=pid, k=record.k)

    def _on_input(self, subject: str, payload: bytes, _reply: str) -> None:
        tokens = subject.split(".")
        if len(tokens) < 6:
            return
        run, verb = f"{tokens[3]}.{tokens[4]}", tokens[5]
        owner = self._owners.get(partition_of(tokens[4], 16), 0)
        if verb == "step":
            result = msgspec.json.decode(payload, type=_Result)
            pid = pid_of(result.worker)
            self.results.setdefault((tokens[3], tokens[4], result.command, result.attempt), []).append((pid, now_us()))
            # Of an inline step it comes from an actor worker, and is nothing to aim a step worker's death at.
            self._see("result", run=run, actor=owner, step=pid if pid in self._step_pids.values() else 0)
        elif verb in ("start", "hook", "update"):
            self._see("start" if verb == "start" else "hook", run=run, actor=owner)

    def _on_work(self, subject: str, payload: bytes, _reply: str) -> None:
        workflow, run = subject.split(".")[4:6]
        self._note_queued(workflow, run, payload)
        pids = list(self._step_pids.values())
        step = self._rng.choice(pids) if pids else 0
        self._see("work", run=f"{workflow}.{run}", actor=self._deciders.get(f"{workflow}.{run}", 0), step=step)

    def _on_retry(self, subject: str, payload: bytes, _reply: str) -> None:
        workflow, run = subject.split(".")[3:5]
        self._note_queued(workflow, run, payload)

    def _note_queued(self, workflow: str, run: str, payload: bytes) -> None:
        work = msgspec.json.decode(payload, type=_Work)
        self.queued.setdefault((workflow, run, work.command, work.attempt), []).append(now_us())

    def _on_timer(self, subject: str, _payload: bytes, _reply: str) -> None:
        run = ".".join(subject.split(".")[4:6])
        self._see("timer", run=run, actor=self._deciders.get(run, 0))

    def _on_index(self, subject: str, _payload: bytes, _reply: str) -> None:
        run = ".".join(subject.split(".")[4:6])
        self._see("index", run=run, actor=self._deciders.get(run, 0))

    def _on_ack(self, _subject: str, payload: bytes, _reply: str) -> None:
        if payload in (b"", b"+ACK"):
            self._see("ack")

    def _on_beat(self, _subject: str, payload: bytes, _reply: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            beat = msgspec.json.decode(payload, type=_Beat)
            if beat.kind == "steps":
                self._step_pids[beat.worker] = beat.pid
                if beat.leaving:
                    del self._step_pids[beat.worker]
                return
            self.refused_appends[beat.worker] = beat.refused_appends
            for partition in beat.partitions:
                self._owners[partition] = beat.pid

    def _on_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                line: Line = decode_line(self._bell.recv(65536))
                if line.phase != "broke":
                    # Inline steps ring, too: only beats tell who is what.
                    actor = line.pid if line.pid in self._owners.values() else 0
                    step = line.pid if line.pid in self._step_pids.values() else 0
                    self._see(line.phase, run=f"{line.workflow}.{line.run}", actor=actor, step=step)

    def _see(self, name: str, *, run: str = "", actor: int = 0, step: int = 0, k: int = 0) -> None:
        self.heard[name] += 1
        for kind, pid in (("actors", actor), ("steps", step), ("server", -1)):
            aim = self._aims.get(kind)
            if aim is None or aim.window.name != name or aim.hit.done() or not pid:
                continue
            if aim.fire(max(pid, 0)):
                aim.hit.set_result(Shot(window=name, pid=max(pid, 0), at_us=now_us(), run=run, k=k))

    def forget(self, pid: int) -> None:
        """Takes note that a step worker is dead: nothing will reach it any more."""
        for worker in [worker for worker, other in self._step_pids.items() if other == pid]:
            del self._step_pids[worker]


def key_of(run: str) -> RunKey:
    """Reads `workflow.run`."""
    workflow, _, name = run.partition(".")
    return RunKey(workflow, name)
