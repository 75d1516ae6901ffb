"""The monitor: hears everything that the server does, checks on the spot what can be seen there alone, keeps the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from jetrun.actors.commands import Close, StartTimer
from jetrun.actors.messages import StepResult, decode_body
from jetrun.actors.names import RunKey
from jetrun.actors.records import decode_record
from jetrun.actors.work import decode_work
from jetrun.streams.memory import MemoryServer
from jetrun.streams.subjects import App

from .chaos import Chaos
from .trace import Trace

Attempt = tuple[str, str, int, int]
"""Workflow, run, command, attempt."""


class Monitor:
    """Listens to the server's trace."""

    def __init__(self, server: MemoryServer, app: App, trace: Trace, now_us: Callable[[], int]) -> None:
        self.violations: list[str] = []
        self.deliveries: Counter[tuple[str, int]] = Counter()
        self.lost: list[tuple[int, str]] = []
        """When a publish, its answer or a delivery's ack was struck by a fault, and its subject."""
        self.chaos: Chaos | None = None
        self.on_race: Callable[[RunKey, int], None] | None = None
        """Hears of each deadline of a `race` as it is decided."""
        self._server = server
        self._app = app
        self._trace = trace
        self._now_us = now_us
        self._subjects: dict[tuple[str, int], str] = {}
        self._work: dict[int, Attempt] = {}
        self._results: set[Attempt] = set()

    def hear(self, line: str) -> None:
        """Takes one line of the server."""
        self._trace.add(line)
        word, _, rest = line.partition(" ")
        parts = rest.split(" ")
        if word == "stored":
            self._stored(parts[0], int(parts[1]), parts[2])
        elif word == "delivered":
            self.deliveries[parts[0], int(parts[2])] += 1
        elif word == "acked":
            self._acked(parts[0], int(parts[1]))
        elif word in ("lost", "late", "false", "transient"):
            self.lost.append((self._now_us(), parts[-1]))
        elif word == "struck":  # a delivery that is doubled, or an ack of one that is lost
            self.lost.append((self._now_us(), self._subjects.get((parts[-2], int(parts[-1])), "")))

    def _stored(self, stream: str, seq: int, subject: str) -> None:
        app = self._app
        if stream in (app.mail, app.work):
            self._subjects[stream, seq] = subject
        if stream == app.work and subject.split(".")[2] == "work":
            stored = self._server.stream(stream).get(seq)
            assert stored is not None
            work = decode_work(stored.payload)
            self._work[seq] = (work.workflow, work.run, work.command, work.attempt)
        elif stream == app.mail and subject.endswith(".step"):
            stored = self._server.stream(stream).get(seq)
            assert stored is not None
            body, tokens = decode_body("step", "", stored.payload), subject.split(".")
            assert isinstance(body, StepResult)
            self._results.add((tokens[4], tokens[5], body.command, body.attempt))
        elif stream == app.log and (".race." in subject or ".g-waits." in subject) and self.on_race is not None:
            stored = self._server.stream(stream).get(seq)
            assert stored is not None
            key = app.read_run(subject)
            assert key is not None
            for command in decode_record(stored.payload).commands:
                if isinstance(command, StartTimer) and command.what == "hook":
                    self.on_race(key, command.due_at_us)
        if self.chaos is not None:
            self.chaos.watch_stored(stream, seq, subject)

    def _acked(self, stream: str, seq: int) -> None:
        if stream == self._app.work and self._work[seq] not in self._results:
            workflow, run, command, attempt = self._work[seq]
            if not self._is_taken_back(RunKey(workflow, run), command):
                what = f"{workflow}/{run}: work of step {command}, attempt {attempt}"
                self.violations.append(f"{what} acked without result")
        if self.chaos is not None:
            self.chaos.watch_acked(stream, self._subjects.get((stream, seq), ""))

    def _is_taken_back(self, key: RunKey, command: int) -> bool:
        """Tells whether the log says that nobody waits for a step: closed, over by its time, or its run has ended."""
        for stored in self._server.stream(self._app.log).select(self._app.log_of(key)):
            record = decode_record(stored.payload)
            closed = {each.target for each in record.commands if isinstance(each, Close)}
            if record.outcome is not None or command in closed or command in record.fired:
                return True
        return False
