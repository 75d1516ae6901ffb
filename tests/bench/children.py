"""Children: the processes under measurement, each with its output in a file and its cost read from /proc.

A child counts with all processes that it has started itself (a supervisor and what it supervises).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

READY_S = 30.0
STOP_S = 30.0
POLL_S = 0.002
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ChildFailed(Exception):
    """A process under measurement ended or never became ready; the text ends with its last output."""


class Child:
    """A process under measurement."""

    def __init__(self, role: str, command: Sequence[str], *, folder: Path) -> None:
        self.role = role
        self._output = folder / f"{role}-{time.monotonic_ns()}.txt"
        with self._output.open("wb") as output:
            # A process group of its own: Ctrl-C reaches the bench alone, which then stops its children in order. Not a
            # session of its own: Linux schedules sessions as groups (autogroup), and on a busy machine processes that
            # wake each other across sessions took a quarter longer per sequential step.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, word: str = "ready") -> None:
        """Returns once the output holds the word.

        Raises:
            ChildFailed: The process ended before, or said nothing within 30 s.
        """
        deadline = time.monotonic() + READY_S
        while word not in self.output():
            if self._process.poll() is not None:
                raise ChildFailed(f"{self.role} ended with code {self._process.returncode}:\n{self.output()[-2000:]}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.role} was not ready within {READY_S:.0f} s:\n{self.output()[-2000:]}")
            time.sleep(POLL_S)

    def wait_end(self) -> None:
        """Returns once the process has ended; raises ChildFailed unless it ended well."""
        if self._process.wait(READY_S) != 0:
            raise ChildFailed(f"{self.role} ended with code {self._process.returncode}:\n{self.output()[-2000:]}")

    def stop(self) -> None:
        """Asks the process to end, and ends it and its children for good after 30 s. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def cpu_s(self) -> float:
        """Reads the CPU time used so far, in user and kernel mode."""
        return sum(_cpu_s(pid) for pid in _tree(self.pid))

    def resident_bytes(self) -> int:
        """Reads the memory that is resident now."""
        return sum(_resident_bytes(pid) for pid in _tree(self.pid))


class Children:
    """A folder and the processes that use it; all of them end with the block, the youngest first."""

    def __enter__(self) -> Self:
        # A bench that is told to end must end its children too, and SIGTERM by default runs no `finally`: take it as Ctrl-C.
        signal.signal(signal.SIGTERM, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.folder = Path(self._folder.name)
        self.all: list[Child] = []
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.all):
            child.stop()
        self._folder.cleanup()

    def start(self, role: str, command: Sequence[str]) -> Child:
        """Starts a process and returns at once."""
        return self.adopt(Child(role, command, folder=self.folder))

    def adopt(self, child: Child) -> Child:
        self.all.append(child)
        return child

    def stop(self, child: Child) -> None:
        """Ends one of them before the others."""
        self.all.remove(child)
        child.stop()


def cpu_by_role(children: Sequence[Child]) -> dict[str, float]:
    """Reads the CPU seconds that each role has used so far."""
    return {child.role: child.cpu_s() for child in children}


def _tree(root: int) -> list[int]:
    parents = {int(entry.name): _stat(int(entry.name))[1] for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    tree = [root]
    for pid in tree:
        tree.extend(child for child, parent in parents.items() if parent == str(pid))
    return tree


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _resident_bytes(pid: int) -> int:
    return int(_stat(pid)[21]) * PAGE_BYTES


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold spaces; zeros when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50
