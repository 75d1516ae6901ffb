"""A campaign from the first process to the report."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import anyio
import msgspec

from jetrun.actors.errors import BrokerError
from jetrun.actors.limits import PARTITIONS
from jetrun.streams.jetstream import JetStream
from jetrun.streams.provision import provision
from jetrun.streams.server import EmbeddedServer
from jetrun.streams.subjects import App

from .asking import ask_results, ask_updates
from .audit import Case, check_all
from .crew import Crew
from .dump import consumer_states, write_dump
from .effects import environment, read_lines
from .faults import Disturb, FaultLog, Scene, disturb
from .graph_invariants import GRAPH_INVARIANTS
from .log_invariants import LOG_INVARIANTS
from .plans import Plan
from .quiet import wait_quiet
from .report import Figures, report
from .run_invariants import RUN_INVARIANTS
from .run_logs import Remains, read_remains
from .schedule_invariants import SCHEDULE_INVARIANTS
from .sender import Sender
from .step_invariants import STEP_INVARIANTS
from .watch import Watch


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign is asked for."""

    seconds: float
    seed: int
    ways: list[Disturb]
    workers: int
    lease_s: float
    """Ack wait of the work queue."""
    quiet_s: float
    folder: Path
    command: str
    """How to repeat it."""


class Ending(NamedTuple):
    """What a campaign came to."""

    report: str
    is_clean: bool
    """Every invariant holds, and it is quiet."""
    refused_appends: int


async def run_campaign(options: Options, plans: Sequence[Plan], rng: Random) -> Ending:
    """Runs the plans under the faults, waits until it is quiet, and audits what is left."""
    app = App("campaign")
    _log_to(options.folder / "campaign.log")
    folder = options.folder
    effects, bell = folder / "effects.jsonl", folder / "bell"
    with EmbeddedServer.start(folder / "nats") as server:
        await _provision(server.url, app, options.lease_s)
        env = environment(effects, bell)
        crew = Crew(server.url, app.name, folder, actors=options.workers, steps=options.workers, env=env)
        async with _listening(server.url, app, rng, bell) as (watch, broker):
            with crew:
                await crew.start()
                sender = Sender(broker, app, rng, on_sending=watch.on_sending)
                scene, faults = Scene(crew, server, watch, anyio.Lock()), FaultLog()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(sender.send, plans)
                    await disturb(scene, faults, rng, options.seconds, options.ways)
                began = time.monotonic()
                keys = [plan.key for plan in plans if plan.letters[0].id in sender.acked]
                is_quiet = await wait_quiet(broker, app, keys, at_most_s=options.quiet_s)
                quiet_s = time.monotonic() - began
                remains = await read_remains(broker, app)
                told = await ask_results(
                    server.url, app, [k for k, log in remains.logs.items() if log.outcome is not None]
                )
                answers = await ask_updates(server.url, app, plans, sender.acked)
                sender.save(folder / "sent.jsonl")
                faults.save(folder / "faults.jsonl")
                case = Case(
                    app=app.name,
                    plans={plan.key: plan for plan in plans},
                    tries=sender.tries,
                    acked=sender.acked,
                    faults=faults.done,
                    lines=read_lines(effects),
                    remains=remains,
                    results=watch.results,
                    queued=watch.queued,
                    deaths=faults.deaths,
                    lease_us=int(options.lease_s * 1e6),
                    told=told,
                    answers=answers,
                )
                findings = check_all(
                    case, [*RUN_INVARIANTS, *LOG_INVARIANTS, *GRAPH_INVARIANTS, *SCHEDULE_INVARIANTS, *STEP_INVARIANTS]
                )
                is_clean = is_quiet and not any(finding.violations for finding in findings)
                if not is_clean:
                    await _dump(broker, app, folder, case, plans, [text for f in findings for text in f.violations])
    figures = Figures(
        seed=options.seed,
        seconds=options.seconds,
        quiet_s=quiet_s,
        is_quiet=is_quiet,
        refused_appends=crew.count("append.refused"),
        takeovers=crew.count("partition.taken_over"),
        command=options.command,
        folder=str(folder),
        heard=dict(watch.heard),
    )
    return Ending(report(case, findings, figures), is_clean, figures.refused_appends)


@asynccontextmanager
async def _listening(url: str, app: App, rng: Random, bell: Path) -> AsyncGenerator[tuple[Watch, JetStream]]:
    """Yields the campaign's own connections. That one of them is cut when it is closed is nobody's fault."""
    watch = await Watch.open(url, app, rng, bell)
    try:
        broker = await JetStream.connect(url, name="campaign")
        try:
            yield watch, broker
        finally:
            with contextlib.suppress(OSError):
                await broker.close()
    finally:
        with contextlib.suppress(OSError):
            await watch.close()


def _log_to(path: Path) -> None:
    """Keeps what the campaign's own connections say about lost servers out of its report."""
    logger = logging.getLogger("jetrun")
    logger.addHandler(logging.FileHandler(path))
    logger.propagate = False


async def _provision(url: str, app: App, lease_s: float) -> None:
    js = await JetStream.connect(url, name="campaign provision")
    await provision(js, app, queues=["default"])
    consumer = app.queue_consumer("default")
    raw = await js.request(f"$JS.API.CONSUMER.INFO.{app.work}.{consumer}", b"", timeout_s=5)
    assert raw is not None, "the server answers"
    config = msgspec.json.decode(raw, type=_Info).config
    config["ack_wait"] = int(lease_s * 1e9)
    body = msgspec.json.encode({"stream_name": app.work, "config": config, "action": "update"})
    raw = await js.request(f"$JS.API.CONSUMER.DURABLE.CREATE.{app.work}.{consumer}", body, timeout_s=5)
    assert raw is not None, "the server answers"
    assert msgspec.json.decode(raw, type=_Info).config["ack_wait"] == config["ack_wait"], raw
    await js.close()


class _Info(msgspec.Struct):
    config: dict[str, object]


async def _dump(
    broker: JetStream, app: App, folder: Path, case: Case, plans: Sequence[Plan], violations: Sequence[str]
) -> None:
    """Keeps what tells why."""
    subjects = [subject for found in case.remains.left.values() for subject in found]
    words = [*violations, *(f"/{'/'.join(subject.split('.'))}/" for subject in subjects)]
    named = {plan.key for plan in plans if any(f"{plan.key}" in word for word in words)}
    open_keys = {plan.key for plan in plans if case.log_of(plan.key).outcome is None}
    left: Remains = case.remains
    try:
        states = await consumer_states(broker, app, PARTITIONS)
    except BrokerError as error:
        states = [str(error)]
    extra = [
        *violations,
        *states,
        *[f"{stream}: {subject}" for stream, found in left.left.items() for subject in found],
    ]
    write_dump(folder / "dump.txt", [*sorted(open_keys), *sorted(named - open_keys)], case, extra)
