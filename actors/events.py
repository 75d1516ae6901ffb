"""Events: what a reader is shown of a record. A view, never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec

from .commands import Advance, CancelChild, Close, Command, OpenHook, Patch, RunStep, StartChild, StartTimer
from .durations import format_instant
from .errors import ErrorInfo
from .graph_moves import decode_moves
from .graph_story import story_of
from .messages import OptionalRaw, Ref
from .records import Answer, Continued, Folded, Outcome, Record, Refused

_Asked: TypeAlias = RunStep | StartTimer | OpenHook | StartChild | CancelChild | Patch | Close


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a run's story."""

    k: int
    at_us: int
    kind: str
    text: str = ""
    n: int = 0
    """The command's number, 0 where the event is not about one."""
    data: dict[str, Any] = {}


class _StepView(msgspec.Struct):
    command: int = 0
    attempt: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    ref: Ref | None = None
    error: ErrorInfo | None = None
    is_deferred: bool = False
    worker: str = ""
    started_at_us: int = 0
    ended_at_us: int = 0
    deliveries: int = 1


class _ChildView(msgspec.Struct):
    command: int = 0
    status: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    ref: Ref | None = None
    error: ErrorInfo | None = None
    reason: str = ""


class _BodyView(msgspec.Struct):
    payload: msgspec.Raw = msgspec.Raw(b"null")
    args: msgspec.Raw = msgspec.Raw(b"[]")
    kwargs: OptionalRaw = None
    ref: Ref | None = None
    reason: str = ""


def events_of(record: Record) -> list[Event]:
    """Tells a record's story in order: what came, what was decided, how it ended."""
    return list(_events(record))


def _events(record: Record) -> Iterator[Event]:
    if record.unparked:
        yield Event(k=record.k, at_us=record.at_us, kind="run.unparked", text="goes on")
    for n in record.fired:
        yield Event(k=record.k, at_us=record.at_us, kind="timer.fired", text=f"timer {n} fired", n=n)
    refused = {(r.source, r.seq): r for r in record.refused}
    for folded in record.messages:
        refusal = refused.pop((folded.source, folded.seq), None)
        if refusal is None:
            yield from _message(record, folded)
        else:
            text = f"{folded.verb} {folded.name}: {refusal.reason}".replace(" :", ":")
            yield _refused(record, refusal, folded.at_us, text)
    for refusal in refused.values():
        yield _refused(record, refusal, record.at_us, f"kept message {refusal.seq}: {refusal.reason}")
    for retry in record.retries:
        yield Event(
            k=record.k,
            at_us=record.at_us,
            kind="step.retrying",
            text=f"attempt {retry.attempt} at {format_instant(retry.due_at_us)}",
            n=retry.n,
            data={"attempt": retry.attempt, "due_at_us": retry.due_at_us},
        )
    for command in record.commands:
        yield from _command(record, command)
    for answer in record.answers:
        yield _answer(record, answer)
    for key, value in record.values.items():
        text = f"{key} {msgspec.json.encode(value).decode()}"
        yield Event(k=record.k, at_us=record.at_us, kind="status.set", text=text, data={"key": key, "value": value})
    if record.parked is not None:
        parked = record.parked
        data = {"code": parked.code, "tries": parked.tries, "retry_at_us": parked.retry_at_us}
        yield Event(
            k=record.k, at_us=record.at_us, kind="run.parked", text=f"{parked.code}: {parked.reason}", data=data
        )
    if record.continued is not None:
        yield _renewed(record, record.continued)
    if record.outcome is not None:
        yield _end(record, record.outcome)


def _refused(record: Record, refusal: Refused, at_us: int, text: str) -> Event:
    return Event(k=record.k, at_us=at_us, kind="message.refused", text=text, data={"code": refusal.code})


def _message(record: Record, folded: Folded) -> Iterator[Event]:
    def event(kind: str, text: str = "", n: int = 0, **data: Any) -> Event:
        return Event(k=record.k, at_us=folded.at_us, kind=kind, text=text, n=n, data=data)

    if folded.verb == "step":
        yield from _step(event, folded)
        return
    if folded.verb == "child":
        end = msgspec.json.decode(folded.body, type=_ChildView)
        if end.status == "completed":
            shown = _shown(end.result, end.ref)
            yield event("child.completed", shown, end.command, result=_plain(end.result, end.ref))
        else:
            text = f"{end.error.type}: {end.error.message}" if end.error is not None else end.reason
            error = msgspec.to_builtins(end.error)
            yield event(f"child.{end.status}", text, end.command, error=error, reason=end.reason)
        return
    body = msgspec.json.decode(folded.body, type=_BodyView)
    match folded.verb:
        case "start":
            args = _plain(body.args, body.ref)
            yield event("run.started", _shown(body.args, body.ref), args=args, **_named(body.kwargs))
        case "hook":
            kind = "message.kept" if record.undecided else "hook.received"
            yield event(
                kind,
                f"{folded.name} {_shown(body.payload, body.ref)}",
                name=folded.name,
                payload=_plain(body.payload, body.ref),
            )
        case "update":
            kind = "message.kept" if record.undecided else "update.received"
            named = f" {_shown(body.kwargs, None)}" if body.kwargs is not None else ""
            text = f"{folded.name} {_shown(body.args, body.ref)}{named}"
            yield event(kind, text, name=folded.name, args=_plain(body.args, body.ref), **_named(body.kwargs))
        case "cancel" | "pause":
            kind = "run.paused" if folded.verb == "pause" else "run.cancel_requested"
            yield event(kind, body.reason, reason=body.reason)
        case "resume":
            yield event("run.resumed")
        case _:
            return


def _step(event: Callable[..., Event], folded: Folded) -> Iterator[Event]:
    view = msgspec.json.decode(folded.body, type=_StepView)
    if view.deliveries > 1:
        lost = view.deliveries - 1
        text = f"interrupted {lost} time{'s' if lost > 1 else ''}: handed out again"
        yield event("step.interrupted", text, view.command, attempt=view.attempt, interruptions=lost)
    data = {"attempt": view.attempt, "worker": view.worker}
    if view.ended_at_us:
        data["duration_us"] = view.ended_at_us - view.started_at_us
    if view.is_deferred:
        yield event("step.deferred", "completed later", view.command, **data)
    elif view.error is None:
        shown = _shown(view.result, view.ref)
        yield event("step.completed", shown, view.command, **data, result=_plain(view.result, view.ref))
    else:
        error = view.error
        text = f"{error.type}: {error.message}"
        yield event("step.failed", text, view.command, **data, error=msgspec.to_builtins(error))


def _command(record: Record, command: Command) -> Iterator[Event]:
    if isinstance(command, Advance):
        yield from _advance(record, command)
    else:
        yield _asked(record, command)


def _asked(record: Record, command: _Asked) -> Event:
    def event(kind: str, text: str, **data: Any) -> Event:
        return Event(k=record.k, at_us=record.at_us, kind=kind, text=text, n=command.n, data=data)

    match command:
        case RunStep():
            shown = _shown(command.args, command.ref)
            args = _plain(command.args, command.ref)
            data = {"name": command.name, "queue": command.queue, "args": args, **_named(command.kwargs)}
            if command.task:
                data["task"] = command.task
            if command.kwargs is not None:
                shown = f"{'' if shown == '[]' else shown + ' '}{bytes(command.kwargs).decode(errors='replace')}"
            return event("step.scheduled", f"{command.name} {shown}", **data)
        case StartTimer():
            text = f"{command.what} until {format_instant(command.due_at_us)}"
            return event("timer.started", text, due_at_us=command.due_at_us, what=command.what)
        case OpenHook():
            return event("hook.opened", command.name, name=command.name, type=command.type)
        case StartChild():
            key = command.address
            args = _plain(command.args, command.ref)
            text = f"{key} {_shown(command.args, command.ref)}"
            data = {"workflow": command.workflow, "run": command.run, "args": args, **_named(command.kwargs)}
            return event("child.started", text, **data)
        case CancelChild():
            return event(
                "child.cancel_requested", f"child {command.target} {command.reason}".rstrip(), target=command.target
            )
        case Patch():
            return event("patch.marked", command.id, id=command.id)
        case Close():
            return event("command.closed", f"command {command.target}", target=command.target)


def _advance(record: Record, advance: Advance) -> Iterator[Event]:
    if advance.ref is not None:
        text = f"moves of {advance.ref.size} bytes, sha256 {advance.ref.sha256[:12]}"
        yield Event(k=record.k, at_us=record.at_us, kind="graph.moved", text=text, n=advance.n)
        return
    for kind, text, data in story_of(decode_moves(advance.moves)):
        yield Event(k=record.k, at_us=record.at_us, kind=kind, text=text, n=advance.n, data=data)


def _renewed(record: Record, continued: Continued) -> Event:
    if continued.error is not None:
        why = f"{continued.error.type}: {continued.error.message}"
        text = f"try {continued.attempt} at {format_instant(continued.due_at_us)} after {why}"
        tried = {"attempt": continued.attempt, "due_at_us": continued.due_at_us, "link": continued.link}
        error = msgspec.to_builtins(continued.error)
        return Event(k=record.k, at_us=record.at_us, kind="run.retrying", text=text, data={**tried, "error": error})
    text = f"link {continued.link} {_shown(continued.args, continued.ref)}"
    data = {"link": continued.link, "args": _plain(continued.args, continued.ref), **_named(continued.kwargs)}
    return Event(k=record.k, at_us=record.at_us, kind="run.continued", text=text, data=data)


def _answer(record: Record, answer: Answer) -> Event:
    data: dict[str, Any] = {"name": answer.name, "id": answer.id}
    if answer.error is None:
        kind, text = "update.completed", f"{answer.name} {_shown(answer.result, answer.ref)}"
        data["result"] = _plain(answer.result, answer.ref)
    else:
        kind = "update.refused" if answer.is_refused else "update.failed"
        text = f"{answer.name} {answer.error.type}: {answer.error.message}"
        data["error"] = msgspec.to_builtins(answer.error)
    return Event(k=record.k, at_us=record.at_us, kind=kind, text=text, data=data)


def _end(record: Record, outcome: Outcome) -> Event:
    data: dict[str, Any] = {}
    text = outcome.reason
    if outcome.status == "completed":
        text = _shown(outcome.result, outcome.ref)
        data["result"] = _plain(outcome.result, outcome.ref)
    elif outcome.error is not None:
        text = f"{outcome.error.type}: {outcome.error.message}"
        data["error"] = msgspec.to_builtins(outcome.error)
    if outcome.reason:
        data["reason"] = outcome.reason
    return Event(k=record.k, at_us=record.at_us, kind=f"run.{outcome.status}", text=text, data=data)


def _named(kwargs: msgspec.Raw | None) -> dict[str, Any]:
    """Arguments given by name, as a part of an event's data; nothing where there are none."""
    found = msgspec.json.decode(kwargs) if kwargs is not None else None
    return {"kwargs": found} if found else {}


def _plain(raw: msgspec.Raw, ref: Ref | None) -> Any:
    return msgspec.to_builtins(ref) if ref is not None else msgspec.json.decode(raw)


def _shown(raw: msgspec.Raw, ref: Ref | None) -> str:
    if ref is not None:
        return f"<{ref.size} bytes, sha256 {ref.sha256[:12]}>"
    return bytes(raw).decode(errors="replace")
