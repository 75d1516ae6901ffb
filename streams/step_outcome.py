"""Step outcomes: what one attempt came to, as values; every failure that the engine itself makes is made here.

Pure functions, except that packing a result calls the encoder of the step's result type. Retries are the actor's
decision (R18): a failure only says whether trying again can help, and how long the step wants to wait.
"""

from __future__ import annotations

import difflib
import inspect
from asyncio import CancelledError
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from ..actors.codec import TooLarge
from ..actors.errors import (
    BadMessage,
    ErrorInfo,
    FatalError,
    InvalidDuration,
    InvalidValue,
    RetryableError,
    WorkerLost,
    qualified_name,
)
from ..actors.failures import error_info
from ..actors.limits import BODY_DEPTH_MAX, UNKNOWN_STEP_DELAY_US
from ..actors.messages import NULL, Ref, StepResult, check_depth
from ..actors.retry import retry_after_us
from ..actors.signals import CompleteLater
from ..actors.work import Work

_CLOSE_MATCHES_MAX: Final = 3


class Succeeded(NamedTuple):
    """The step returned; `result` is the value's JSON."""

    result: bytes


class Failed(NamedTuple):
    """The attempt failed."""

    error: ErrorInfo
    is_retryable: bool = True
    retry_after_us: int | None = None


class Deferred(NamedTuple):
    """The attempt has ended without a result: somebody else completes the step."""


StepOutcome: TypeAlias = Succeeded | Failed | Deferred


class PacksResult(Protocol):
    """What can make a result's JSON: the signature of a step's function."""

    def pack_result(self, value: object) -> bytes:
        """Encodes by the declared type. Raises InvalidValue."""
        ...


def packed(signature: PacksResult, value: object, name: str) -> StepOutcome:
    """Encodes what a step returned; a value that cannot be a result is a final failure."""
    try:
        result = signature.pack_result(value)
        if result.count(b"[") + result.count(b"{") >= BODY_DEPTH_MAX:
            check_depth(b"[%b]" % result)  # the message around it is one level more
    except InvalidValue as error:
        if inspect.iscoroutine(value):
            value.close()  # a sync step that forgot its await; unclosed it would only warn elsewhere
        code = "result_too_large" if isinstance(error.__cause__, TooLarge) else "invalid_result"
        return Failed(_info(InvalidValue, str(error), code), is_retryable=False)
    except BadMessage as error:
        return Failed(_info(InvalidValue, f"result of step {name}: {error}", "invalid_result"), is_retryable=False)
    return Succeeded(result)


def raised(error: BaseException, *, now_us: int) -> Failed | Deferred:
    """Describes what a step raised, whatever it is: `SystemExit` ends the attempt, not the worker.

    The traceback's first frame, the worker's own call of the step, is left out.
    """
    if isinstance(error, CompleteLater):
        return Deferred()
    trace = error.__traceback__
    if trace is not None and trace.tb_next is not None:
        error.__traceback__ = trace.tb_next
    delay_us: int | None = None
    if isinstance(error, RetryableError) and error.retry_after is not None:
        try:
            delay_us = retry_after_us(error.retry_after, now_us=now_us)
        except (ValueError, TypeError, ArithmeticError) as refused:
            return Failed(_info(InvalidDuration, str(refused), "invalid_retry_after"))
    return Failed(error_info(error), not isinstance(error, FatalError), delay_us)


def worker_lost(work: Work, losses: int) -> Failed:
    """The attempt was delivered as often as it may be, and no worker lived to answer (a crash, a kill, no memory)."""
    times = "" if losses == 1 else f" {losses} times"
    remedy = (
        "it may have done its work, and recovery is off: look, then start again"
        if losses == 1 and work.recoveries_max == 1
        else "look for a crash, a kill or missing memory, or raise max_recovery_attempts"
    )
    return Failed(
        _info(WorkerLost, f"the worker was lost{times} while it ran step {work.name!r}; {remedy}", "worker_lost"),
        is_retryable=False,
    )


def unknown_step(work: Work, known: Iterable[str]) -> Failed:
    """This worker has no such step; during a rolling deploy the next one may."""
    close = difflib.get_close_matches(work.name, list(known), n=_CLOSE_MATCHES_MAX)
    hint = f"did you mean {', '.join(map(repr, close))}?" if close else "is its module among the worker's?"
    error = ErrorInfo(type="UnknownStep", message=f"no step {work.name!r} on this worker; {hint}", code="unknown_step")
    return Failed(error, retry_after_us=UNKNOWN_STEP_DELAY_US)


def invalid_arguments(error: InvalidValue | BadMessage) -> Failed:
    """The recorded arguments do not fit the function's parameters."""
    return Failed(_info(InvalidValue, str(error), "invalid_arguments"), is_retryable=False)


def missing_value(work: Work, ref: Ref) -> Failed:
    """The object that holds the arguments cannot be found (yet: object stores may lag behind)."""
    text = f"arguments of step {work.name!r}, object {ref.sha256[:16]} of {ref.size} bytes, are not in the object store"
    return Failed(ErrorInfo(type="MissingValue", message=text, code="missing_value"))


def timed_out(work: Work) -> Failed:
    """The attempt ran longer than the step's timeout."""
    text = f"step {work.name!r} ran longer than its timeout of {work.timeout_us / 1_000_000:g} s"
    return Failed(_info(TimeoutError, text, "step_timeout"))


def silent(work: Work) -> Failed:
    """The attempt said nothing for the step's `heartbeat_timeout`."""
    text = f"step {work.name!r} gave no heartbeat for {work.heartbeat_us / 1_000_000:g} s"
    return Failed(_info(TimeoutError, text, "heartbeat_timeout"))


def cancelled(work: Work) -> Failed:
    """The run no longer waits for the step."""
    return Failed(_info(CancelledError, f"step {work.name!r} was cancelled", "cancelled"), is_retryable=False)


def too_large(name: str, size: int, bound: int) -> Failed:
    """The server refused the result's message for its size."""
    text = (
        f"result of step {name} has {size} bytes, at most {bound} are allowed; store it elsewhere and return its name"
    )
    return Failed(_info(InvalidValue, text, "result_too_large"), is_retryable=False)


def result_body(
    work: Work,
    outcome: StepOutcome,
    *,
    ref: Ref | None,
    worker: str,
    started_at_us: int,
    ended_at_us: int,
    deliveries: int = 1,
) -> StepResult:
    """Makes the message that tells the run; `ref` stands for a result that was stored apart."""
    if isinstance(outcome, Succeeded):
        return StepResult(
            command=work.command,
            attempt=work.attempt,
            token=work.token,
            result=NULL if ref is not None else msgspec.Raw(outcome.result),
            ref=ref,
            worker=worker,
            started_at_us=started_at_us,
            ended_at_us=ended_at_us,
            deliveries=deliveries,
        )
    if isinstance(outcome, Deferred):
        return StepResult(
            command=work.command,
            attempt=work.attempt,
            token=work.token,
            is_deferred=True,
            worker=worker,
            started_at_us=started_at_us,
            ended_at_us=ended_at_us,
        )
    return StepResult(
        command=work.command,
        attempt=work.attempt,
        token=work.token,
        error=outcome.error,
        is_retryable=outcome.is_retryable,
        retry_after_us=outcome.retry_after_us,
        worker=worker,
        started_at_us=started_at_us,
        ended_at_us=ended_at_us,
        deliveries=deliveries,
    )


def _info(cls: type[BaseException], message: str, code: str) -> ErrorInfo:
    bases = [qualified_name(base) for base in cls.__mro__[1:-1] if issubclass(base, BaseException)]
    return ErrorInfo(type=qualified_name(cls), message=message, bases=bases, code=code)
