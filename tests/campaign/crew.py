"""The crew: real `wfctl worker` processes, each with its output in a file, killed and started again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Self

import anyio

Kind = Literal["actors", "steps"]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
MODULES: Final = [f"tests.campaign.{name}" for name in ("flows", "graph_definitions", "worker_bounds")]
READY_S: Final = 60.0
STOP_S: Final = 40.0
ENDED_S: Final = 90.0
"""Of one who may be paused when told to end, for longer than its lease."""

POLL_S: Final = 0.02

_READY: Final = re.compile(r"^ready: \w+ worker (\S+)", re.MULTILINE)


class Worker:
    """One place for a worker; who works there changes with every kill.

    Args:
        folder: Where outputs and the crash note are kept.
    """

    def __init__(self, kind: Kind, number: int, url: str, app: str, folder: Path, env: Mapping[str, str]) -> None:
        self.name = f"{kind}-{number}"
        self.kind: Kind = kind
        self._env = {**os.environ, **env}
        self._folder = folder
        self._output = folder / f"{self.name}.0.txt"
        self._processes: list[subprocess.Popen[bytes]] = []
        note = ["--crash-note", str(folder / f"{self.name}.note")] if kind == "actors" else []
        where = ["--url", url, "--app", app]
        modules = [word for module in MODULES for word in ("-m", module)]
        command = [sys.executable, "-P", "-m", "jetrun.cli", *where, "worker", kind, *modules, *note]
        self._command = [*command, "--log-level", "info", "--log-format", "text"]

    def start(self) -> None:
        """Starts a worker here, with a new file for its output."""
        self._output = self._folder / f"{self.name}.{self.life + 1}.txt"
        with self._output.open("wb") as output:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=ROOT,
                start_new_session=True,
            )
        self._processes.append(process)

    @property
    def worker_id(self) -> str:
        """The worker's own name, as records and results carry it; empty until it serves."""
        found = _READY.search(self.output())
        return found[1] if found is not None else ""

    @property
    def pid(self) -> int:
        """Process id of the worker itself (an actor worker has a supervisor above it); 0 until it serves."""
        worker_id = self.worker_id
        return pid_of(worker_id) if worker_id else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def life(self) -> int:
        """Which of those who have worked here is the present one, counted from 1."""
        return len(self._processes)

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        return self._processes[-1] if self._processes else None

    def output(self) -> str:
        """Reads what the present worker has said."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    @property
    def is_serving(self) -> bool:
        return self.is_running and bool(self.worker_id)

    def kill(self) -> None:
        """kill -9. The supervisor of an actor worker ends with it."""
        assert self._process is not None, "was started"
        strike(self.pid or self._process.pid)

    def pause(self) -> None:
        """SIGSTOP: nothing runs, connections stay open. The supervisor stops with it, or it would replace the worker."""
        assert self._process is not None, "was started"
        for pid in dict.fromkeys((self.pid or self._process.pid, self._process.pid)):
            strike(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None, "was started"
        for pid in dict.fromkeys((self.pid, self._process.pid)):
            strike(pid, signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM: asks it to drain."""
        if self._process is not None:
            self._process.terminate()

    async def wait_ended(self, life: int, timeout_s: float = ENDED_S) -> int:
        """Waits for the end of one who works or has worked here, and returns the exit code."""
        process = self._processes[life - 1]
        with anyio.fail_after(timeout_s):
            while process.poll() is None:
                await anyio.sleep(0.01)
        return process.returncode

    def close(self) -> None:
        """Ends it, gently for a while. Idempotent."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._end_group(process)

    def end(self) -> None:
        """Ends at once whoever works or has worked here, with all that they have started. Idempotent."""
        for process in self._processes:
            if process.returncode is None:
                self._end_group(process)

    @staticmethod
    def _end_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Crew:
    """All workers of a campaign.

    Args:
        env: Added to the environment of each.
    """

    def __init__(self, url: str, app: str, folder: Path, *, actors: int, steps: int, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.workers = [
            *(Worker("actors", number, url, app, folder, env) for number in range(actors)),
            *(Worker("steps", number, url, app, folder, env) for number in range(steps)),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.end()

    def of(self, kind: Kind) -> list[Worker]:
        """Lists the workers of a kind."""
        return [worker for worker in self.workers if worker.kind == kind]

    def by_pid(self, pid: int) -> Worker | None:
        """Finds who works under a process id."""
        return next((worker for worker in self.workers if pid and worker.pid == pid), None)

    async def start(self) -> None:
        """Starts all and waits until they serve."""
        for worker in self.workers:
            worker.start()
        await self.wait_ready()

    async def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Waits until all serve; somebody else starts those again that end."""
        await wait_serving(self.workers, timeout_s)

    def close(self) -> None:
        """Asks all to drain, then ends those that do not; interrupted, it ends them at once."""
        try:
            for worker in self.workers:
                worker.terminate()
            for worker in self.workers:
                worker.close()
        finally:
            self.end()

    def end(self) -> None:
        """Ends all at once. Idempotent."""
        for worker in self.workers:
            worker.end()

    def count(self, event: str) -> int:
        """Counts how often an event is in the outputs, those of dead workers included."""
        line = re.compile(rf"^\S+ \w+ +{re.escape(event)}( |$)", re.MULTILINE)
        return sum(len(line.findall(path.read_text(errors="replace"))) for path in self.folder.glob("*.txt"))


async def wait_serving(workers: Sequence[Worker], timeout_s: float = READY_S) -> None:
    """Waits until these serve; somebody else starts those again that end."""
    with anyio.move_on_after(timeout_s):
        while not all(worker.is_serving for worker in workers):
            await anyio.sleep(POLL_S)
        return
    late = [worker for worker in workers if not worker.is_serving]
    words = "\n".join(f"{worker.name} (running: {worker.is_running}):\n{worker.output()[-1500:]}" for worker in late)
    raise TimeoutError(f"not up within {timeout_s:g} s: {words}")


def pid_of(worker_id: str) -> int:
    """Reads the process id in a worker's id (`host-pid-random`); 0 where there is none."""
    parts = worker_id.partition("/")[0].rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


def strike(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Sends a signal at once; False when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def now_us() -> int:
    """The machine's clock, which is also the server's."""
    return time.time_ns() // 1000
