"""A child's ties to the process that started it: it dies with its parent, and it gives signs of life.

Two pipes. The parent holds the writing end of the first: its end of file tells the child that the parent is gone,
whatever killed it. The child writes a byte to the second at each beat: silence tells the parent that the child's
loop does not turn. On Linux the kernel's parent-death signal is armed as well, for a child whose threads cannot run.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Final

VARIABLE: Final = "JETRUN_LIFELINE"
"""`<parent's pid>:<fd of the life pipe>:<fd of the beat pipe or ->`, followed by `:<path of the crash note>`."""

SHOW_STACK: Final = signal.SIGUSR1
"""Makes a child write its stack to standard error, even while something in it holds Python's lock."""

_PR_SET_PDEATHSIG: Final = 1


class Tether:
    """The parent's side: one child process, tied to this one.

    Args:
        argv: What to run.
        note_path: Where the child keeps its crash note; empty for a child that keeps none.
        environment: The child's; this process's own if None.

    The child gets a process group of its own: a Ctrl-C at the terminal reaches the parent alone, which passes on what
    it means. Standard input is closed to it. Make it in a thread that lasts: for the kernel the parent is that thread.
    """

    def __init__(
        self, argv: Sequence[str], *, note_path: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        self._is_asked = False
        life_read, self._life_write = os.pipe()
        self.beats_fd, beats_write = os.pipe()
        os.set_blocking(self.beats_fd, False)
        variable = f"{os.getpid()}:{life_read}:{beats_write}:{note_path}"
        try:
            self.process = subprocess.Popen(  # noqa: S603  # the caller's own command line, no shell
                list(argv),
                stdin=subprocess.DEVNULL,
                env={**(os.environ if environment is None else environment), VARIABLE: variable},
                pass_fds=(life_read, beats_write),
                process_group=0,
            )
        except BaseException:
            os.close(self._life_write)
            os.close(self.beats_fd)
            raise
        finally:
            os.close(life_read)
            os.close(beats_write)

    def drain_beats(self) -> bool:
        """Reads the signs of life that have arrived; False when there was none."""
        heard = False
        try:
            while os.read(self.beats_fd, 4096):
                heard = True
        except BlockingIOError:
            pass
        return heard

    def signal(self, number: int) -> None:
        """Sends a signal to the child; nothing happens when it has ended."""
        self.process.send_signal(number)

    def terminate(self) -> None:
        """Asks the child to end, once: a second SIGTERM would mean haste."""
        if not self._is_asked:
            self._is_asked = True
            self.process.terminate()

    def stop(self, *, grace_s: float) -> int:
        """Ends the child: asks, and after the grace kills. Idempotent; returns its exit code."""
        self.terminate()
        try:
            return self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def close(self) -> None:
        """Lets go of the pipes of a child that has ended. A child that lives takes it as the parent's death."""
        os.close(self._life_write)
        os.close(self.beats_fd)


class Lifeline:
    """The child's side; made once per process by `adopt`."""

    def __init__(self, life_fd: int, beats_fd: int, note_path: str) -> None:
        self.note_path = note_path
        self._life_fd = life_fd
        self._beats_fd = beats_fd

    @classmethod
    def adopt(cls, environment: MutableMapping[str, str] = os.environ) -> Lifeline | None:
        """Takes the lifeline that the parent left in the environment, and arms it; None where there is none.

        The variable is removed and the pipes are closed on exec: a program that a step starts has no part in them.
        """
        text = environment.pop(VARIABLE, "")
        if not text:
            return None
        parent, life_fd, beats_fd, note_path = text.split(":", 3)
        lifeline = cls(int(life_fd), int(beats_fd), note_path)
        lifeline._arm(int(parent))
        return lifeline

    def beat(self) -> None:
        """Gives a sign of life; never blocks and never raises."""
        try:
            os.write(self._beats_fd, b".")
        except OSError:  # full: the parent is stopped and has enough to read; broken: the other pipe tells
            return

    def _arm(self, parent: int) -> None:
        for descriptor in (self._life_fd, self._beats_fd):
            os.set_inheritable(descriptor, False)  # noqa: FBT003  # the system's own signature
        os.set_blocking(self._beats_fd, False)
        with suppress(ValueError, OSError):  # standard error is no file
            faulthandler.register(SHOW_STACK, all_threads=False)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        threading.Thread(target=self._die_with_parent, name="jetrun-lifeline", daemon=True).start()
        if os.getppid() != parent:  # it died before the signal was armed
            os.kill(os.getpid(), signal.SIGKILL)

    def _die_with_parent(self) -> None:
        while os.read(self._life_fd, 1):
            pass
        # SIGKILL and no farewell: whatever this process holds is made to be taken over, and a drain could hang.
        os.kill(os.getpid(), signal.SIGKILL)
