"""Taking updates: messages of the mailbox, looked at, refused or given to their handlers, in the order of the log.

Whether one was taken is read from the log on replay, never asked again: a validator that has changed its mind does not
change the past.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .asking import Handler
from .desk import Desk
from .errors import BadMessage, ErrorInfo, InvalidValue, ReplayMismatch
from .execution import Execution
from .failures import error_info
from .limits import UPDATES_OPEN_MAX
from .messages import Message, Update, check_depth, check_json
from .reading import reading
from .records import Record
from .work import decode_packed

_UNFIT: Final = (BadMessage, InvalidValue, ValueError, RecursionError)
"""What arguments can be wrong with."""


class _Refusal(Exception):
    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


def desk_of(execution: Execution) -> Desk:
    """Returns a run's desk; it gets one when it needs it first."""
    if execution.desk is None:
        execution.desk = Desk(execution.loop, execution.upload)
    return execution.desk


def take_update(
    execution: Execution, message: Message, body: Update, raw: bytes | None, *, recorded: Record | None
) -> None:
    """Takes an update, or refuses it; the code is quiet before and runs afterwards.

    Args:
        raw: The object that its `ref` names.
        recorded: On replay, the record (its parts joined) that holds this decision.

    Raises:
        ReplayMismatch: The log says that it was taken, and the code has no handler of it.
        InvalidValue, BadMessage: The log says so, and its arguments do not fit the handler any more.
    """
    desk = desk_of(execution)
    is_known = False
    if recorded is not None:
        for answer in recorded.answers:
            if answer.is_refused and (answer.source, answer.seq) == (message.source, message.seq):
                desk.answers.append(answer)
                return
        is_known = not recorded.more or bool(recorded.commands)  # else the log may hold the first of the answers only
    if is_known:
        handler = desk.updates.get(message.name)
        if handler is None:
            raise ReplayMismatch(
                command=execution.last_command + 1,
                recorded=f"update {message.name!r}, which was taken",
                asked="no handler of it",
                source=execution.where(),
            )
        desk.begin(message, handler, *_arguments(handler, body, raw))
        return
    try:
        handler, args, kwargs = _judge(execution, desk, message, body, raw)
    except _Refusal as refusal:
        desk.refuse(message, refusal.error)
    else:
        desk.begin(message, handler, args, kwargs)


def _judge(
    execution: Execution, desk: Desk, message: Message, body: Update, raw: bytes | None
) -> tuple[Handler, list[Any], dict[str, Any]]:
    name = message.name
    handler = desk.updates.get(name)
    if handler is None:
        known = ", ".join(sorted(desk.updates)) or "none"
        raise _refusal("unknown_update", f"the run has no handler of update {name!r}; it has: {known}")
    if len(desk.open) >= UPDATES_OPEN_MAX:
        raise _refusal("full", f"{UPDATES_OPEN_MAX} updates of the run are at work; wait for some")
    try:
        if raw is not None:
            check_depth(raw)
            check_json(raw)
        args, kwargs = _arguments(handler, body, raw)
    except _UNFIT as error:
        raise _refusal("args", str(error)) from error
    validator = desk.validators.get(name)
    if validator is None:
        return handler, args, kwargs
    with reading(execution, f"the validator of update {name!r}"):
        try:
            validator(*args, **kwargs)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # raising is how it refuses
            # A refusal is no defect: where it was raised is nobody's business, and would be in the log for ever.
            raise _Refusal(msgspec.structs.replace(error_info(error), code="refused", traceback="")) from error
    # Of its own, for the handler: what the validator has changed in its arguments is not in the log.
    return handler, *_arguments(handler, body, raw)


def _arguments(handler: Handler, body: Update, raw: bytes | None) -> tuple[list[Any], dict[str, Any]]:
    if raw is None:
        return handler.signature.unpack(body.args, body.kwargs)
    packed = decode_packed(raw)
    return handler.signature.unpack(packed.args, packed.kwargs)


def _refusal(code: str, message: str) -> _Refusal:
    return _Refusal(ErrorInfo(type="UpdateRefused", message=message, code=code))
