"""One tree of errors, a class per reaction that the caller may have; wording rules in CONTRIBUTING.md.

A message is one clause with the values, then the way out. Engine control flow is in `signals.py`:
it derives from `BaseException` and never reaches a caller.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

_FAILURES_SHOWN_MAX: Final = 10
_TEXT_SHOWN_MAX: Final = 200


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exception as it travels: recorded in logs, sent in results and notices."""

    type: str
    """Class name, qualified by its module unless it is a builtin: `ValueError`, `shop.errors.OutOfStock`."""
    message: str = ""
    traceback: str = ""
    bases: list[str] = []
    """Qualified names of all base classes: what a policy's `non_retryable` types are compared with."""
    code: str = ""
    """The engine's own stable word for an error that it made itself, for example `step_timeout`."""


class JetrunError(Exception):
    """Base of every error that jetrun raises."""


# --- what user code raises ---------------------------------------------------------------------


class FatalError(JetrunError):
    """Raised by a step: trying again cannot help. The step fails at once."""


class RetryableError(JetrunError):
    """Raised by a step: try again, optionally after a delay of the step's own choice.

    Args:
        message: What went wrong.
        retry_after: Seconds, a text such as "30s" or "1h30m", a timedelta, or an aware datetime.
    """

    def __init__(self, message: str = "", *, retry_after: float | str | timedelta | datetime | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# --- what user code gets -------------------------------------------------------------------------


class BadConfiguration(JetrunError, ValueError):
    """A configuration file, an environment variable or an option says what cannot be; nothing was begun."""


class DefinitionError(JetrunError, TypeError):
    """A workflow, step or registration that cannot work, refused where it is written."""


class NotInWorkflow(JetrunError, RuntimeError):
    """A primitive of workflows was used where no workflow runs."""


class NotDurable(JetrunError, RuntimeError):
    """What needs a log was asked for in a workflow with `durable=False`, which keeps none of what it does."""


class NotInStep(JetrunError, RuntimeError):
    """`attempt()` was asked where no step runs on a step worker."""


class NotDeterministic(JetrunError, RuntimeError):
    """Workflow code asked for something that has no meaning under replay; the text says what to use instead."""


class InvalidName(JetrunError, ValueError):
    """An app, workflow, run, step, queue or hook name that cannot be a subject token."""


class InvalidDuration(JetrunError, ValueError):
    """A delay or point in time that cannot be understood or lies out of bounds."""


class InvalidValue(JetrunError, ValueError):
    """A value that cannot become JSON by its type, or JSON that does not fit a type.

    Args:
        where: The parameter or place, for example `argument 'cents' of step charge`.
        reason: What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class StepFailed(JetrunError):
    """Raised in workflow code by a step that failed for good.

    Where the step's own exception class is a builtin, one of jetrun's, or loaded in this process, the exception
    raised is also an instance of that class: `except ValueError` works around a step as around a call.
    """

    step: str = ""
    attempts: int = 0
    error: ErrorInfo = ErrorInfo(type="Exception")

    def __str__(self) -> str:
        return f"step {self.step!r} failed after {self.attempts} attempt(s): {self.error.type}: {self.error.message}"


class WorkerLost(JetrunError):
    """The worker of a step, or of a workflow with `durable=False`, was lost as often as may be: it may have done its work.

    What workflow code catches is a `StepFailed` as well, what a client catches a `RunFailed`.
    """


class ChildFailed(JetrunError):
    """Raised in workflow code by a child that did not complete.

    Where the child raised a class that is a builtin, one of jetrun's, or loaded in this process, the exception raised is
    also an instance of that class, as for `StepFailed`.
    """

    workflow: str = ""
    run: str = ""
    status: str = ""
    """`failed`, `cancelled`, `terminated`, or `refused`: it was never begun, because its id was taken, for example."""
    error: ErrorInfo = ErrorInfo(type="Exception")
    reason: str = ""

    def __str__(self) -> str:
        what = f"child {self.workflow}/{self.run} {self.status}"
        if self.status == "failed":
            return f"{what}: {self.error.type}: {self.error.message}"
        detail = self.reason or self.error.message
        return f"{what}: {detail}" if detail else what


class ReadOnly(JetrunError, RuntimeError):
    """A query's handler or an update's validator asked for more than to read: a step, a timer, a task, a random number."""


class HookExpired(JetrunError, TimeoutError):
    """Raised in workflow code when a hook's timeout passes before a payload arrives."""


class CompensationFailure(NamedTuple):
    """A compensation that failed for good."""

    name: str
    """The step's name, or the function's."""
    error: BaseException


class SagaError(JetrunError):
    """Raised in workflow code by a saga that failed and could not be undone whole; `__cause__` is why it failed."""

    failures: tuple[CompensationFailure, ...] = ()
    """In the order in which the compensations were tried; those that are not named here succeeded."""

    @classmethod
    def of(cls, failures: Sequence[CompensationFailure], *, count: int, original: BaseException) -> SagaError:
        """Makes the error that names them.

        Args:
            count: Compensations that were tried.
            original: What left the saga's block.
        """
        shown = [f"{name}: {_short(error)}" for name, error in failures[:_FAILURES_SHOWN_MAX]]
        if len(failures) > len(shown):
            shown.append(f"{len(failures) - len(shown)} more")
        failed = f"{len(failures)} of {count} compensation(s) failed ({'; '.join(shown)})"
        error = cls(f"{failed} after {_short(original)}; undo by hand what they were to undo")
        error.failures = tuple(failures)
        return error


# --- what callers of a run get -----------------------------------------------------------------------


class RunError(JetrunError):
    """Base of errors about one run.

    Args:
        workflow: The run's workflow.
        run: The run's id.
        message: One clause with the values and the way out.
    """

    output: object = None
    """What a graph run leaves although it has not completed, as plain JSON; None for every other run."""

    def __init__(self, workflow: str, run: str, message: str) -> None:
        super().__init__(message)
        self.workflow = workflow
        self.run = run


class RunNotFound(RunError):
    """No log exists under that workflow and run id."""


class RunConflict(RunError):
    """The run id is taken: by a start with other arguments, or by any start where a new run was demanded."""


class RunEnded(RunError):
    """The run has ended; it takes no more hooks."""


class MessageRefused(RunError):
    """The engine put the message among the dead letters; `code` says why."""

    def __init__(self, workflow: str, run: str, message: str, *, code: str) -> None:
        super().__init__(workflow, run, message)
        self.code = code


class RunFailed(RunError):
    """The run ended as failed; `error` holds type, text and remote traceback.

    Also an instance of the exception class that the workflow raised, where that class is known here.
    """

    error: ErrorInfo = ErrorInfo(type="Exception")

    def __str__(self) -> str:
        text = f"run {self.workflow}/{self.run} failed: {self.error.type}: {self.error.message}"
        if self.error.traceback:
            text += f"\n--- remote traceback ---\n{self.error.traceback}"
        return text


class UpdateFailed(RunError):
    """The update was taken, and its handler raised, or had not come to its end when the run did (`error.code` is `ended`).

    Also an instance of the exception class that the handler raised, where that class is known here.
    """

    error: ErrorInfo = ErrorInfo(type="Exception")


class UpdateRefused(UpdateFailed):
    """The update was not taken and has changed nothing.

    `error.code` says why: `refused` (its validator raised; this is also an instance of the class that it raised),
    `unknown_update`, `args`, `full`, or the code of a dead letter, such as `ended`.
    """


class QueryFailed(RunError):
    """A query has no answer; it has changed nothing.

    `error.code` says why: `failed` (the handler raised; this is also an instance of the class that it raised),
    `unknown_query`, `args`, `read_only`, `result`, `size`, `blocked`, `parked`, `mismatch`, `trimmed`, or `unanswered`:
    no actor worker has answered in time.
    """

    error: ErrorInfo = ErrorInfo(type="Exception")


class RunCancelled(RunError):
    """The run ended as cancelled."""


class RunTerminated(RunError):
    """The run ended as terminated."""


# --- messages and logs ---------------------------------------------------------------------------------


class BadMessage(JetrunError):
    """A message that is wrong in itself: it goes to the dead letters under `code` (see `messages.DEAD_CODES`)."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class BadLog(JetrunError):
    """A run's log that cannot be read: a gap, a broken chain, a record of a newer version.

    Args:
        message: One clause with the values and the way out.
        is_newer: A newer version wrote it: all is well with the log, this program has to be updated.
    """

    def __init__(self, message: str, *, is_newer: bool = False) -> None:
        super().__init__(message)
        self.is_newer = is_newer


class MissingValue(JetrunError):
    """A large value that a message names is not in the object store."""


class ReplayMismatch(JetrunError):
    """Today's code does not make the decisions that the log holds; the run is parked, nothing is lost.

    Args:
        command: Number of the first command that differs.
        recorded: What the log holds there.
        asked: What the code asked for.
        source: `file:line` in the workflow's code.
    """

    def __init__(self, *, command: int, recorded: str, asked: str, source: str) -> None:
        super().__init__(
            f"command {command}: the log holds {recorded}, the code asked for {asked} at {source}; "
            "restore the code that made the log, or guard the change, then restart the worker or unpark the run"
        )
        self.command = command
        self.recorded = recorded
        self.asked = asked
        self.source = source


# --- the broker ------------------------------------------------------------------------------------------


class BrokerError(JetrunError):
    """Base of what can go wrong between us and NATS."""


class ServerLost(BrokerError):
    """No server answers at the address, or the connection is gone for good."""


class WrongCredentials(BrokerError):
    """The server refused user, password, token or key."""


class JetStreamOff(BrokerError):
    """The server or account has no JetStream."""


class ServerTooOld(BrokerError):
    """The server lacks what jetrun needs."""


class PermissionDenied(BrokerError):
    """The account may not publish or subscribe to a subject."""


class StreamFull(BrokerError):
    """A stream, subject or account is at its limit; nothing was stored."""


class PayloadTooLarge(BrokerError):
    """A message is larger than its stream or the server takes; nothing was stored."""


class NotProvisioned(BrokerError):
    """A stream or consumer of the app is missing or differs; `wfctl provision` makes it."""


class ProvisioningRefused(BrokerError):
    """A change of streams or consumers that would lose or strand messages."""


class OutcomeUnknown(BrokerError):
    """No answer came in time: the message may or may not be stored. Repeating it with the same id is safe."""


class BadValue(BrokerError):
    """What the object store holds under a name cannot be a value: it is damaged, or larger than any value may be."""


class StoreInUse(BrokerError):
    """Another process owns the embedded server's store directory."""


class PortInUse(BrokerError):
    """Another process listens on the port that was asked for."""


# --- exceptions across processes -------------------------------------------------------------------------------


def qualified_name(cls: type[BaseException]) -> str:
    """Names a class as `ErrorInfo.type` does."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _short(error: BaseException) -> str:
    """Names an error in another one's message: class and text, never raises."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001  whatever __str__ does, the failure itself is what counts
        text = f"<no message: __str__ raised {type(broken).__name__}>"
    name = type(error).__name__
    shown = text if len(text) <= _TEXT_SHOWN_MAX else text[: _TEXT_SHOWN_MAX - 1] + "…"
    return f"{name}: {shown}" if shown else name


def known_class(name: str) -> type[Exception] | None:
    """Finds the exception class of that qualified name among builtins and loaded modules; imports nothing.

    Only what is found is remembered: the module may be loaded later.
    """
    try:
        return _loaded_class(name)
    except LookupError:
        return None


def mixed_class(base: type[JetrunError], name: str) -> type[JetrunError]:
    """Makes the class that is both `base` and the class of that name, or returns `base` where that cannot be.

    An instance is made by `cls.__new__(cls, message)`: the other class's constructor may want what nobody has.
    """
    other = known_class(name)
    if other is None:
        return base
    mixed = _MIXED.get((base, other))
    if mixed is None:
        mixed = _mix(base, other)
        if len(_MIXED) < _CLASSES_KEPT_MAX:
            _MIXED[base, other] = mixed
    return mixed


_CLASSES_KEPT_MAX: Final = 512
_MIXED: Final[dict[tuple[type[JetrunError], type[Exception]], type[JetrunError]]] = {}


@lru_cache(maxsize=_CLASSES_KEPT_MAX)
def _loaded_class(name: str) -> type[Exception]:
    module_name, _, class_name = name.rpartition(".")
    module = builtins if not module_name else sys.modules.get(module_name)
    # By way of the namespace: a module's own `__getattr__` would be code of anybody's.
    namespace: dict[str, object] = getattr(module, "__dict__", {})
    found = namespace.get(class_name)
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise LookupError(name)


_UNFIT: Final = (StopIteration, StopAsyncIteration, BaseExceptionGroup)
"""A coroutine cannot raise the first two, and a group is made of exceptions that nobody has here."""


def _mix(base: type[JetrunError], other: type[Exception]) -> type[JetrunError]:
    if issubclass(base, other) or issubclass(other, _UNFIT) or other is JetrunError:
        return base
    try:
        # `base` first: its __str__ and fields win, the other class is there for `except` alone.
        mixed = type(other.__name__, (base, other), {"__module__": other.__module__})
        mixed.__new__(mixed, "")
    except Exception:  # noqa: BLE001  incompatible layouts, and whatever a class's own hooks raise
        return base
    return mixed
