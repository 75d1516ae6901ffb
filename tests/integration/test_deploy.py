"""The server configurations that are shipped are accepted by the server that is tested."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy" / "nats"
ENVIRONMENT = {"NODE": "a", "ROUTES": '["nats://127.0.0.1:6222"]'}


@pytest.mark.parametrize("name", ["single.conf", "three-node.conf"])
def test_the_server_takes_the_configuration(name: str, tmp_path: Path) -> None:
    """An operator who copies it gets a server, not a parser error."""
    environment = {**os.environ, **ENVIRONMENT, "STORE": str(tmp_path)}

    checked = subprocess.run(
        ["nats-server", "-t", "-c", str(DEPLOY / name)], env=environment, capture_output=True, text=True, timeout=20
    )

    assert checked.returncode == 0, checked.stderr
