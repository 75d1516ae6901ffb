"""Child processes of tests: started, watched line by line, killed, paused, and never left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

import anyio.to_thread

TESTS = Path(__file__).resolve().parent.parent
WAIT_S = 40.0


class Child:
    """One child process in a session of its own; its output is read all the time, so it never blocks on it."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.name = name
        self._process = process
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._ends = 0
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), name=f"{name}-output", daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def lines(self) -> list[str]:
        """All lines so far, of both streams, in the order they were read."""
        with self._news:
            return list(self._lines)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    async def wait_line(self, pattern: str, *, after: int = 0, timeout_s: float = WAIT_S) -> re.Match[str]:
        """Waits for a line in which the regular expression is found; lines that came earlier count.

        Args:
            after: Number of lines to skip from the beginning; take `len(child.lines)` before the act.

        Raises:
            AssertionError: The time is over, or the process has ended without such a line; shows its output.
        """
        return await anyio.to_thread.run_sync(self._wait_line, re.compile(pattern), after, timeout_s)

    async def wait_ended(self, *, timeout_s: float = WAIT_S) -> int:
        """Waits for the end and for all output; returns the exit code (negative: killed by that signal).

        Raises:
            AssertionError: It still runs after that time.
        """

        def wait() -> int:
            try:
                code = self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise AssertionError(
                    f"{self.name} still runs after {timeout_s} s; its output:\n{self.output}"
                ) from None
            for reader in self._readers:
                reader.join(1.0)  # a grandchild may hold the pipe open: its words are not ours
            return code

        return await anyio.to_thread.run_sync(wait)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to this process alone; nothing happens when it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and gone on return. What it has started goes on."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: from here on it does nothing, its connections stay open."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """Ctrl-C as a terminal sends it: to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def close(self) -> None:
        """kill -9 for it and for all of its process group. Idempotent."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join(1.0)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ends += 1
            self._news.notify_all()

    def _wait_line(self, pattern: re.Pattern[str], after: int, timeout_s: float) -> re.Match[str]:
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                for line in self._lines[after:]:
                    if found := pattern.search(line):
                        return found
                after = max(after, len(self._lines))
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._ends == len(self._readers):
                    why = "is silent" if left_s > 0 else f"did not say so in {timeout_s} s"
                    text = "\n".join(self._lines)
                    raise AssertionError(f"waiting for {pattern.pattern!r}: {self.name} {why}; its output:\n{text}")
                self._news.wait(left_s)


class Processes:
    """Starts children and ends all of them at the end of the block."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        # A shell starts what it puts in the background with Ctrl-C ignored, and children would inherit that.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.close()

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str = "",
    ) -> Child:
        """Starts a program; modules in tests/ can be imported by it.

        Args:
            env: Added to this process's environment.
        """
        parts = [str(part) for part in command]
        path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            parts,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path, "NO_COLOR": "1", **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        child = Child(process, name or " ".join(parts[:4]))
        self.children.append(child)
        return child

    def start_python(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, name: str = ""
    ) -> Child:
        """Starts `python <arguments>`: ("-m", "shop.worker"), ("-c", "…") or a script."""
        return self.start([sys.executable, *arguments], env=env, cwd=cwd, name=name)

    def start_wfctl(
        self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, name: str = ""
    ) -> Child:
        """Starts `wfctl <arguments>` of this environment, without depending on the PATH."""
        call = "import sys; from jetrun.cli.main import main; sys.exit(main())"
        return self.start_python(
            "-c", call, *arguments, env=env, cwd=cwd, name=name or " ".join(["wfctl", *arguments[:2]])
        )
