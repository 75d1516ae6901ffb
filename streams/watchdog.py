"""The watchdog: a thread that sees when workflow code holds the loop (R16).

After `warn_s` it reports the run and the stack; after `limit_s` it has the process replaced where a supervisor will do
that, and otherwise interrupts the code by an asynchronous exception, which reaches Python code at its next bytecode.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from ..actors.limits import BLOCKED_MAX_S, BLOCKED_WARN_S, QUERY_S
from ..actors.names import RunKey
from ..actors.signals import Blocked
from .crash_note import CrashNote
from .telemetry import log

REPLACE: Final = 75
"""Exit code that asks the supervisor for a fresh process (EX_TEMPFAIL)."""


class Watchdog:
    """Watches the folds of one thread.

    Args:
        note: Tells the next process which run it was.
        beat: Called about twice a second from the watchdog's thread: the supervisor's sign of life.
    """

    def __init__(
        self,
        note: CrashNote,
        *,
        warn_s: float = BLOCKED_WARN_S,
        limit_s: float = BLOCKED_MAX_S,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self._note = note
        self._warn_s = warn_s
        self._limit_s = limit_s
        self._beat = beat
        self._key: RunKey | None = None
        self._since = 0.0
        self._bound_s = limit_s
        """Of what runs now; the limit, or less for a query."""
        self._thread_id = threading.get_ident()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._interrupted: RunKey | None = None
        self._reported_since = 0.0
        self._acted_since = 0.0
        self._thread = threading.Thread(target=self._watch, name="jetrun-watchdog", daemon=True)

    def start(self) -> None:
        """Starts watching the calling thread."""
        self._thread_id = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()

    def begin(self, key: RunKey, deliveries: int) -> None:
        """Says that the run's code begins to run."""
        self._note.folding(key, deliveries)
        self._bound_s = self._limit_s
        self._since = time.monotonic()
        self._key = key

    def begin_look(self, key: RunKey) -> None:
        """Says that a query's handler begins to run: it has `QUERY_S`, and what becomes of it is not the run's fault."""
        self._bound_s = min(QUERY_S, self._limit_s)
        self._since = time.monotonic()
        self._key = key

    def forgive(self, key: RunKey) -> None:
        """Says that what the run has done to earlier processes is settled: it has gone on, or is parked."""
        self._note.forgive(key)

    def end(self) -> bool:
        """Says that it has come to rest; tells whether it was interrupted."""
        try:
            self._key = None
            self._note.idle()
            if self._interrupted is None:
                return False
            self._withdraw()
        except Blocked:  # it came at the last moment
            self._key = None
            self._withdraw()
        return True

    def _withdraw(self) -> None:
        with self._lock:  # the exception is either delivered or withdrawn after this
            self._interrupted = None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), None)

    def _watch(self) -> None:
        interval_s = min(0.5, self._warn_s / 4)
        while not self._stop.wait(interval_s):
            if self._beat is not None:
                self._beat()
            key, since = self._key, self._since
            held_s = time.monotonic() - since
            if key is None or held_s < min(self._warn_s, self._bound_s):
                continue
            if self._reported_since != since:
                self._reported_since = since
                log("workflow.blocks", logging.ERROR, run=key, seconds=round(held_s, 1), stack=self._stack())
            if held_s >= self._bound_s:
                self._act(key, since)

    def _act(self, key: RunKey, since: float) -> None:
        if self._acted_since != since:
            self._acted_since = since
            log("workflow.blocked", logging.CRITICAL, run=key, seconds=self._bound_s, stack=self._stack())
        if self._note.is_kept and time.monotonic() - since >= self._limit_s:
            if self._bound_s == self._limit_s:
                self._note.blocked()
            sys.stderr.flush()
            os._exit(REPLACE)
        with self._lock:
            if self._key == key and self._since == since:
                # Again each time: code that catches everything may lose the first one.
                self._interrupted = key
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(Blocked))

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread_id)  # pyright: ignore[reportPrivateUsage]  # the one way to it
        if frame is None:
            return ""
        lines = traceback.format_stack(frame)
        return "".join(lines[-12:]).strip()
