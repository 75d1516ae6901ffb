"""Guard: runs one command that never outlives the process that wanted it.

Run by path as `python -I -S guard.py <owner pid> <grace seconds> <command…>` and imports nothing of jetrun, so
that it starts in some 20 ms and stays small. Its stdin is the owner's lifeline: a closed pipe, or another
parent than the owner, ends the command, first by SIGTERM, after the grace by SIGKILL. Its stdout says the command's pid.

The command inherits every descriptor that the guard was given: a lock passed on is held until the last of
owner, guard and command has ended, whichever is killed first.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Sequence

PARENT_CHECK_S = 0.5
"""A process forked from the owner may keep the pipe open after the owner's death: then the parent's pid tells."""

PR_SET_PDEATHSIG = 1


def guard(owner: int, grace_s: float, command: Sequence[str]) -> int:
    """Runs the command until it ends or the owner is gone, and returns its exit status (negative: a signal)."""
    wake = _wake_on_signals()
    child = _spawn(command)
    os.write(1, b"%d\n" % child)

    # Always look for the child's end first: it is what the owner waits for.
    while (status := _status(child)) is None:
        readable, _, _ = select.select([0, wake], [], [], PARENT_CHECK_S)
        if wake in readable and _is_told_to_end(wake):
            break
        if 0 in readable or os.getppid() != owner:
            break
    return _end(child, grace_s) if status is None else status


def _wake_on_signals() -> int:
    """Makes signals readable: SIGCHLD ends the wait for the child at once, SIGTERM asks for the end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    return reading


def _is_told_to_end(wake: int) -> bool:
    return any(number != signal.SIGCHLD for number in os.read(wake, 64))


def _spawn(command: Sequence[str]) -> int:
    me = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _die_with_parent(me)
            os.dup2(2, 1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.execv(command[0], list(command))  # noqa: S606  # the point of this file; the caller names an absolute path
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    return child


def _die_with_parent(parent: int) -> None:
    """Asks Linux to kill this process should the guard itself be killed -9; elsewhere the owner does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # killed between fork and prctl
            os._exit(127)


def _status(child: int) -> int | None:
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _end(child: int, grace_s: float) -> int:
    os.kill(child, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (status := _status(child)) is None:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, raw = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(raw)
        time.sleep(0.01)
    return status


if __name__ == "__main__":
    code = guard(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    sys.exit(code if code >= 0 else 128 - code)
