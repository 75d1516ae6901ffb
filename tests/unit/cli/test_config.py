"""wfctl config, and how commands tell what is wrong with a configuration: one line, exit code 2, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jetrun.cli.main import main
from jetrun.client.configuration_keys import KEYS


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing above it, and an environment that says nothing."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    for key in KEYS:
        monkeypatch.delenv(key.variable or "JETRUN_NONE", raising=False)
    return tmp_path


def test_show_prints_every_key_with_its_value_and_its_source(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One look answers which of four places has the last word."""
    (project / "jetrun.toml").write_text('url = "nats://u:hidden@a:1"\nmodules = ["flows", "more"]\n')
    monkeypatch.setenv("JETRUN_TOKEN", "hidden")

    assert main(["config", "show", "--app", "shop", "--concurrency", "3"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert ["url", "nats://***@a:1", f"{project}/jetrun.toml:1"] in lines
    assert ["app", "shop", "--app"] in lines
    assert ["token", "***", "JETRUN_TOKEN"] in lines
    assert ["modules", "flows,", "more", f"{project}/jetrun.toml:2"] in lines
    assert ["concurrency", "3", "--concurrency"] in lines
    assert ["port", "4222", "default"] in lines
    assert lines[-1] == ["file:", f"{project}/jetrun.toml"]
    assert "hidden" not in str(lines)


def test_show_as_json_has_a_line_for_each_key(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: values keep their types."""
    (project / "pyproject.toml").write_text('[tool.jetrun]\nqueues = ["a"]\nsync_always = true\n')

    assert main(["config", "show", "--json"]) == 0
    shown = {line["key"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}

    assert list(shown) == [key.name for key in KEYS]
    where = f"{project}/pyproject.toml:2"
    assert shown["queues"] == {"key": "queues", "value": ["a"], "source": "file", "where": where}
    assert shown["sync_always"]["value"] is True
    assert shown["concurrency"] == {"key": "concurrency", "value": 50, "source": "default", "where": ""}


def test_keys_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be configured is to be found without the documents."""
    assert main(["config", "keys"]) == 0
    assert main(["config", "keys", "--json"]) == 0

    out = capsys.readouterr().out
    assert all(out.count(f'"key":"{key.name}"') == 1 for key in KEYS)


@pytest.mark.parametrize(
    "argv",
    [
        ["config", "show"],
        ["runs", "list", "--url", "nats://127.0.0.1:1"],
        ["worker", "actors", "-m", "x"],
        ["worker", "steps", "-m", "x"],
        ["dev", "-m", "x"],
        ["server"],
        ["provision", "-m", "x"],
        ["doctor"],
        ["replay", "jetrun.toml", "-m", "x"],
        ["workflows", "list", "-m", "x"],
    ],
)
def test_mistake_in_the_file_ends_every_command_with_2_and_one_line(
    project: Path, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt key must not mean a default in silence."""
    (project / "jetrun.toml").write_text('ulr = "nats://a:1"\n')

    assert main(argv) == 2
    complaint = capsys.readouterr().err
    assert complaint == f"error: unknown key 'ulr' in {project}/jetrun.toml:1; did you mean 'url'?\n"


@pytest.mark.parametrize(
    "argv",
    [["worker", "actors"], ["worker", "steps"], ["worker", "all"], ["dev"], ["replay", "x"], ["workflows", "list"]],
)
def test_commands_that_need_code_say_where_it_can_be_named(
    argv: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a server is asked or a worker is started."""
    assert main(argv) == 2
    assert "give -m MODULE, or `modules` in jetrun.toml, or JETRUN_MODULES" in capsys.readouterr().err
    assert not (project / ".jetrun").exists()


def test_unknown_variable_is_warned_about_and_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other versions and other programs set variables, too: no reason not to run."""
    monkeypatch.setenv("JETRUN_ULR", "nats://a:1")

    assert main(["config", "show"]) == 0
    complaint = capsys.readouterr().err
    assert complaint == "warning: nothing reads the variable JETRUN_ULR; did you mean JETRUN_URL?\n"
