"""The demo's stage: starts what is needed, shows what happens, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator, Awaitable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from ..actors.errors import JetrunError
from ..actors.events import Event
from ..actors.names import RunKey
from ..client.client import Client
from ..client.settings import Settings
from ..streams.faults import raise_for
from ..streams.jetstream import JetStream
from ..streams.lifeline import Tether
from ..streams.ports import Outgoing
from ..streams.provision import provision
from ..streams.server import EmbeddedServer
from ..streams.subjects import App
from . import connection, render
from .demo_flow import QUEUE, Report, audit_distribution, audit_environment
from .events import EventLines
from .output import Output
from .worker import child_argv

FLOW: Final = "jetrun.cli.demo_flow"
APP: Final = App("demo")
KEY: Final = RunKey(audit_environment.name, "this-environment")
HOOK: Final = "approval"
PAYLOAD: Final = '{"payload":{"ok":true,"by":"wfctl demo"}}'
PAUSE: Final = "1s"

TIMEOUT_S: Final = 120.0
"""Far above what it takes; a demo that hangs says so."""

_STOP_S: Final = 5.0
_LOOK_S: Final = 0.2
_TEXT_COLUMNS: Final = 110


async def run_demo() -> None:
    """Runs the demo from server to report.

    Raises:
        JetrunError: A part of it did not work; everything is stopped and removed all the same.
    """
    out = Output()
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, scope.cancel)
        with (
            tempfile.TemporaryDirectory(prefix="jetrun-demo-", ignore_cleanup_errors=True) as folder,
            EmbeddedServer.start(Path(folder) / "store") as server,
        ):
            out.line(f"server:  nats-server at {server.url}, store in a temporary folder")
            settings = Settings(url=server.url, app=APP.name)
            async with _workers(settings, out):
                await _within_time(_audit(settings, out))
        out.line("done: server and workers are stopped, the store is removed")
        return
    raise JetrunError("the demo was told to end before its report")


async def _within_time(work: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await work
    except TimeoutError as error:
        raise JetrunError(f"the demo has not ended within {TIMEOUT_S:.0f} s; its machine may be overloaded") from error


@asynccontextmanager
async def _workers(settings: Settings, out: Output) -> AsyncGenerator[None, None]:
    """Provisions, starts an actor worker and a step worker as processes, and watches them."""
    js = await connection.connect(settings, name="wfctl demo", is_one_shot=True)
    try:
        changes = await provision(js, APP, queues=[QUEUE])
        out.line(f"streams: {len(changes)} streams and consumers provisioned")
    finally:
        await js.close()
    common = ["--url", settings.url, "--app", settings.app, "worker"]
    quiet = ["-m", FLOW, "--log-level", "warning", "--log-format", "text"]
    with ExitStack() as stack:
        tethers: list[Tether] = []
        for what in (["actors"], ["steps", "--queue", QUEUE, "--concurrency", "8"]):
            tether = Tether(child_argv([*common, *what, *quiet]))
            stack.callback(tether.close)
            tethers.append(tether)
            out.line(f"process: wfctl worker {what[0]} (pid {tether.process.pid})")
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, tethers)
                yield
                tasks.cancel_scope.cancel()
        finally:
            for tether in tethers:
                tether.terminate()
            for tether in tethers:
                tether.stop(grace_s=_STOP_S)


async def _watch(tethers: list[Tether]) -> None:
    while True:
        for tether in tethers:
            code = tether.process.poll()
            if code is not None:
                raise JetrunError(
                    f"worker process {tether.process.pid} has ended with exit code {code}; its own lines above say why"
                )
        await anyio.sleep(_LOOK_S)


async def _audit(settings: Settings, out: Output) -> None:
    js = await connection.connect(settings, name="wfctl demo", is_one_shot=True)
    async with Client(js, APP.name) as client:
        out.line()
        out.line(f"start:   wfctl start {KEY.workflow} '\"{PAUSE}\"' --run-id {KEY.run}", "bold")
        out.line(f"         wfctl tail {KEY}", "bold")
        run = await client.start(audit_environment.call(PAUSE), run_id=KEY.run)
        progress = _Progress(out)
        lines = EventLines(out, with_run=False, plain_columns=_TEXT_COLUMNS)
        async for event in run.tail():
            lines.show(KEY, event)
            progress.count(event)
            if event.kind == "hook.opened":
                await _approve(js, out, settings)
        report = await run.result()
    out.line()
    _print_report(out, report)


async def _approve(js: JetStream, out: Output, settings: Settings) -> None:
    """Sends the hook as any program in any language would: a publish of JSON, answered by the stream."""
    subject = APP.input(KEY, "hook", HOOK)
    out.line()
    out.line(f"hook:    nats req --server {settings.url} {subject} '{PAYLOAD}'", "bold")
    ack = await js.publish(Outgoing(subject, PAYLOAD.encode()))
    raise_for(ack, f"hook to {subject}")
    out.line(f"         stored as message {ack.seq} of {APP.mail}")
    out.line()


class _Progress:
    """Counts audited distributions: a passing line on a terminal, a line at each quarter elsewhere."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._scheduled = 0
        self._done = 0
        self._quarter = 0

    def count(self, event: Event) -> None:
        if event.kind == "step.scheduled" and event.data.get("name") == audit_distribution.name:
            self._scheduled += 1
        elif event.kind == "step.completed" and self._scheduled:
            self._done += 1
            quarter = self._done * 4 // self._scheduled
            text = f"progress: {self._done} of {self._scheduled} distributions audited"
            if self._out.is_terminal and self._done < self._scheduled:
                self._out.status(text)
            elif quarter > self._quarter:
                self._out.line(text, "cyan")
            self._quarter = quarter


def _print_report(out: Output, report: Report) -> None:
    slowest = ", ".join(f"{slow.name} {slow.took_ms} ms" for slow in report.slowest)
    facts = [
        ("distributions", str(report.distributions)),
        ("files checked", f"{report.files_checked} ({render.size(report.bytes)})"),
        ("mismatched", str(report.mismatched)),
        ("missing", str(report.missing)),
        ("without hash", f"{report.unhashed} (RECORD itself, compiled files)"),
        ("skipped", str(report.skipped) if report.skipped else ""),
        ("editable", ", ".join(report.editable)),
        ("without RECORD", ", ".join(report.without_record)),
        ("slowest", slowest),
        ("approved by", report.approved_by),
    ]
    out.line("report", "bold")
    for name, value in facts:
        if value:
            out.line(f"  {name + ':':<16} {render.safe(value)}")
    for problem in report.problems:
        out.line(f"  problem:         {render.safe(problem)}", "yellow")
