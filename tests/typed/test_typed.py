"""What users' type checkers say: right code passes, wrong code is refused on the very line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
INFERENCE = Path(__file__).parent / "inference.py"
MISUSE = Path(__file__).parent / "misuse.py.txt"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def wrong_lines() -> list[int]:
    lines = MISUSE.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]


def mypy(path: Path) -> list[int]:
    """Returns the lines that mypy refuses."""
    config = path.parent / "mypy.ini"
    config.write_text(
        f"[mypy]\nstrict = true\nmypy_path = {ROOT / '.dev'}\ncache_dir = {ROOT / '.mypy_cache' / 'typed'}\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--no-error-summary", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(rf"^{re.escape(path.name)}:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    others = [line for line in done.stdout.splitlines() if ": error: " in line and not line.startswith(path.name)]
    assert not others, others
    return sorted({int(line) for line, _ in found})


def pyright(path: Path, **options: str) -> list[int]:
    """Returns the lines that pyright refuses."""
    config = {
        **options,
        "include": [path.name],
        "extraPaths": [str(ROOT / ".dev")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (path.parent / "pyrightconfig.json").write_text(json.dumps(config))
    tool = shutil.which("pyright") or pytest.skip("pyright is not installed")
    command = [tool, "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    try:
        diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    except (ValueError, KeyError):
        if os.environ.get("CI"):
            pytest.fail(f"pyright does not run: {done.stdout}{done.stderr}")
        pytest.skip("pyright does not run here (it fetches itself on first use)")
    return sorted({d["range"]["start"]["line"] + 1 for d in diagnostics if d["severity"] == "error"})


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_code_passes(checker: Callable[[Path], list[int]], tmp_path: Path) -> None:
    """Results, handles and calls have the types that the workflow's signature says."""
    path = tmp_path / "inference.py"
    path.write_text(INFERENCE.read_text())

    assert checker(path) == []


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_wrong_code_is_refused_line_by_line(checker: Callable[[Path], list[int]], tmp_path: Path) -> None:
    """A wrong argument or a wrong use of a result is found before anything runs."""
    path = tmp_path / "misuse.py"
    path.write_text(MISUSE.read_text())

    assert checker(path) == wrong_lines()


def test_a_dropped_builder_result_is_refused_by_those_who_ask(tmp_path: Path) -> None:
    """The way of pyright that docs/graphs-in-python.md names finds the statement that changes nothing."""
    path = tmp_path / "deploy.py"
    path.write_text(
        "from jetrun.actors import Graph\n\n"
        'deploy = Graph("deploy").step("build")\n'
        'deploy.step("test", after=["build"])\n'
        'deploy = deploy.step("notify")\n'
    )

    assert pyright(path) == []
    assert pyright(path, reportUnusedCallResult="error") == [4]
