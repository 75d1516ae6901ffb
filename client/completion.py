"""Completion: results of steps that have ended without one (`complete_later`), sent by whoever has the token."""

from __future__ import annotations

import msgspec

from ..actors.completion import Completion
from ..actors.errors import ErrorInfo, InvalidValue
from ..actors.messages import StepResult
from ..actors.values import encode
from ..streams.step_outcome import Failed, raised
from .sender import RunMessage, message_id
from .session import Session


async def complete(session: Session, token: str, result: object) -> None:
    """Sends a result; durable on return."""
    found = Completion.parse(token)
    where = f"result of command {found.command} of {found.key}"
    data = encode(result, where=where)
    ref = session.claims.check(data, where=where)
    if ref is not None:
        await session.claims.put(found.key, ref, data)
    body = StepResult(
        id=message_id(),
        command=found.command,
        attempt=found.attempt,
        token=found.secret,
        result=msgspec.Raw(data if ref is None else b"null"),
        ref=ref,
    )
    await session.sender.send(RunMessage(found.key, "step", "", body))


async def fail(session: Session, token: str, error: BaseException | str, *, now_us: int) -> None:
    """Sends a failure; durable on return."""
    found = Completion.parse(token)
    failed = (
        Failed(ErrorInfo(type="Exception", message=error)) if isinstance(error, str) else raised(error, now_us=now_us)
    )
    if not isinstance(failed, Failed):
        raise InvalidValue("error of a step", f"{error!r} is no failure")
    body = StepResult(
        id=message_id(),
        command=found.command,
        attempt=found.attempt,
        token=found.secret,
        error=failed.error,
        is_retryable=failed.is_retryable,
        retry_after_us=failed.retry_after_us,
    )
    await session.sender.send(RunMessage(found.key, "step", "", body))
