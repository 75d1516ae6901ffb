"""Failures: a caught exception as an `ErrorInfo` that can be recorded whatever the exception is.

The exception is user code: its `__str__` may raise, its causes may form a ring, its text may be endless or hold what
UTF-8 cannot. None of that may keep a failure from being recorded.
"""

from __future__ import annotations

import traceback
from typing import Final

from .errors import ErrorInfo, qualified_name
from .limits import ERROR_TEXT_BYTES_MAX, TRACEBACK_BYTES_MAX

_NAME_BYTES_MAX: Final = 256
_BASES_MAX: Final = 32


def error_info(exc: BaseException) -> ErrorInfo:
    """Describes an exception: type, message, end of the traceback, base classes. Never raises."""
    cls = type(exc)
    bases = [base for base in cls.__mro__[1:] if issubclass(base, BaseException) and base is not BaseException]
    return ErrorInfo(
        type=_head(qualified_name(cls), _NAME_BYTES_MAX),
        message=_head(_text(exc), ERROR_TEXT_BYTES_MAX),
        traceback=_tail(_traceback(exc), TRACEBACK_BYTES_MAX),
        bases=[_head(qualified_name(base), _NAME_BYTES_MAX) for base in bases[:_BASES_MAX]],
    )


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException as error:  # noqa: BLE001  whatever __str__ does, the failure itself is what counts
        return f"<no message: __str__ raised {type(error).__qualname__}>"


def _traceback(exc: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(exc))
    except BaseException as error:  # noqa: BLE001  notes, groups and causes are user code too
        reason = f"<causes and notes left out: {type(error).__qualname__}>\n"
        return "".join(traceback.format_tb(exc.__traceback__)) + reason


def _head(text: str, bytes_max: int) -> str:
    """Keeps the beginning, as valid UTF-8."""
    raw = _utf8(text)
    if len(raw) <= bytes_max:
        return raw.decode()
    note = f"… ({len(raw)} bytes)"
    return raw[: bytes_max - len(note.encode())].decode(errors="ignore") + note


def _tail(text: str, bytes_max: int) -> str:
    """Keeps the end, whole lines where it has any, as valid UTF-8."""
    raw = _utf8(text)
    if len(raw) <= bytes_max:
        return raw.decode()
    note = f"… (the end of {len(raw)} bytes)\n"
    kept = raw[len(raw) - (bytes_max - len(note.encode())) :]
    _, newline, lines = kept.partition(b"\n")
    return note + (lines if newline and lines else kept).decode(errors="ignore")


def _utf8(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
