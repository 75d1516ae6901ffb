"""Answers: request/reply for who has no library at hand: `status` and `result` of a run, also of one that has ended.

Answered by any actor worker from the run's last record; a hint like every notice, but one read from the log. Step
workers ask here, too: whether an attempt that they were handed is still waited for (`attempt`, internal; R8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import anyio
import msgspec

from ..actors.errors import BadLog, BrokerError
from ..actors.limits import LOADS_MAX
from ..actors.names import RunKey, is_token
from ..actors.records import Record
from .attempts import Attempts
from .notices import done_of, notice_of
from .ports import Broker, Subscription
from .run_log import RunLog
from .subjects import App
from .telemetry import log

QUERIES: Final = ("status", "result", "answer")
ATTEMPT: Final = "attempt"
ANSWER: Final = "answer"
_AT_ONCE_MAX: Final = 256
_READ_S: Final = 10.0


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `ask … status`."""

    workflow: str
    run: str
    status: str
    started_at_us: int = 0
    ended_at_us: int = 0
    commands: int = 0
    steps_open: int = 0
    hooks: list[str] = []
    reason: str = ""
    values: dict[str, Any] = {}


class AttemptQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `ask … attempt`."""

    command: int
    attempt: int


class AnswerQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `ask … answer`."""

    id: str


class AttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `ask … attempt`."""

    is_open: bool


class Answers:
    """Answers the questions about an app's runs."""

    def __init__(self, broker: Broker, app: App, attempts: Attempts) -> None:
        self._broker = broker
        self._attempts = attempts
        self._app = app
        self._log = RunLog(broker, app)
        self._spawn: Callable[..., None] | None = None
        self._at_once = 0
        self._loads = anyio.CapacityLimiter(LOADS_MAX)

    async def open(self, spawn: Callable[..., None]) -> Subscription:
        """Begins to answer."""
        self._spawn = spawn
        return await self._broker.listen(self._app.ask(RunKey("*", "*"), "*"), self._on_ask, queue="actors")

    def _on_ask(self, subject: str, payload: bytes, reply: str) -> None:
        if not reply or self._spawn is None:
            return
        if self._at_once >= _AT_ONCE_MAX:
            self._broker.notify(reply, _failure("busy", f"{_AT_ONCE_MAX} questions are being answered; ask again"))
            return
        self._at_once += 1
        self._spawn(self._answer, subject, payload, reply)

    async def _answer(self, subject: str, payload: bytes, reply: str) -> None:
        try:
            workflow, run, query = subject.split(".")[-3:]
            self._broker.notify(reply, await self._text(RunKey(workflow, run), query, payload))
        except (BrokerError, BadLog, TimeoutError) as error:
            log("ask.failed", 30, subject=subject, error=error)
            self._broker.notify(reply, _failure("unavailable", str(error)))
        finally:
            self._at_once -= 1

    async def _text(self, key: RunKey, query: str, payload: bytes) -> bytes:
        if not is_token(key.workflow) or not is_token(key.run):
            return _failure("subject", "workflow or run id is not a name")
        if query == ATTEMPT:
            return await self._attempt(key, payload)
        if query == ANSWER:
            return await self._update(key, payload)
        if query not in QUERIES:
            return _failure("query", f"unknown query {ascii(query)[:80]}; one of {', '.join(QUERIES)}")
        with anyio.fail_after(_READ_S):
            record = await self._log.last_record(key)
        if record is None:
            return _failure("not_found", f"no run {key}")
        if query == "result" and record.outcome is not None:
            return msgspec.json.encode(done_of(key, record.outcome))
        return msgspec.json.encode(status_of(key, record))

    async def _update(self, key: RunKey, payload: bytes) -> bytes:
        try:
            asked = msgspec.json.decode(payload, type=AnswerQuestion)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _failure("schema", f"answer: {error}")
        with anyio.fail_after(_READ_S):
            async with self._loads:
                log = await self._log.records(key)
        for record in log:
            for answer in record.answers:
                if answer.id == asked.id:
                    return notice_of(key, answer)
        return _failure("not_found", f"run {key} has not answered an update of that id")

    async def _attempt(self, key: RunKey, payload: bytes) -> bytes:
        try:
            asked = msgspec.json.decode(payload, type=AttemptQuestion)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _failure("schema", f"attempt: {error}")
        with anyio.fail_after(_READ_S):
            async with self._loads:
                is_open = await self._attempts.is_open(key, asked.command, asked.attempt)
        return msgspec.json.encode(AttemptAnswer(is_open=is_open))


def status_of(key: RunKey, record: Record) -> StatusAnswer:
    """Makes the public form of a run's status from its last record."""
    summary = record.summary
    return StatusAnswer(
        workflow=key.workflow,
        run=key.run,
        status=summary.status,
        started_at_us=summary.started_at_us,
        ended_at_us=summary.ended_at_us,
        commands=summary.commands,
        steps_open=summary.steps_open,
        hooks=[wait.name for wait in summary.hooks_open],
        reason=record.parked.reason if record.parked is not None else record.outcome.reason if record.outcome else "",
        values=summary.values,
    )


def _failure(code: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})
