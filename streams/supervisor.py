"""The supervisor: a small parent process that keeps one worker process running and never outlives or orphans it.

What it decides, and nobody else: a worker that asks to be replaced (exit code `REPLACE`) or gives no sign of life is
started again; any other end of the worker is the supervisor's own end, with the same exit code, so that systemd or
Kubernetes see what happened. It loads no user code, holds no connection and runs no event loop: nothing that a
workflow does can block it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from ..actors.limits import BLOCKED_MAX_S
from .crash_note import mark_blocked, read_note
from .lifeline import SHOW_STACK, Tether

REPLACE: Final = 75
"""Exit code of a worker that wants a fresh process in its place (EX_TEMPFAIL)."""

SILENCE_MAX_S: Final = BLOCKED_MAX_S + 5
"""The worker's own watchdog acts first; this is for a worker whose watchdog cannot run either."""

START_MAX_S: Final = 120.0
"""Until the first sign of life: importing a user's modules can take long."""

RESTART_DELAY_MAX_S: Final = 5.0
SETTLED_S: Final = 60.0
"""Restarts are at once, then 0.2 s doubling to the bound; a worker that lasted this long starts the count anew."""

INTERRUPTED: Final = 130
_SAID: Final = frozenset({0, 1, 2, 70, INTERRUPTED})
"""Exit codes of wfctl: a worker that ends with one has told why in a line of its own."""

_SLOTS_MAX: Final = 10_000

_LAST_WORDS_S: Final = 0.2
"""For the stack of a worker that is about to be killed."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker counts as blocked, and where its crash note is kept.

    Args:
        what: What the worker is called in the supervisor's lines.
        note_path: A file that outlives workers and supervisors; the next worker reads what its predecessor was
            doing when it died.
    """

    what: str
    note_path: str
    silence_max_s: float = SILENCE_MAX_S
    start_max_s: float = START_MAX_S


def supervise(argv: Sequence[str], policy: Policy) -> int:
    """Runs the worker, replaces it when it has to be, and returns the exit code to end with.

    SIGTERM and SIGINT are passed on; after one of them the worker is not replaced. A worker that ends by signal N
    gives 128 + N. Runs in the main thread of a process that does nothing else.
    """
    return _Supervisor(argv, policy).run()


@contextmanager
def crash_note(name: str, folder: Path | None = None) -> Generator[str, None, None]:
    """Yields a crash note's path that no other live supervisor on this machine uses, and holds it.

    Slots of a name are taken from the lowest: the supervisor that a service manager starts after a crash gets the
    slot, and so the note, of the one that crashed.

    Args:
        folder: Where notes are kept; a folder of this user's among the temporary files if None.
    """
    folder = folder or _own_folder()
    for slot in range(1, _SLOTS_MAX):
        lock = os.open(folder / f"{name}-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield str(folder / f"{name}-{slot}.note")
        finally:
            os.close(lock)
        return
    raise OSError(f"no free slot for a crash note {name!r} in {folder}")


def _own_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"jetrun-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid == os.getuid() and not status.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="jetrun-"))  # somebody else made the other, to read or to plant notes


class _Supervisor:
    def __init__(self, argv: Sequence[str], policy: Policy) -> None:
        self._argv = argv
        self._policy = policy
        self._stopping = 0
        self._arrived: deque[int] = deque()
        self._restarts = 0

    def run(self) -> int:
        waker_read, waker_write = os.pipe()
        os.set_blocking(waker_read, False)
        os.set_blocking(waker_write, False)
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        # Its handler does nothing: the byte that the wakeup descriptor gets ends the wait in `_watch`.
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        old_waker = signal.set_wakeup_fd(waker_write, warn_on_full_buffer=False)
        try:
            while True:
                started = time.monotonic()
                code, is_blocked = self._watch(waker_read)
                if self._stopping or not (is_blocked or code == REPLACE):
                    return self._exit_code(code)
                if time.monotonic() - started > SETTLED_S:
                    self._restarts = 0
                self._pause(waker_read)
                if self._stopping:
                    return self._exit_code(0)
        finally:
            signal.set_wakeup_fd(old_waker)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(waker_read)
            os.close(waker_write)

    def _watch(self, waker: int) -> tuple[int, bool]:
        """Starts the worker and waits for its end; returns its code, and whether it was killed for silence."""
        tether = Tether(self._argv, note_path=self._policy.note_path)
        heard_at, limit_s = time.monotonic(), self._policy.start_max_s
        is_blocked = False
        try:
            while True:
                select.select([tether.beats_fd, waker], [], [], 1.0)
                _drain(waker)
                while self._arrived:
                    tether.signal(self._arrived.popleft())
                code = tether.process.poll()
                if code is not None:
                    return code, is_blocked
                # Read before the clock is judged: a supervisor that was stopped itself finds the beats in the pipe.
                if tether.drain_beats():
                    heard_at, limit_s = time.monotonic(), self._policy.silence_max_s
                elif time.monotonic() - heard_at > limit_s and not is_blocked:
                    is_blocked = True
                    suspect, _ = read_note(self._policy.note_path)
                    doing = f" while it ran {suspect.key}" if suspect is not None else ""
                    self._say(f"gave no sign of life for {limit_s:.0f} s{doing}: killed, to be replaced")
                    mark_blocked(self._policy.note_path)
                    tether.signal(SHOW_STACK)
                    time.sleep(_LAST_WORDS_S)
                    tether.signal(signal.SIGKILL)
                else:
                    time.sleep(0.01)  # a beat pipe at its end stays readable until the child is reaped
        finally:
            tether.close()

    def _pause(self, waker: int) -> None:
        delay_s = min(0.1 * 2**self._restarts, RESTART_DELAY_MAX_S) if self._restarts else 0.0
        self._restarts = min(self._restarts + 1, 10)
        until = time.monotonic() + delay_s
        while (left_s := until - time.monotonic()) > 0 and not self._stopping:
            select.select([waker], [], [], left_s)
            _drain(waker)

    def _exit_code(self, code: int) -> int:
        if self._stopping and code in (0, REPLACE, INTERRUPTED, -self._stopping):
            return INTERRUPTED if self._stopping == signal.SIGINT else 0
        if code < 0:
            self._say(f"was killed by {_signal_name(-code)}")
            return 128 - code
        if code not in _SAID:
            self._say(f"ended with exit code {code}")
        return code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Only noted: sending from here could hit a process id that an interrupted `poll` has just reaped.
        self._stopping = number
        self._arrived.append(number)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._policy.what}: {text}\n")
        sys.stderr.flush()


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
