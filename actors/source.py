"""Source: the line of user code that a replay that differs is reported at."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from types import CodeType, FrameType
from typing import Any, Final

from .loop import Loop

_OUR_FOLDERS: Final = (
    __file__.rpartition("/")[0] + "/",
    str(asyncio.__file__).rpartition("/")[0] + "/",
)


def asking_line(function: Callable[..., object], root: Coroutine[Any, Any, Any] | None) -> str:
    """Names the line that is asking for a command: the innermost frame outside of this package and asyncio.

    What runs in a task of asyncio's own making (`gather`) has no such frame: then it is where the root waits.
    """
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_code is not Loop.run_until_quiet.__code__:
        if not _is_ours(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return waiting_line(function, root)


def waiting_line(function: Callable[..., object], root: Coroutine[Any, Any, Any] | None) -> str:
    """Names the line at which a coroutine waits, following what it awaits to the innermost frame of user code."""
    code: CodeType | None = getattr(function, "__code__", None)
    place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)
    awaited: Any = root
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None and not _is_ours(frame):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None)
    return place


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OUR_FOLDERS)
