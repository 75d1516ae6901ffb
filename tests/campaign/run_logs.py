"""Run logs: what a campaign has left on the server, read once and asked many things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from jetrun.actors.commands import Advance, Command, RunStep, StartChild, StartTimer, due_of
from jetrun.actors.fold import refs_of
from jetrun.actors.journal import message_of
from jetrun.actors.messages import Hook, Message, Parent, StepResult
from jetrun.actors.names import RunKey
from jetrun.actors.records import Outcome, Record, decode_record
from jetrun.streams.dead_letter import DeadLetter
from jetrun.streams.ports import Broker
from jetrun.streams.subjects import App


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it is stored."""

    record: Record
    raw: bytes
    seq: int
    at_us: int
    """The server's time of the append."""


class RunLog(msgspec.Struct, frozen=True, kw_only=True):
    """The log of one run."""

    key: RunKey
    entries: list[Entry]

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended, if it did."""
        return self.entries[-1].record.outcome if self.entries else None

    @property
    def status(self) -> str:
        return self.outcome.status if self.outcome is not None else "open"

    def messages(self) -> Iterator[tuple[Entry, Message]]:
        """Yields every folded message with the entry that holds it."""
        for entry in self.entries:
            for folded in entry.record.messages:
                yield entry, message_of(folded)

    def steps(self) -> dict[int, tuple[Entry, RunStep]]:
        """Finds the steps that were decided, by command."""
        return {c.n: (entry, c) for entry in self.entries for c in entry.record.commands if isinstance(c, RunStep)}

    def timers(self) -> dict[int, StartTimer]:
        """Finds the timers that were decided, by command."""
        return {c.n: c for entry in self.entries for c in entry.record.commands if isinstance(c, StartTimer)}

    def due(self) -> dict[int, int]:
        """Tells when each command that fires is due: timers, and steps with a `schedule_to_close`."""
        return {c.n: due_us for entry in self.entries for c in entry.record.commands if (due_us := due_of(c))}

    def children(self) -> dict[int, StartChild]:
        """Finds the children that were decided, by command."""
        return {c.n: c for entry in self.entries for c in entry.record.commands if isinstance(c, StartChild)}

    def parent(self) -> RunKey | None:
        """Names the run that has started this one as its child."""
        mark = self.parent_mark()
        return RunKey(mark.workflow, mark.run) if mark is not None else None

    def parent_mark(self) -> Parent | None:
        """Tells for which command of which run this one was begun."""
        start = next((entry.record.start for entry in self.entries if entry.record.start is not None), None)
        return start.parent if start is not None else None

    def decisions(self) -> Iterator[list[Command]]:
        """Yields what each decision asked for, in all of its parts."""
        commands: list[Command] = []
        for entry in self.entries:
            commands += entry.record.commands
            if not entry.record.more:
                yield commands
                commands = []

    def fired(self) -> dict[int, Entry]:
        """Finds where each timer fired."""
        return {n: entry for entry in self.entries for n in entry.record.fired}

    def results(self) -> dict[int, list[StepResult]]:
        """Finds what attempts reported, by command, in the order of folding."""
        found: dict[int, list[StepResult]] = {}
        for _, message in self.messages():
            if isinstance(message.body, StepResult):
                found.setdefault(message.body.command, []).append(message.body)
        return found

    def value_of(self, command: int) -> msgspec.Raw | None:
        """Reads the result that counts: the first success."""
        return next((r.result for r in self.results().get(command, []) if r.error is None), None)

    def hooks(self, name: str) -> list[tuple[Entry, Message]]:
        """Finds the hooks of a name in the order of folding."""
        return [(e, m) for e, m in self.messages() if isinstance(m.body, Hook) and m.name == name]

    def first(self, verb: str) -> Entry | None:
        """Finds where the first message of a verb was folded."""
        return next((entry for entry, message in self.messages() if message.verb == verb), None)


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a campaign has left."""

    logs: dict[RunKey, RunLog]
    objects: dict[str, bytes]
    """Large values by hash."""
    dead: list[tuple[RunKey | None, DeadLetter]]
    index: dict[str, dict[RunKey, int]]
    """Runs by the state under which the index lists them, with the time of the entry."""
    messages: dict[str, int]
    """Messages left in MAIL, WORK and TIMERS, by stream."""
    left: dict[str, list[str]]
    """Some of their subjects."""


async def read_remains(broker: Broker, app: App) -> Remains:
    """Reads it all; a campaign is small."""
    logs: dict[RunKey, list[Entry]] = {}
    async for stored in broker.scan(app.log, f"wf.{app.name}.log.>"):
        key = app.read_run(stored.subject)
        assert key is not None, stored.subject
        entry = Entry(record=decode_record(stored.payload), raw=stored.payload, seq=stored.seq, at_us=stored.at_us)
        logs.setdefault(key, []).append(entry)
    dead = [
        (app.read_run(s.subject), msgspec.json.decode(s.payload, type=DeadLetter))
        async for s in broker.scan(app.dead, f"wf.{app.name}.dead.>")
    ]
    index: dict[str, dict[RunKey, int]] = {"open": {}, "parked": {}, "ended": {}}
    async for stored in broker.scan(app.index, f"wf.{app.name}.index.>"):
        key = app.read_run(stored.subject)
        state = stored.subject.split(".")[3]
        if key is not None and state in index:  # else it holds details of heartbeats
            index[state][key] = stored.at_us
    streams = (app.mail, app.work, app.timers)
    messages = {stream: (await broker.stream_state(stream)).messages for stream in streams}
    left = {stream: await _subjects(broker, stream) if messages[stream] else [] for stream in streams}
    found = {key: RunLog(key=key, entries=entries) for key, entries in logs.items()}
    return Remains(
        logs=found,
        objects=await _objects(broker, app, found.values()),
        dead=dead,
        index=index,
        messages=messages,
        left=left,
    )


async def _objects(broker: Broker, app: App, logs: Iterable[RunLog]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for log in logs:
        refs = [ref for _, message in log.messages() if (ref := refs_of(message)) is not None]
        commands = [command for entry in log.entries for command in entry.record.commands]
        refs += [c.ref for c in commands if isinstance(c, (Advance, RunStep)) and c.ref is not None]
        for ref in refs:
            data = await broker.get_object(app.values, f"{log.key.workflow}/{log.key.run}/{ref.sha256}")
            if data is not None:
                found[ref.sha256] = data
    return found


async def _subjects(broker: Broker, stream: str) -> list[str]:
    # A work queue allows no second consumer beside its own: read by subject instead.
    name = stream.split("_")[1]
    tokens = {"MAIL": ("mail",), "WORK": ("work", "retry"), "TIMERS": ("timer", "fired")}[stream.rsplit("_", 1)[1]]
    found: list[str] = []
    for token in tokens:
        found += [stored.subject for stored in await broker.read(stream, f"wf.{name}.{token}.>")]
    return found[:20]


def ended(logs: Iterable[RunLog]) -> int:
    """Counts the runs that have ended."""
    return sum(log.outcome is not None for log in logs)


def ids_of(letters: Sequence[tuple[RunKey | None, DeadLetter]]) -> set[str]:
    """Reads the senders' ids of dead letters."""
    found: set[str] = set()
    for _, letter in letters:
        try:
            found.add(msgspec.json.decode(letter.body or "{}", type=_Named).id)
        except msgspec.DecodeError:
            continue
    return found


class _Named(msgspec.Struct):
    id: str = ""
