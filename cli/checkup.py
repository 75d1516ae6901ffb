"""What `wfctl doctor` looks at, and what it makes of it."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

import msgspec

from ..actors.errors import InvalidValue
from ..actors.limits import WORK_ACK_WAIT_S
from ..client.client import Client
from ..client.fleet import Worker
from ..streams.inventory import Inventory, take_inventory
from ..streams.jetstream import JetStream
from ..streams.provision import verify
from ..streams.subjects import App
from . import render
from .output import Output
from .workers import load_of

_MONITOR_S: Final = 3.0
_SYNC_DEFAULT_NS: Final = 120_000_000_000
_MARKS: Final[dict[str, tuple[str, render.Colour]]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "wrong": ("WRONG", "red"),
}


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at."""

    level: Literal["ok", "warning", "wrong"]
    what: str
    text: str
    mend: str = ""
    """A command or a setting that mends it."""


async def examine(
    js: JetStream, app: App, client: Client, queues: Sequence[str], modules: Sequence[str], monitor: str | None
) -> list[Finding]:
    """Looks at everything; takes little more than a second, in which it listens for workers."""
    inventory, workers = await asyncio.gather(take_inventory(js, app), client.workers())
    findings = [
        Finding(
            level="ok",
            what="server",
            text=f"nats-server {js.wire.server_version} with JetStream at {js.wire.target.shown}",
        )
    ]
    findings.append(await _sync(monitor))
    findings.append(_account(js))
    if not inventory.streams:
        mend = f"wfctl provision{''.join(f' -m {module}' for module in modules) or ' -m MODULE'} --app {app.name}"
        return [
            *findings,
            Finding(level="wrong", what="streams", text=f"app {app.name!r} is not provisioned", mend=mend),
        ]
    findings += await _streams(js, app, inventory, queues, modules)
    findings += _workers(workers)
    findings += _lags(app, inventory, workers)
    findings += [finding async for finding in _contents(js, app, inventory)]
    return findings


def report(out: Output, findings: Sequence[Finding]) -> bool:
    """Prints findings and tells whether something is wrong."""
    for finding in findings:
        if out.is_json:
            out.json(finding)
            continue
        mark, colour = _MARKS[finding.level]
        out.line(f"{out.paint(mark.ljust(8), colour)} {render.safe(finding.what)}: {render.safe(finding.text)}")
        if finding.mend:
            out.line(f"{'':<8} -> {render.safe(finding.mend)}")
    wrong = sum(finding.level == "wrong" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if not out.is_json:
        out.line(f"{wrong} wrong, {warnings} warnings", "red" if wrong else "green")
    return wrong > 0


class _Config(msgspec.Struct, frozen=True):
    sync_interval: int = _SYNC_DEFAULT_NS
    sync_always: bool = False


class _JetStreamPart(msgspec.Struct, frozen=True):
    config: _Config = _Config()


async def _sync(monitor: str | None) -> Finding:
    setting = "jetstream { sync_interval: always } in the server's configuration, or three servers and `--replicas 3`"
    if monitor is None:
        return Finding(
            level="warning",
            what="durability",
            text="a client cannot read the server's sync_interval; by default a write is on disk within 2 minutes, so a "
            "machine that loses power may lose what was acknowledged",
            mend=f"see it with --monitor http://host:8222 (`http_port: 8222` at the server); for power failures: {setting}",
        )
    config = await asyncio.to_thread(_read_config, monitor)
    if config.sync_always:
        return Finding(level="ok", what="durability", text="sync_interval is `always`: what is acknowledged is on disk")
    span = render.span(config.sync_interval // 1000)
    text = f"sync_interval is {span}: a machine that loses power may lose what was acknowledged in that time"
    return Finding(level="warning", what="durability", text=text, mend=setting)


def _read_config(monitor: str) -> _Config:
    if not monitor.startswith(("http://", "https://")):
        raise InvalidValue("--monitor", f"{monitor!r} is no http address")
    try:
        with urllib.request.urlopen(f"{monitor.rstrip('/')}/jsz?config=true", timeout=_MONITOR_S) as answer:  # noqa: S310  # checked above
            return msgspec.json.decode(answer.read(), type=_JetStreamPart).config
    except (urllib.error.URLError, OSError, msgspec.DecodeError) as error:
        raise InvalidValue("--monitor", f"no monitoring at {monitor}: {error}; set http_port at the server") from error


def _account(js: JetStream) -> Finding:
    if js.wire.target.login.user or js.wire.target.login.token or js.wire.target.login.creds_file:
        text = "we are logged in; whether services and workers have accounts of their own cannot be seen from here"
    else:
        text = "the server asks nobody who they are: one account for all, whoever reaches it may write any log"
    mend = "for production: an account for the engine, others for services and step workers"
    return Finding(level="warning", what="accounts", text=text, mend=mend)


async def _streams(
    js: JetStream, app: App, inventory: Inventory, queues: Sequence[str], modules: Sequence[str]
) -> list[Finding]:
    there = [name.removeprefix("queue_") for name in inventory.consumers.get(app.work, {})]
    differences = await verify(js, app, sorted({*there, *queues}))
    given = (
        "".join(f" -m {module}" for module in modules)
        or "".join(f" --queue {queue}" for queue in there)
        or " -m MODULE"
    )
    mend = f"wfctl provision{given} --app {app.name}"
    found = [
        Finding(
            level="wrong",
            what=f"{one.what} {one.name}",
            text=one.detail.partition("; run `wfctl provision`")[0],
            mend="restore it from a backup: nats stream restore" if "lost messages" in one.detail else mend,
        )
        for one in differences
    ]
    if found:
        return found
    consumers = sum(len(names) for names in inventory.consumers.values())
    return [
        Finding(
            level="ok",
            what="streams",
            text=f"{len(inventory.streams)} streams and {consumers} consumers are as they should be",
        )
    ]


def _workers(workers: Sequence[Worker]) -> list[Finding]:
    findings = [
        Finding(
            level="ok",
            what=f"{'actor' if worker.kind == 'actors' else 'step'} worker",
            text=f"{worker.worker}, {load_of(worker)}",
        )
        for worker in workers
    ]
    kinds = {worker.kind for worker in workers}
    if "actors" not in kinds:
        findings.append(
            Finding(
                level="warning",
                what="actor worker",
                text="none is there: no run moves",
                mend="wfctl worker actors -m MODULE",
            )
        )
    if "steps" not in kinds:
        findings.append(
            Finding(
                level="warning",
                what="step worker",
                text="none is there: no step runs",
                mend="wfctl worker steps -m MODULE",
            )
        )
    return findings


def _lags(app: App, inventory: Inventory, workers: Sequence[Worker]) -> list[Finding]:
    """Says where messages wait: wrong where nobody is there to take them."""
    pulled = {queue for worker in workers for queue in worker.queues}
    owned = {partition for worker in workers for partition in worker.partitions}
    findings: list[Finding] = []
    for stream in (app.mail, app.timers, app.work):
        for name, consumer in sorted(inventory.consumers.get(stream, {}).items()):
            if not consumer.messages:
                continue
            kind, _, rest = name.partition("_")
            # What has no partition (the mailbox's strays) any actor worker serves.
            is_owned = int(rest) in owned if rest.isdigit() else bool(owned)
            served = rest in pulled if kind == "queue" else is_owned
            findings.append(
                Finding(
                    level="ok" if served else "wrong",
                    what=f"consumer {stream}/{name}",
                    text=f"{consumer.num_pending} messages wait, {consumer.num_ack_pending} are out"
                    + ("" if served else "; no live worker serves it"),
                    mend=""
                    if served
                    else f"wfctl worker {f'steps -m MODULE --queue {rest}' if kind == 'queue' else 'actors -m MODULE'}",
                )
            )
    if not findings:
        findings.append(
            Finding(
                level="ok", what="lag", text=f"nothing waits; a lost step is noticed within {WORK_ACK_WAIT_S:.0f} s"
            )
        )
    return findings


async def _contents(js: JetStream, app: App, inventory: Inventory) -> AsyncIterator[Finding]:
    for name in (app.mail, app.log, app.work, app.timers, app.dead, app.index):
        if name not in inventory.streams:
            continue
        state = await js.stream_state(name)
        if name == app.dead and state.messages:
            yield Finding(
                level="warning", what="dead letters", text=f"{state.messages} in {name}", mend="wfctl dead list"
            )
        elif name == app.log:
            text = f"{state.messages} records of {state.subjects} runs, {render.size(state.bytes)}"
            yield Finding(level="ok", what="log", text=text)
