"""What is typed, understood or refused in one line that shows what was received."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import msgspec
import pytest

from jetrun.actors.errors import InvalidName
from jetrun.actors.limits import VALUE_BYTES_MAX
from jetrun.actors.names import RunKey
from jetrun.cli.arguments import parse_args, parse_packed, parse_run, parse_value, read_input
from jetrun.cli.exits import UsageProblem


class _Terminal:
    def isatty(self) -> bool:
        return True


def test_each_argument_is_json() -> None:
    """Positional arguments are JSON values, kept as typed."""
    assert parse_args(['"o-1"', "4200", "null"], None, None, None) == (b'["o-1",4200,null]', None)
    assert parse_args([], None, None, None) == (b"[]", None)


def test_arguments_as_array_and_object() -> None:
    """`--args` and `--kwargs` take whole JSON."""
    assert parse_args([], '["o-1"]', '{"cents": 1}', None) == (b'["o-1"]', b'{"cents": 1}')
    assert parse_args(["1"], None, '{"cents": 1}', None) == (b"[1]", b'{"cents": 1}')


@pytest.mark.parametrize(
    ("text", "received", "hint"),
    [
        ("o-1", "`o-1`", """'"o-1"'"""),
        ("{bad", "`{bad`", "single quotes around"),
        ("", "``", "empty text"),
        ("'x'", "`'x'`", "double ones"),
    ],
)
def test_bad_json_shows_what_was_received_and_how_to_quote(text: str, received: str, hint: str) -> None:
    """The shell ate the quotes: only the text received tells."""
    with pytest.raises(UsageProblem) as caught:
        parse_value(text, what="argument 1")

    assert str(caught.value).startswith(f"argument 1 is not JSON: received {received}")
    assert hint in str(caught.value)


def test_long_bad_json_is_cut() -> None:
    """One line, whatever was pasted."""
    with pytest.raises(UsageProblem) as caught:
        parse_value("[" * 100_000, what="argument 1")

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"), [("{}", None, "--args is no JSON array"), (None, "[]", "--kwargs is no JSON object")]
)
def test_wrong_kind_of_json_is_refused_with_an_example(args: str | None, kwargs: str | None, problem: str) -> None:
    """The way out is in the line."""
    with pytest.raises(UsageProblem, match=problem + ".*for example"):
        parse_args([], args, kwargs, None)


@pytest.mark.parametrize(
    ("text", "args", "kwargs"), [(None, b"[]", None), ("[1]", b"[1]", None), ('{"a": 1}', b"[]", b'{"a": 1}')]
)
def test_arguments_of_a_query_or_an_update(text: str | None, args: bytes, kwargs: bytes | None) -> None:
    """An array by position, an object by name."""
    packed = parse_packed(text)

    assert (packed.args, packed.kwargs) == (args, kwargs)


def test_a_lone_value_is_refused_with_an_example() -> None:
    with pytest.raises(UsageProblem, match=r"is no JSON array or object.*for example"):
        parse_packed('"lamp"')


@pytest.mark.parametrize("given", [(["1"], "[]", None, None), (["1"], None, None, "-"), ([], None, "{}", "@x")])
def test_two_ways_at_once_are_refused(given: tuple[list[str], str | None, str | None, str | None]) -> None:
    """Nothing typed is silently ignored."""
    with pytest.raises(UsageProblem, match="one way"):
        parse_args(*given)


def test_input_from_a_file(tmp_path: Path) -> None:
    """`--input @file` takes both forms."""
    file = tmp_path / "in.json"

    file.write_text('{"args": ["o-1"], "kwargs": {"cents": 1}}')
    both = parse_args([], None, None, f"@{file}")
    file.write_text(' ["o-1"]')
    array = parse_args([], None, None, f"@{file}")

    assert both == (b'["o-1"]', b'{"cents":1}')
    assert array == (b' ["o-1"]', None)


def test_input_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--input -` reads a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'["o-1"]')))

    assert read_input("-") == '["o-1"]'


def test_input_from_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that waits for what nobody knows to type is worse than an error."""
    monkeypatch.setattr(sys, "stdin", _Terminal())

    with pytest.raises(UsageProblem, match="terminal"):
        read_input("-")


def test_missing_directory_and_unreadable_input_name_the_file(tmp_path: Path) -> None:
    """The system's own words are passed on."""
    with pytest.raises(UsageProblem, match=r"missing\.json.*No such file"):
        read_input(f"@{tmp_path}/missing.json")
    with pytest.raises(UsageProblem, match="is not a file"):
        read_input(f"@{tmp_path}")
    with pytest.raises(UsageProblem, match="@file or -"):
        read_input("in.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_input_is_refused(tmp_path: Path) -> None:
    """Permission problems are usage problems."""
    file = tmp_path / "secret.json"
    file.touch(mode=0)

    with pytest.raises(UsageProblem, match="Permission denied"):
        read_input(f"@{file}")


def test_huge_input_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A 2 GB file must not be loaded to learn that it is too large."""
    file = tmp_path / "huge.json"
    with file.open("wb") as opened:
        opened.truncate(2 * 1024**3)

    with pytest.raises(UsageProblem, match=str(VALUE_BYTES_MAX)):
        read_input(f"@{file}")


def test_input_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """Bodies are UTF-8 JSON (R10)."""
    file = tmp_path / "latin.json"
    file.write_bytes(b'["\xe9"]')

    with pytest.raises(UsageProblem, match="not UTF-8"):
        read_input(f"@{file}")


def test_values_keep_numbers_as_typed() -> None:
    """What the workflow gets is what was typed, not what a float makes of it."""
    assert bytes(parse_value("12345678901234567890.10", what="argument 1")) == b"12345678901234567890.10"
    assert msgspec.json.decode(parse_value("[1, 2]", what="argument 1")) == [1, 2]


def test_run_addresses_are_checked_names() -> None:
    """What cannot be a subject token never reaches a subject."""
    assert parse_run("order/o-1") == RunKey("order", "o-1")
    for bad in ("order/a.b", "order/*", "order/>", "order/a b", "order/a\r\n", "order/", "/o-1", "order/a/b"):
        with pytest.raises(InvalidName):
            parse_run(bad)
    with pytest.raises(UsageProblem, match="order/o-1"):
        parse_run("o-1")
