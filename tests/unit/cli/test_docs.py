"""The documents of commands, exit codes and keys name all there is, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from jetrun.cli import exits
from jetrun.cli.main import app
from jetrun.client.configuration_file import find
from jetrun.client.configuration_keys import KEYS

DOCS = Path(__file__).resolve().parents[3] / "docs"


def commands_of(group: typer.Typer, path: str) -> Iterator[str]:
    for command in group.registered_commands:
        assert command.callback is not None
        if not command.hidden:
            yield f"{path} {command.name or command.callback.__name__}"
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from commands_of(below.typer_instance, f"{path} {below.name}")


def test_every_command_is_documented_and_every_documented_one_exists() -> None:
    """A page that lags behind is worse than none."""
    documented = re.findall(r"^\| `(wfctl [a-z ]+)` \| \S", (DOCS / "cli.md").read_text("utf-8"), re.MULTILINE)

    assert sorted(documented) == sorted(commands_of(app, "wfctl"))


def test_every_exit_code_is_documented() -> None:
    """Scripts are written by the page."""
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    documented = re.findall(r"^\| (\d+) \| \S", (DOCS / "cli.md").read_text("utf-8"), re.MULTILINE)

    assert sorted(map(int, documented)) == sorted(codes)


def test_every_key_is_documented_with_its_variable_option_and_default() -> None:
    """So is the table of keys."""
    rows = re.findall(
        r"^\| `([a-z_]+)` \|(.*?)\|(.*?)\|(.*?)\| \S", (DOCS / "configuration.md").read_text("utf-8"), re.MULTILINE
    )
    documented = [tuple(cell.strip(" `") for cell in row) for row in rows]

    defaults = ["" if key.default == () else str(key.default).replace("False", "false") for key in KEYS]
    keys = [(key.name, key.variable, key.option, default) for key, default in zip(KEYS, defaults, strict=True)]
    assert documented == keys


def test_the_documents_example_is_a_configuration(tmp_path: Path) -> None:
    """It can be copied."""
    example = (DOCS / "configuration.md").read_text("utf-8").split("```toml\n")[1].partition("```")[0]
    (tmp_path / "jetrun.toml").write_text(example)

    found = find(tmp_path)

    assert found is not None
    assert sorted(found.settings) == ["app", "concurrency", "modules", "url"]


@pytest.mark.parametrize("name", ["cli.md", "configuration.md"])
def test_documents_are_reached_from_the_readme(name: str) -> None:
    """Nobody finds a page that nothing links to."""
    assert f"docs/{name}" in (DOCS.parent / "README.md").read_text("utf-8")
