"""Asking: updates and queries of one client, from the call to its typed answer.

What an update came to is read from the log; a notice only says when to look (R19). A query is asked until somebody
answers, for it changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from ..actors.asking import Asked
from ..actors.errors import (
    BadLog,
    ErrorInfo,
    InvalidValue,
    QueryFailed,
    RunError,
    RunNotFound,
    UpdateFailed,
    UpdateRefused,
    mixed_class,
)
from ..actors.limits import (
    QUERY_BYTES_MAX,
    QUERY_PATIENCE_S,
    QUERY_PAUSE_S,
    QUERY_TRY_S,
    REPLICA_LAGS_S,
)
from ..actors.messages import NO_ARGS, Update
from ..actors.names import RunKey, check_token
from ..actors.query import Question, Reply
from ..actors.records import Answer, Record
from ..actors.values import decode
from ..actors.work import packed_object
from ..streams.dead_letter import DeadLetter
from .faults import ended
from .reader import Chain
from .sender import RunMessage, message_id
from .session import Session
from .waits import Watch

_REPLY: Final = msgspec.json.Decoder(Reply)
_AGAIN: Final = ("busy", "unavailable")


class _WithId(msgspec.Struct):
    id: str = ""


# --- updates ------------------------------------------------------------------------------------


async def perform(
    session: Session,
    key: RunKey,
    call: Asked[Any],
    *,
    id: str | None,  # noqa: A002
    timeout_s: float | None,
) -> Any:
    """Sends an update to a run that goes on, and waits for its answer; see `RunHandle.update`."""
    update_id = message_id() if id is None else id
    last = None
    if id is None:  # nothing up to here can be its answer
        last = await session.broker.last_direct(session.app.log, session.app.log_of(key))
    awaited = _Awaited(session, key, call.name, update_id, after_seq=last.seq if last is not None else 0)
    message = await _message(session, key, call, update_id)
    watch = await session.waits.watch(key)
    watch.awaited.add(update_id)
    seen = watch.news if id is None else -1
    try:
        await session.sender.send(message)
        async with asyncio.timeout(timeout_s):
            answer = await session.waits.wait_settled(watch, lambda: awaited.find(watch), seen=seen)
    except TimeoutError as error:
        stands = f"it stands, under the id {update_id!r}"
        raise TimeoutError(f"update {call.name!r} of run {key} has no answer within {timeout_s} s; {stands}") from error
    finally:
        watch.awaited.discard(update_id)
        watch.answered.discard(update_id)
    return await _result_of(session, key, call, answer)


async def answered_before(session: Session, key: RunKey, call: Asked[Any], id: str | None, record: Record) -> Any:  # noqa: A002
    """Returns the answer that a run which has ended has given to an update of that id.

    Raises:
        RunEnded: It has not.
    """
    if id is None:
        raise ended(key, record)
    try:
        answer = await _Awaited(session, key, call.name, id, after_seq=0).look()
    except UpdateRefused as error:
        raise ended(key, record) from error
    if answer is None:
        raise ended(key, record)
    return await _result_of(session, key, call, answer)


async def _message(session: Session, key: RunKey, call: Asked[Any], id: str) -> RunMessage:  # noqa: A002
    """Makes the message of an update; large arguments are in the object store on return.

    Raises:
        InvalidName, InvalidValue: It cannot be sent.
    """
    name = check_token("update name", call.name)
    data = packed_object(call.args, call.kwargs)
    ref = session.claims.check(data, where=f"arguments of update {name}")
    if ref is None:
        kwargs = None if call.kwargs is None else msgspec.Raw(call.kwargs)
        return RunMessage(key, "update", name, Update(id=id, args=msgspec.Raw(call.args), kwargs=kwargs))
    await session.claims.put(key, ref, data)
    return RunMessage(key, "update", name, Update(id=id, ref=ref, args=NO_ARGS))


class _Awaited:
    """An update on its way: looks for its answer in the log, from where it has looked already.

    Args:
        after_seq: The answer is behind this record; 0 where it may be anywhere.
    """

    def __init__(self, session: Session, key: RunKey, name: str, id: str, *, after_seq: int) -> None:  # noqa: A002
        self._session = session
        self._key = key
        self._name = name
        self._id = id
        self._from_seq = after_seq + 1
        self._chain = Chain()
        self._is_taken = False

    async def find(self, watch: Watch) -> Answer | None:
        """Looks for the answer; None where there is none yet.

        Raises:
            UpdateRefused: It is a dead letter, or the run has ended without taking it.
            UpdateFailed: The run has ended, and its end says nothing of the update.
        """
        answer = await self.look()
        if answer is None and self._id in watch.answered:
            for lag in REPLICA_LAGS_S:  # the notice may have overtaken the record
                await asyncio.sleep(lag)
                answer = await self.look()
                if answer is not None:
                    break
        return answer

    async def look(self) -> Answer | None:
        """Looks once; otherwise as `find`."""
        session, key = self._session, self._key
        stored = await session.broker.read(session.app.log, session.app.log_of(key), from_seq=self._from_seq)
        records: Sequence[Record | None] = [self._chain.accept(message.payload) for message in stored]
        if None in records:  # a stranger's message is in between: only the whole log tells which
            records = await session.reader.log(key)
        if stored:
            self._from_seq = stored[-1].seq + 1
        for record in records:
            assert record is not None
            for answer in record.answers:
                if answer.id == self._id:
                    return answer
            self._is_taken = self._is_taken or any(
                folded.verb == "update" and _id_of(folded.body) == self._id for folded in record.messages
            )
            if record.outcome is not None:
                raise self._ended(record)
        letter = await self._dead_letter()
        if letter is not None:
            error = ErrorInfo(type="UpdateRefused", message=letter.reason, code=letter.code)
            raise failure(UpdateRefused, key, f"update {self._name!r} of run {key} was refused", error)
        return None

    def _ended(self, record: Record) -> RunError:
        text = f"the run has ended ({record.summary.status})"
        error = ErrorInfo(type="UpdateFailed", message=text, code="ended")
        if self._is_taken:
            return failure(UpdateFailed, self._key, f"update {self._name!r} of run {self._key} failed", error)
        return failure(UpdateRefused, self._key, f"update {self._name!r} of run {self._key} was refused", error)

    async def _dead_letter(self) -> DeadLetter | None:
        session = self._session
        for stored in await session.broker.read(session.app.dead, session.app.dead_of(self._key)):
            try:
                letter = msgspec.json.decode(stored.payload, type=DeadLetter)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # nobody of ours has written it
            if letter.body and _id_of(letter.body) == self._id:
                return letter
        return None


async def _result_of(session: Session, key: RunKey, call: Asked[Any], answer: Answer) -> Any:
    """Reads the result that an answer holds or names.

    Raises:
        UpdateRefused, UpdateFailed: It says so.
    """
    if answer.error is not None:
        what = f"update {call.name!r} of run {key}"
        if answer.is_refused:
            raise failure(UpdateRefused, key, f"{what} was refused", answer.error)
        raise failure(UpdateFailed, key, f"{what} failed", answer.error)
    raw = bytes(answer.result) if answer.ref is None else await session.claims.get(key, answer.ref)
    return decode(raw, call.result_type, where=f"result of update {call.name!r}")


def failure(base: type[RunError], key: RunKey, what: str, error: ErrorInfo) -> RunError:
    """Makes the exception for an error of the run's: also of the class that was raised there, where that is known here."""
    message = f"{what}: {error.type}: {error.message}" if error.code in ("", "failed", "refused") else ""
    message = message or f"{what} ({error.code}): {error.message}"
    cls: Any = mixed_class(base, error.type)
    try:
        # Not by `cls(...)`: the other class's constructor may want arguments that nobody has.
        made: Any = cls.__new__(cls, message)
        made.args = (message,)
        made.workflow, made.run = key.workflow, key.run
    except (TypeError, AttributeError):
        made = base(*key, message)
    made.error = error
    return cast("RunError", made)


def _id_of(body: msgspec.Raw | str) -> str:
    try:
        return msgspec.json.decode(body, type=_WithId).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


# --- queries ------------------------------------------------------------------------------------


async def ask(session: Session, key: RunKey, call: Asked[Any], *, timeout_s: float = QUERY_PATIENCE_S) -> Any:
    """Asks a query until somebody answers.

    Raises:
        QueryFailed, RunNotFound: As `RunHandle.query` says.
        InvalidName, InvalidValue: It cannot be asked.
    """
    name = check_token("query name", call.name)
    kwargs = None if call.kwargs is None else msgspec.Raw(call.kwargs)
    body = msgspec.json.encode(Question(args=msgspec.Raw(call.args), kwargs=kwargs))
    if len(body) > QUERY_BYTES_MAX:
        raise InvalidValue(f"arguments of query {name}", f"{len(body)} bytes of JSON; at most {QUERY_BYTES_MAX}")
    subject = session.app.ask(key, f"query.{name}")
    now_s = asyncio.get_running_loop().time
    until_s = now_s() + timeout_s
    text = f"no actor worker has answered within {timeout_s:g} s; is one running that serves app {session.app.name!r}?"
    error = ErrorInfo(type="QueryFailed", message=text, code="unanswered")
    while (left_s := until_s - now_s()) > 0:
        raw = await session.broker.request(subject, body, timeout_s=min(left_s, QUERY_TRY_S))
        reply = _read(raw) if raw is not None else None
        if reply is not None and isinstance(reply.result, msgspec.Raw):
            return decode(reply.result, call.result_type, where=f"result of query {name!r}")
        if reply is not None and isinstance(reply.error, ErrorInfo):
            if reply.error.code not in _AGAIN:
                raise _refused(key, name, reply.error)
            error = reply.error
        await asyncio.sleep(min(QUERY_PAUSE_S, max(0.0, until_s - now_s())))
    raise _refused(key, name, error)


def _read(raw: bytes) -> Reply:
    try:
        return _REPLY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLog(f"the answer to a query cannot be read: {error}") from error


def _refused(key: RunKey, name: str, error: ErrorInfo) -> RunError:
    if error.code == "not_found":
        return RunNotFound(*key, f"{error.message}; start it, or check workflow, id and app")
    return failure(QueryFailed, key, f"query {name!r} of run {key} has no answer", error)
