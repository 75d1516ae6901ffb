"""What every example promises its reader: it says how to try it, and that is true."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import msgspec
import pytest

from examples.conftest import EXAMPLES
from jetrun.actors.registry import Registry
from jetrun.cli import exits
from jetrun.cli.arguments import parse_args
from jetrun.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| [^*].* \| \[(\w+)\.py\]\(\1\.py\) \| `(test_\w+)` \|$", re.MULTILINE)


def commands(name: str) -> list[list[str]]:
    """The lines of `wfctl` in an example's docstring, without `wfctl`."""
    lines = (ROOT / "tests" / "examples" / f"{name}.py").read_text("utf-8").split('"""')[1].splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    wfctl ")]


def option(command: list[str], name: str) -> str | None:
    return command[command.index(name) + 1] if name in command else None


def test_table_of_the_readme_names_every_example_and_its_tests() -> None:
    """Who looks for something finds the file, and the test that shows it; no example is left out."""
    text = (ROOT / "tests" / "examples" / "README.md").read_text("utf-8")
    rows = ROW.findall(text)

    assert len(rows) == sum(".py](" in line for line in text.splitlines() if line.startswith("|"))
    assert sorted({name for name, _ in rows}) == EXAMPLES
    for name, test in rows:
        source = (ROOT / "tests" / "examples" / f"test_{name}.py").read_text("utf-8")
        assert f"def {test}(" in source, (name, test)


def test_modules_are_found_under_the_names_that_the_docstrings_use() -> None:
    """`wfctl dev -m tests.examples.orders`, typed in the root of the repository, finds the module."""
    names = [option(command, "-m") or "" for name in EXAMPLES for command in commands(name) if command[0] == "dev"]
    code = "import sys; from jetrun.client.modules import load; load(sys.argv[1:])"

    ran = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.stderr == ""
    assert sorted(names) == [f"tests.examples.{name}" for name in EXAMPLES]


@pytest.mark.parametrize("name", EXAMPLES)
def test_commands_of_the_docstring_are_commands(name: str) -> None:
    """With `--help` the line is read, and refused where there is no such command or option; nothing is done."""
    assert [command for command in commands(name) if main([*command, "--help"]) != exits.DONE] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_commands_of_the_docstring_fit_the_workflow(name: str) -> None:
    """What a reader pastes starts the example's workflow with arguments that it takes."""
    registry = Registry.of_modules([f"examples.{name}"])
    starts = [command[1:] for command in commands(name) if command[0] == "start"]

    assert starts
    for workflow, *rest in starts:
        signature = registry.workflows[workflow].signature
        values = list(takewhile(lambda word: not word.startswith("--"), rest))
        is_from_file = "--input" in rest or "$(cat" in rest[0]
        if not is_from_file:
            signature.unpack(*parse_args(values, None, option(rest, "--kwargs"), None))


@pytest.mark.parametrize("name", EXAMPLES)
def test_hooks_of_the_docstring_are_the_ones_that_the_code_waits_for(name: str) -> None:
    file = ROOT / "tests" / "examples" / f"{name}.py"
    graph = file.with_suffix(".yaml")
    source = file.read_text("utf-8") + (graph.read_text("utf-8") if graph.exists() else "")

    for command in commands(name):
        if command[:2] == ["hooks", "send"]:
            assert f'hook("{command[3]}"' in source or f"hook: {command[3]}\n" in source
            msgspec.json.decode(command[4])
