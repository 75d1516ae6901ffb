"""Requests: questions to the server or to other programs, answered over one shared inbox.

One wildcard subscription; the last token of the reply subject says whose answer it is. A question may have one
answer (API calls) or many up to an end mark (batched direct get).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

from ..actors.errors import BrokerError, OutcomeUnknown, ServerLost
from ..actors.limits import API_TIMEOUT_S, SWEEP_S
from .connection import Wire
from .faults import denied, fault_of
from .headers import read_status
from .ports import UNKNOWN
from .subjects import check_subject

T = TypeVar("T")


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One answer as it came."""

    payload: bytes
    headers: bytes
    status: int
    """0 for an answer with a body, else the server's status (404, 503 …)."""
    text: str


Collect = Callable[[Reply], bool]
"""Called for each answer of a question with many; True ends it."""


class ApiError(msgspec.Struct):
    """The error part of an API answer."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Refused(msgspec.Struct):
    error: ApiError | None = None


class _Question:
    __slots__ = ("collect", "command", "deadline", "future", "subject")

    def __init__(
        self,
        subject: str,
        command: int,
        deadline: float,
        future: asyncio.Future[Reply | None],
        collect: Collect | None,
    ) -> None:
        self.subject = subject
        self.command = command
        self.deadline = deadline
        self.future = future
        self.collect = collect


class Requests:
    """Questions of one connection and their answers."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._inbox = wire.new_inbox() + "."
        self._inbox_bytes = len(self._inbox)
        self._open: dict[int, _Question] = {}
        self._number = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._lost_command = 0
        self._is_closed = False
        wire.attach(self._inbox + "*", self._on_answer)
        wire.on_denied.append(self._on_denied)
        wire.on_closed.append(self._on_closed)
        wire.on_disconnect.append(self._on_disconnect)
        wire.on_reconnect.append(self._on_reconnect)

    async def ask(
        self, subject: str, payload: bytes, *, timeout_s: float, collect: Collect | None = None
    ) -> Reply | None:
        """Sends a question and returns its (last) answer, or None when none came in time or the connection broke.

        Raises:
            PermissionDenied: The server denied the question's subject.
            ServerLost: The connection is closed for good.
        """
        check_subject(subject)
        if self._is_closed:
            raise ServerLost(f"the connection to {self._wire.target.shown} is closed")
        self._number += 1
        number = self._number
        deadline = self._loop.time() + timeout_s
        question = _Question(subject, self._wire.appended_count, deadline, self._loop.create_future(), collect)
        self._open[number] = question
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_S, self._on_sweep)
        self._wire.send_publish(subject, f"{self._inbox}{number}", b"", payload)
        try:
            return await question.future
        finally:
            del self._open[number]

    async def call(
        self, subject: str, body: object, answer: type[T], *, what: str, is_repeatable: bool = True
    ) -> T | ApiError:
        """Calls the JetStream API and reads its answer; a refusal comes back as `ApiError`.

        Args:
            subject: Without the `$JS.API.` in front.
            what: What is tried, for errors.
            is_repeatable: Asks once more when the first question stays without an answer.

        Raises:
            OutcomeUnknown: No answer in time.
            NotProvisioned: Nobody listens: no such stream, or no JetStream.
        """
        payload = b"" if body is None else msgspec.json.encode(body)
        for _ in range(2 if is_repeatable else 1):
            reply = await self.ask(f"$JS.API.{subject}", payload, timeout_s=API_TIMEOUT_S)
            if reply is not None:
                break
        else:
            raise OutcomeUnknown(f"{what}: no answer from the server within {API_TIMEOUT_S:g} s; try again")
        if reply.status:
            raise fault_of(reply.status, reply.text, what)
        try:
            refused = msgspec.json.decode(reply.payload, type=_Refused).error
            return refused if refused is not None else msgspec.json.decode(reply.payload, type=answer)
        except msgspec.DecodeError as error:
            raise BrokerError(
                f"{what}: the answer of {subject} cannot be read: {error}; is this a NATS server?"
            ) from error

    async def get(self, subject: str, body: object, answer: type[T], *, what: str, is_repeatable: bool = True) -> T:
        """Like `call`, and raises what a refusal stands for."""
        found = await self.call(subject, body, answer, what=what, is_repeatable=is_repeatable)
        if isinstance(found, ApiError):
            raise fault_of(found.err_code or found.code or UNKNOWN, found.description, what)
        return found

    def close(self) -> None:
        """Ends all open questions without an answer."""
        self._on_closed("closed")

    def _on_answer(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        try:
            question = self._open.get(int(subject[self._inbox_bytes :]))
        except ValueError:
            return
        if question is None or question.future.done():
            return
        status, text = read_status(headers) if headers else (0, "")
        answer = Reply(payload, headers, status, text)
        if question.collect is None or question.collect(answer):
            question.future.set_result(answer)

    def _on_sweep(self) -> None:
        """Gives up what is overdue: one timer for all questions, where one each would cost more than the question."""
        self._sweep = None
        now = self._loop.time()
        for question in self._open.values():
            if question.deadline <= now:
                _give_up(question.future)
        if self._open and not self._is_closed:
            self._sweep = self._loop.call_later(SWEEP_S, self._on_sweep)

    def _on_denied(self, kind: str, subject: str) -> None:
        for question in self._open.values():
            if kind == "publish" and question.subject == subject and not question.future.done():
                question.future.set_exception(denied(kind, subject))

    def _on_disconnect(self) -> None:
        self._lost_command = self._wire.written_count

    def _on_reconnect(self) -> None:
        for question in self._open.values():
            if question.command < self._lost_command:
                _give_up(question.future)  # its answer went to the connection that broke

    def _on_closed(self, reason: str) -> None:
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for question in self._open.values():
            _give_up(question.future)


def _give_up(future: asyncio.Future[Reply | None]) -> None:
    if not future.done():
        future.set_result(None)
