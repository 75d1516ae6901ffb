"""One run looked into: where it stands and why, and its whole log as JSON lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ..actors.errors import BadLog, BadValue, RunNotFound
from ..actors.messages import Ref
from ..actors.names import RunKey
from ..actors.records import Record, record_hash
from ..client.claims import Claims
from ..client.reader import Chain, Reader
from ..client.status import RunStatus
from . import render
from .exits import UsageProblem
from .lookup import find_run
from .output import PLAIN_VALUE_COLUMNS, Output, complain

if TYPE_CHECKING:
    from .connection import Connection

_REF: Final = re.compile(rb'\{\s*"sha256"\s*:\s*"[0-9a-f]{64}"\s*,\s*"size"\s*:\s*\d+\s*\}')


async def show_run(connection: Connection, text: str) -> None:
    """Prints where a run stands.

    Raises:
        RunNotFound: There is no such run.
    """
    key = await find_run(connection, text)
    record = await Reader(connection.broker, connection.app).last(key)
    if record is None:
        raise RunNotFound(*key, f"no run {key} in app {connection.app.name!r}; start it, or check workflow, id and app")
    status = RunStatus.of(key, record)
    result = await _result_of(connection, key, record)
    if connection.out.is_json:
        line = {name: getattr(status, name) for name in status.__struct_fields__}
        line["parent"] = str(status.parent) if status.parent is not None else None
        connection.out.json({**line, "result": msgspec.Raw(result)} if result is not None else line)
        return
    for name, value in _facts(status, record):
        connection.out.line(f"{name + ':':<11} {value}")
    if result is not None:
        room = max(20, connection.out.width - 12) if connection.out.width else PLAIN_VALUE_COLUMNS
        connection.out.line(f"{'result:':<11} {render.cut(render.safe_json(result), room)}")
    if status.error is not None:
        _show_traceback(connection.out, status.error.traceback)


async def export_run(connection: Connection, text: str, out: Output | None = None) -> None:
    """Prints a run's records, each with its place in the stream and its hash, then the large values they name.

    The hash is of the record's stored bytes: it is what the next record names as `prev`, so that a copy of which
    spaces and escapes were changed on the way can still be checked for gaps.

    Args:
        out: Where to, if not to the connection's own output.
    """
    out = out or connection.out
    key = await find_run(connection, text)
    stored = await connection.broker.read(connection.app.log, connection.app.log_of(key))
    if not stored:
        raise RunNotFound(*key, f"no run {key} in app {connection.app.name!r}; start it, or check workflow, id and app")
    chain, refs = Chain(), dict[str, Ref]()
    name = {"workflow": key.workflow, "run": key.run, "app": connection.app.name}
    for message in stored:
        if chain.accept(message.payload) is None:
            continue  # not written by a worker (R4)
        place = {**name, "seq": message.seq, "at_us": message.at_us}
        out.json({**place, "hash": record_hash(message.payload), "record": msgspec.Raw(message.payload)})
        refs.update((ref.sha256, ref) for ref in _refs_in(message.payload))
    claims = Claims(connection.broker, connection.app)
    for ref in refs.values():
        try:
            value = await claims.get(key, ref)
        except (BadLog, BadValue) as error:
            complain(f"warning: {error}")
            continue
        out.json({**name, "sha256": ref.sha256, "value": msgspec.Raw(value)})


async def export_to(connection: Connection, text: str, path: Path) -> None:
    """Writes `export_run`'s lines to a file, which is replaced when they are all there.

    Raises:
        UsageProblem: The file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            await export_run(connection, text, Output(is_json=True, stream=file))
        part.replace(path)
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    connection.out.line(f"written: {path}")


def _facts(status: RunStatus, record: Record) -> Iterator[tuple[str, str]]:
    yield "run", f"{status.workflow}/{status.run_id}"
    yield "status", status.status
    if status.link > 1 or status.status == "continued":
        yield "link", f"{status.link} of its chain"
    if status.parent is not None:
        yield "child of", str(status.parent)
    yield "started", render.instant(status.started_at_us)
    if status.is_ended:
        yield (
            "ended",
            f"{render.instant(status.ended_at_us)} (took {render.span(status.ended_at_us - status.started_at_us)})",
        )
    yield "records", f"{status.records}, {status.commands} commands, {status.failures} failed attempts"
    if not status.is_ended:
        children = f", {status.children_open} children" if status.children_open else ""
        hooks = len(status.hooks_open)
        yield "open", f"{status.steps_open} steps, {status.timers_open} timers, {hooks} hooks{children}"
    for wait in status.hooks_open:
        yield "waits for", f"hook {wait.name}" + (f" of type {render.safe(wait.type)}" if wait.type else "")
    if status.parked is not None:
        yield (
            "parked",
            f"{status.parked.code}, {status.parked.tries} tries, next at {render.instant(status.parked.retry_at_us)}",
        )
        yield "because", render.safe(status.parked.reason)
    if status.error is not None:
        yield "error", render.safe(f"{status.error.type}: {status.error.message}")
    if status.reason:
        yield "reason", render.safe(status.reason)
    if record.code:
        yield "code", record.code


def _show_traceback(out: Output, traceback: str) -> None:
    if traceback:
        out.line("--- remote traceback ---", "dim")
        for line in traceback.splitlines():
            out.line(render.safe(line))


async def _result_of(connection: Connection, key: RunKey, record: Record) -> bytes | None:
    outcome = record.outcome
    if outcome is None or outcome.status != "completed":
        return None
    if outcome.ref is None:
        return bytes(outcome.result)
    return await Claims(connection.broker, connection.app).get(key, outcome.ref)


def _refs_in(raw: bytes) -> Iterator[Ref]:
    # By shape: bodies are raw JSON inside a record, and a reference may stand in any of them. A user's value that
    # looks like one costs a lookup that finds nothing.
    for match in _REF.finditer(raw):
        try:
            ref = msgspec.json.decode(match[0], type=Ref)
        except msgspec.ValidationError:  # of a size that no value of ours has
            continue
        yield ref
