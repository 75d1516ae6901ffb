"""The dump: all that tells why a run hangs, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from jetrun.actors.limits import PARTITIONS
from jetrun.actors.names import RunKey
from jetrun.streams.jetstream import JetStream
from jetrun.streams.subjects import App, partition_of

from .audit import Case
from .run_logs import RunLog

RUNS_MAX = 40


async def consumer_states(broker: JetStream, app: App, partitions: int) -> list[str]:
    """Writes where each consumer stands that has something to do."""
    names = [(app.mail, app.mail_consumer(p)) for p in range(partitions)]
    names += [(app.timers, app.fired_consumer(p)) for p in range(partitions)]
    names.append((app.work, app.queue_consumer("default")))
    lines: list[str] = []
    for stream, consumer in names:
        state = await broker.consumer_state(stream, consumer)
        if state.pending or state.ack_pending:
            lines.append(f"{stream} {consumer} {state}")
    return lines


def story(case: Case, log: RunLog, partitions: int) -> Iterator[str]:
    """Tells a run's life, from its log, its steps and its sender, in order of time."""
    yield f"=== {log.key} partition {partition_of(log.key.run, partitions)}: {log.status}"
    found: list[tuple[int, str]] = []
    for entry in log.entries:
        record = entry.record
        messages = [f"{m.verb}.{m.name}@{m.source}{m.seq}:{m.at_us}:{bytes(m.body)[:80]!r}" for m in record.messages]
        commands = [f"{type(c).__name__}{c.n}" for c in record.commands]
        text = (
            f"record {record.k} seq {entry.seq} by {record.by} {messages} -> {commands} fired {record.fired} "
            f"retries {record.retries} refused {record.refused} undecided {record.undecided} {record.summary.status}"
        )
        found.append((entry.at_us, text))
    found.extend(
        (line.at_us, f"  step {line.phase} {line.step} {line.command}/{line.attempt} pid {line.pid}")
        for line in case.lines
        if (line.workflow, line.run) == log.key
    )
    for attempt, times in case.queued.items():
        if attempt[:2] == log.key:
            found += [(at_us, f"  work {attempt[2]}/{attempt[3]} on its way into a queue") for at_us in times]
    found.extend(
        (sent.sent_at_us, f"  sent {sent.id} code {sent.code} seq {sent.seq} again {sent.is_again}")
        for sent in case.tries
        if (sent.workflow, sent.run) == log.key
    )
    for at_us, text in sorted(found):
        yield f"{at_us} {text}"


def write_dump(path: Path, keys: Iterable[RunKey], case: Case, extra: Iterable[str]) -> None:
    """Writes the stories of the runs that are in question."""
    with path.open("w") as file:
        for text in extra:
            file.write(text + "\n")
        for key in list(keys)[:RUNS_MAX]:
            for text in story(case, case.log_of(key), PARTITIONS):
                file.write(text + "\n")
