"""`wfctl graph`: definitions are checked, drawn and imported without a server."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jetrun.actors.graph_compile import compile_graph
from jetrun.actors.graph_import import normal
from jetrun.actors.graph_source import parse
from jetrun.actors.limits import GRAPH_DEFINITION_BYTES_MAX
from jetrun.cli.graph_text import yaml_of
from jetrun.cli.main import main

VALID = """\
# a comment
version: 1.0
tasks:
  first:
    action: core.echo message=hello
    next:
      - when: <% succeeded() %>
        do: second
  second:
    action: core.noop
"""
WRONG = VALID.replace("do: second", "do: sec, nobody")
WARNED = VALID + "start: [second]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "deploy.yaml"
    path.write_text(VALID, "utf-8")
    return path


def given(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_valid_definition_is_told_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, one line."""
    assert main(["graph", "validate", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: valid, 2 tasks\n", "")


def test_problems_have_place_line_and_caret(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Editors jump to `file:line:column`; every problem is there in one pass."""
    file.write_text(WRONG, "utf-8")

    assert main(["graph", "validate", str(file)]) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert lines[0].startswith(f"{file}:8:13: undefined_target at tasks.first.next[0].do: there is no task 'sec'")
    assert lines[1:3] == ["8 |         do: sec, nobody", " " * 16 + "^"]
    assert "'nobody'" in lines[3]
    assert out == f"{file}: not valid: 2 errors\n"


def test_warnings_fail_only_when_asked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is probably not meant may be meant."""
    file.write_text(WARNED, "utf-8")

    assert main(["graph", "validate", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "(warning)" in err
    assert "valid, 2 tasks, 1 warning" in out
    assert main(["graph", "validate", "--strict", str(file)]) == 1


def test_json_has_every_problem(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For editors and for checks of others."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WRONG, "utf-8")

    assert main(["graph", "validate", "--json", str(file), str(wrong)]) == 1
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first == {"file": str(file), "valid": True, "problems": []}
    assert not second["valid"]
    assert second["problems"][0] | {"message": ""} == {
        "kind": "undefined_target",
        "severity": "error",
        "message": "",
        "path": ["tasks", "first", "next", 0, "do"],
        "where": "tasks.first.next[0].do",
        "line": 8,
        "column": 13,
    }
    assert not err


def test_standard_input_is_read_once(
    monkeypatch: pytest.MonkeyPatch, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second `-` would be an empty definition."""
    given(monkeypatch, VALID.encode())
    assert main(["graph", "validate", "-", str(file)]) == 0
    assert capsys.readouterr().out.startswith("<stdin>: valid, 2 tasks\n")
    assert main(["graph", "validate", "-", "-"]) == 2
    assert capsys.readouterr().err == "error: standard input can be read once; leave one - out\n"


def test_definition_without_end_is_not_read_to_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its size is bounded before it is in memory."""
    given(monkeypatch, b"#" * (GRAPH_DEFINITION_BYTES_MAX + 5_000))

    assert main(["graph", "validate", "-"]) == 1
    assert "too_large" in capsys.readouterr().err
    assert len(sys.stdin.buffer.read()) > 0


@pytest.mark.parametrize("path", ["missing.yaml", ".", "a\0b"])
def test_unreadable_file_is_a_usage_error(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was begun, and one line says why."""
    monkeypatch.chdir(tmp_path)

    assert main(["graph", "validate", path]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_terminal_is_not_harmed_by_a_definition(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Definitions come from strangers; so do their names and comments."""
    file.write_text('tasks: {"a\\e[31m\\u202e": {acton: 1}} # \u200f\n', "utf-8")

    assert main(["graph", "validate", str(file)]) == 1
    out, err = capsys.readouterr()
    assert not {"\x1b", "\u202e", "\u200f"} & set(out + err)


def test_drawing_goes_where_it_is_wanted(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mermaid to standard output unless said otherwise; the file's suffix says it, too."""
    assert main(["graph", "draw", str(file)]) == 0
    assert capsys.readouterr().out.startswith("flowchart TD\n")
    target = tmp_path / "deploy.svg"
    assert main(["graph", "draw", str(file), "--output", str(target)]) == 0
    assert capsys.readouterr() == ("", f"wrote {target}\n")
    assert ET.parse(target).getroot().tag.endswith("svg")
    assert main(["graph", "draw", str(file), "--format", "svg"]) == 0
    assert capsys.readouterr().out == target.read_text("utf-8")


def test_drawing_refuses_what_it_does_not_know(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, nothing written."""
    assert main(["graph", "draw", str(file), "--format", "png"]) == 2
    assert capsys.readouterr().err == "error: 'png' is no format; there are mermaid and svg\n"
    assert main(["graph", "draw", str(file), "--output", str(tmp_path / "no" / "a.svg")]) == 2
    file.write_text(WRONG, "utf-8")
    assert main(["graph", "draw", str(file)]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "undefined_target" in err


def test_import_writes_the_same_graph(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is lost."""
    target = tmp_path / "new.yaml"
    assert main(["graph", "import", str(file), "--output", str(target)]) == 0
    assert "comments, if there were any, are lost" in capsys.readouterr().err
    text = target.read_text("utf-8")

    assert "'{{ succeeded() }}'" in text
    assert "<%" not in text
    before, after = (compile_graph(parse(each, name="o")).graph for each in (VALID, text))
    assert normal(before) == normal(after)


def test_import_refuses_with_all_reasons(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a translation would be a run that goes wrong later."""
    file.write_text(VALID.replace("succeeded()", "$.a") + "vars:\n  - x: <% st2kv('b') %>\n", "utf-8")
    target = tmp_path / "new.yaml"

    assert main(["graph", "import", str(file), "-o", str(target)]) == 1
    err = capsys.readouterr().err
    assert f"{file}:7:" in err
    assert f"{file}:12:" in err
    assert not target.exists()
    file.write_text(VALID, "utf-8")
    assert main(["graph", "import", str(file), "-o", str(file)]) == 2
    assert file.read_text("utf-8") == VALID


def test_yaml_reads_as_what_was_written() -> None:
    """Texts that look like something else are quoted, for YAML 1.1 and 1.2."""
    texts = [
        "yes",
        "No",
        "1e3",
        "0o17",
        "1:30",
        "~",
        "",
        " a ",
        "a: b",
        "# x",
        "- x",
        "{{ a }}",
        "it's",
        'a "b"',
        "=",
        "<<",
    ]
    texts += [
        "two\nlines",
        "\ttab",
        "é",
        "日本",
        "null",
        "1_000",
        "2027-01-01",
        ".5",
        "*x",
        "&x",
        "!x",
        "'\"",
        "x #y",
        "a" * 300,
    ]
    value: dict[str, object] = {"texts": texts, **{text: [1, 1.5, True, None, {}] for text in texts if text.isascii()}}

    assert parse(yaml_of(value, of="x"), name="x").value == value


def test_yaml_hides_nothing_from_who_reads_it() -> None:
    """It goes to a terminal where no file is named."""
    value: dict[str, object] = {"a": "x\u202ey", "b": "日本 \x07", "\u200f": 1}
    text = yaml_of(value, of="x")

    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert parse(text, name="x").value == value
